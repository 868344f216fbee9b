"""Families of tests hold their level, also where the results choose what is compared, and the best is never lost.

Truth is simulated with fixed seeds; tolerances are four standard errors of the simulated rates.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from benchmarks.designs import FAMILIES, MEANS, STDS
from randwire.statistics.best import Group, compare_best
from randwire.statistics.contrast import Estimate
from randwire.statistics.equivalence import excluded
from randwire.statistics.intervals import LEVEL, Numbers
from randwire.statistics.pairs import ALPHA, Pair, compare_means
from randwire.statistics.subset import may_be_best

FIGURE_4 = FAMILIES.tolist()
ONE_AND_TWENTY = ["er"] + ["ws"] * 20
EQUAL = np.full(29, 73.0)
BESTS_EQUAL = MEANS + np.select([FAMILIES == "er", FAMILIES == "ba"], [0.40, 0.52])
"""The best settings of ER and BA are as good as that of WS."""


def error(rate: float, count: int) -> float:
    """Four standard errors of a rate over `count` simulations."""
    return 4 * math.sqrt(rate * (1 - rate) / count)


def grids(means: Numbers, stds: Numbers, n: int, count: int) -> Iterator[dict[str, Estimate]]:
    """The estimates of simulated grids, whose settings are named by their numbers."""
    random = np.random.default_rng([n, len(means)])
    for top1 in means[:, None] + stds[:, None] * random.normal(size=(count, len(means), n)):
        yield {str(k): Estimate.of(values) for k, values in enumerate(top1.tolist())}


def questions(grid: Mapping[str, Estimate], generators: Sequence[str]) -> list[tuple[Group, Group]]:
    """The best of each generator, as it was observed, against each other."""
    cells = [[str(k) for k, own in enumerate(generators) if own == name] for name in dict.fromkeys(generators)]
    return list(combinations([Group(max(cell, key=lambda name: grid[name].mean), cell) for cell in cells], 2))


def true_differences(pairs: Sequence[Pair], means: Numbers, generators: Sequence[str]) -> list[float]:
    """Of the highest true means of the generators, in the direction of the pairs."""
    highest = {name: max(m for m, own in zip(means, generators, strict=True) if own == name) for name in generators}
    of = [[highest[generators[int(name)]] for name in pair.names] for pair in pairs]
    return [round(one - two, 9) for one, two in of]


@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize(
    ("generators", "means", "stds"),
    [
        (FIGURE_4, EQUAL, STDS),
        (FIGURE_4, BESTS_EQUAL, STDS),
        (FIGURE_4, MEANS, STDS),
        (ONE_AND_TWENTY, EQUAL[:21], np.array([0.1, *[0.5] * 20])),
        (ONE_AND_TWENTY, EQUAL[:21], np.array([0.8, *[0.1] * 20])),
        (["er", "ba", "ws"], EQUAL[:3], np.array([0.1, 0.3, 0.8])),
    ],
)
def test_bests_that_results_chose_are_compared_at_the_stated_level(
    generators: Sequence[str], means: Numbers, stds: Numbers, n: int
) -> None:
    count, false, missed, exceeded = 400, 0, 0, 0
    for grid in grids(means, stds, n, count):
        pairs = compare_best(grid, questions(grid, generators))
        truth = true_differences(pairs, means, generators)
        false += any(pair.separated and true <= 0 for pair, true in zip(pairs, truth, strict=True))
        missed += not all(
            pair.interval.low <= true <= pair.interval.high for pair, true in zip(pairs, truth, strict=True)
        )
        exceeded += excluded(pairs) < max(map(abs, truth))
    limit = ALPHA + error(ALPHA, count)
    assert false / count <= limit
    assert missed / count <= limit
    assert exceeded / count <= limit


@pytest.mark.parametrize(("n", "at_least"), [(3, 0.15), (5, 0.18), (10, 0.22)])
def test_tests_of_the_observed_bests_err_more(n: int, at_least: float) -> None:
    """What the correction is for: one setting of a generator, and the best of twenty that are as good."""
    means, stds, count = EQUAL[:21], np.array([0.1, *[0.5] * 20]), 400
    false = [
        compare_means(grid, [(one.best, two.best)])[0].separated
        for grid in grids(means, stds, n, count)
        for one, two in questions(grid, ONE_AND_TWENTY)
    ]
    assert np.mean(false) >= at_least


def test_an_equivalence_test_of_the_observed_bests_errs_more() -> None:
    """The best of twenty looks as good as a single one that is better than all of them."""
    means, stds, count = np.array([73.3, *[73.0] * 20]), np.full(21, 0.3), 400
    exceeded = {"observed": 0, "chosen": 0}
    for grid in grids(means, stds, 10, count):
        ((one, two),) = questions(grid, ONE_AND_TWENTY)
        exceeded["observed"] += excluded(compare_means(grid, [(one.best, two.best)])) < 0.3
        exceeded["chosen"] += excluded(compare_best(grid, [(one, two)])) < 0.3
    assert exceeded["observed"] / count >= 0.2
    assert exceeded["chosen"] / count <= ALPHA + error(ALPHA, count)


def test_settings_fixed_beforehand_are_compared_by_welchs_tests() -> None:
    grid = next(grids(MEANS[:4], STDS[:4], 5, 1))
    pairs = list(combinations(grid, 2))
    plain = compare_means(grid, pairs)
    fixed = {pair.names: pair for pair in compare_best(grid, [(Group(a, [a]), Group(b, [b])) for a, b in pairs])}
    assert set(fixed) == {pair.names for pair in plain}
    for pair in plain:
        own = fixed[pair.names]
        assert own.n == pair.n
        assert (own.difference, own.p, own.adjusted) == pytest.approx((pair.difference, pair.p, pair.adjusted))
        assert (*own.interval, *own.alone) == pytest.approx((*pair.interval, *pair.alone))


def test_a_best_setting_is_held_against_every_setting_of_the_other_side() -> None:
    values = {"a": [73.0, 73.2, 73.5], "b": [72.1, 72.4, 72.0], "c": [70.0, 72.0, 73.0], "d": [69.1, 69.2, 69.0]}
    means = {name: Estimate.of(own) for name, own in values.items()}
    (pair,) = compare_best(means, [(Group("c", ["c", "d"]), Group("a", ["a", "b"]))])
    tests = [
        stats.ttest_ind(values["a"], values[other], equal_var=False, alternative="greater").pvalue for other in "cd"
    ]
    assert pair.names == ("a", "c")
    assert pair.difference == pytest.approx(np.mean(values["a"]) - np.mean(values["c"]))
    assert pair.p == pair.adjusted == pytest.approx(min(1, 2 * 2 * max(tests)))

    def low(one: str, others: str, level: float) -> float:
        tests = [stats.ttest_ind(values[one], values[other], equal_var=False) for other in others]
        return min(float(test.confidence_interval(1 - 2 * level / 2).low) for test in tests)

    assert pair.interval == pytest.approx((low("a", "cd", 0.025), -low("c", "ab", 0.025)))
    assert pair.alone == pytest.approx((low("a", "cd", 0.05), -low("c", "ab", 0.05)))


@pytest.mark.parametrize("n", [3, 5, 10])
def test_a_ring_against_the_mean_of_several_settings_errs_at_its_level(n: int) -> None:
    """Of each K of Figure 4: four settings with unequal standard deviations, and the ring."""
    stds, count = np.array([0.15, 0.83, 0.30, 0.52, 0.29, 0.15, 0.40, 0.35, 0.29, 0.18]), 2000
    false, alone, missed = 0, [], 0
    for grid in grids(EQUAL[:10], stds, n, count):
        sides = {name: grid[name] for name in "05"}
        sides |= {f">{k}": Estimate.average([grid[str(k + j)] for j in range(1, 5)]) for k in (0, 5)}
        pairs = compare_means(sides, [("0", ">0"), ("5", ">5")])
        false += any(pair.separated for pair in pairs)
        alone += [pair.p <= ALPHA for pair in pairs]
        missed += any(not pair.interval.low <= 0 <= pair.interval.high for pair in pairs)
    assert false / count <= ALPHA + error(ALPHA, count)
    assert missed / count <= ALPHA + error(ALPHA, count)
    assert np.mean(alone) == pytest.approx(ALPHA, abs=error(ALPHA, 2 * count))


def test_the_mean_of_settings_is_the_contrast_of_welch_and_satterthwaite() -> None:
    a, b, ring = [73.0, 73.5, 74.0], [70.0, 70.2, 70.9, 71.0], [68.0, 68.1, 68.3]
    average = Estimate.average([Estimate.of(a), Estimate.of(b)])
    assert average.mean == pytest.approx((np.mean(a) + np.mean(b)) / 2), "settings count alike, and not their graphs"
    assert average.n == 7
    (pair,) = compare_means({"P>0": average, "ring": Estimate.of(ring)}, [("ring", "P>0")])
    parts = np.array([np.var(own, ddof=1) / len(own) * c**2 for own, c in ((a, 0.5), (b, 0.5), (ring, -1))])
    freedom = parts.sum() ** 2 / (parts**2 / [2, 3, 2]).sum()
    t = pair.difference / math.sqrt(parts.sum())
    assert pair.names == ("P>0", "ring")
    assert pair.p == pair.adjusted == pytest.approx(2 * stats.t.sf(t, freedom))
    assert -(-average).mean == average.mean


@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("means", [EQUAL, BESTS_EQUAL, MEANS])
def test_the_best_is_among_those_that_may_be_it(means: Numbers, n: int) -> None:
    """At worst all are equal, and each of them is the best: any one of them is lost at most so often."""
    count, best = 400, np.flatnonzero(means == means.max()).astype(str)
    kept, sizes = np.zeros(len(best)), []
    for grid in grids(means, STDS, n, count):
        found = may_be_best(grid)
        kept += np.isin(best, found)
        sizes.append(len(found))
    assert kept.min() / count >= LEVEL - error(ALPHA, count)
    if means is MEANS:
        assert np.mean(sizes) <= {3: 23, 5: 13, 10: 4.5}[n], "of 29"


def test_subset_selection_is_welchs_one_sided_tests() -> None:
    values = {"a": [73.0, 73.2, 73.5], "b": [72.7, 72.9, 73.1], "c": [72.0, 72.1, 72.15]}
    means = {name: Estimate.of(own) for name, own in values.items()}
    p = {
        (low, high): stats.ttest_ind(values[high], values[low], equal_var=False, alternative="greater").pvalue
        for low in values
        for high in values
        if low != high
    }
    assert may_be_best(means) == [
        name for name in values if all(p[name, other] >= ALPHA / 2 for other in values if other != name)
    ]
    assert may_be_best(means) == ["a", "b"]
    assert may_be_best({"a": means["a"]}) == ["a"]
    assert may_be_best({}) == []


def test_a_difference_is_excluded_by_two_one_sided_tests() -> None:
    values = {"a": [73.0, 73.2, 73.5], "b": [72.7, 72.9, 73.1], "c": [72.8, 73.0, 73.3]}
    pairs = compare_means({name: Estimate.of(own) for name, own in values.items()}, combinations(values, 2))
    bound = excluded(pairs)

    def largest_p(limit: float) -> float:
        """Of two one-sided tests of each pair, that it differs by so much."""
        return max(
            float(stats.ttest_ind(np.array(values[one]) + shift, values[two], equal_var=False, alternative=side).pvalue)
            for one, two in combinations(values, 2)
            for shift, side in ((limit, "greater"), (-limit, "less"))
        )

    assert largest_p(bound) == pytest.approx(ALPHA)
    assert largest_p(bound + 0.01) < ALPHA < largest_p(bound - 0.01)
    assert excluded(pairs[:1]) <= bound
