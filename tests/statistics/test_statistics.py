"""The statistics hold what they state: on numbers whose truth is known, simulated with fixed seeds.

Tolerances are four standard errors of a simulated rate: the numbers never change, and a wrong method is far outside.
There are as many simulations as it takes for that, and no more: each test says which wrong method its number is for.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy import stats
from simulated import covered, error
from statsmodels.regression.mixed_linear_model import MixedLM
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower, TTestPower

from randwire.statistics.describe import describe, group
from randwire.statistics.distribution import distribution
from randwire.statistics.intervals import LEVEL, Numbers
from randwire.statistics.pairs import (
    ALPHA,
    MIN_REPLICATES,
    Pair,
    compare,
    compare_paired,
    holm,
    pairs_of,
    welch_pairs,
)
from randwire.statistics.power import MAX_REPLICATES, POWER, detectable_difference, paired_power, power, sample_size
from randwire.statistics.variance import VarianceEstimate, pooled_variance, split_variance


def test_describe() -> None:
    description = describe([1.0, 2.0, 6.0])
    assert (description.n, description.mean, description.minimum, description.maximum) == (3, 3.0, 1.0, 6.0)
    assert description.std == pytest.approx(7**0.5)
    assert describe([4.0]).std is None
    with pytest.raises(ValueError, match="no values"):
        describe([])


def test_groups_keep_their_order() -> None:
    assert group(["ba", "ab", "bc"], lambda word: word[0]) == {"b": ["ba", "bc"], "a": ["ab"]}


def test_a_distribution_counts_settings_alike() -> None:
    estimate = distribution([[[1.0], [2.0]], [[2.0, 4.0]]])
    assert estimate.values == [1.0, 2.0, 4.0]
    assert estimate.shares == pytest.approx([0.25, 0.75, 1.0])
    assert estimate.half_width is None  # one replicate tells nothing of how others would be


@pytest.mark.parametrize("replicates", [(20,), (3, 4, 5, 6), (3, 3)])
def test_the_band_of_a_distribution_holds_the_whole_truth_at_its_rate(replicates: tuple[int, ...]) -> None:
    """A pointwise band does so far more rarely; one of deviations that are not scaled at 0.87 for (3, 3)."""
    random = np.random.default_rng(sum(replicates))
    means, inside, count = np.arange(len(replicates)) * 0.8, 0, 300
    for _ in range(count):
        settings = [random.normal(mean, 1, (n, 1)).tolist() for mean, n in zip(means, replicates, strict=True)]
        estimate = distribution(settings)
        assert estimate.half_width is not None
        truth = stats.norm.cdf(np.subtract.outer(np.array(estimate.values), means)).mean(axis=1)
        after = np.array(estimate.shares)
        before = np.concatenate([[0], after[:-1]])
        inside += bool(max(abs(after - truth).max(), abs(before - truth).max()) <= estimate.half_width)
    assert LEVEL - error(LEVEL, count) <= inside / count <= 0.99


def test_runs_of_one_graph_do_not_narrow_the_band() -> None:
    once = [[[value] for value in (1.0, 2.0, 3.0, 4.0)]]
    thrice = [[[value] * 3 for value in (1.0, 2.0, 3.0, 4.0)]]
    assert distribution(once) == distribution(thrice)


@pytest.fixture
def grids() -> Callable[..., list[list[Pair]]]:
    """The comparisons of simulated grids."""

    def simulate(means: Sequence[float], stds: Sequence[float], n: Sequence[int], count: int) -> list[list[Pair]]:
        random = np.random.default_rng(len(means))
        return [
            compare(
                {str(k): random.normal(means[k], stds[k], n[k]).tolist() for k in range(len(means))},
            )
            for _ in range(count)
        ]

    return simulate


@pytest.mark.parametrize(
    ("stds", "n"),
    [
        (np.linspace(0.1, 0.8, 29).tolist(), [5] * 29),
        ([0.8, *[0.1] * 28], [5] * 29),
        ([0.1, 0.5, 0.8], [3] * 3),
        ([0.1, 0.1, 0.8, 0.8], [3, 5, 4, 5]),
    ],
)
def test_corrected_tests_hold_their_error_rate(
    stds: Sequence[float], n: Sequence[int], grids: Callable[..., list[list[Pair]]]
) -> None:
    """A common variance finds a false difference in 0.16 to 0.37 of grids of 29, and no correction in nearly all."""
    count = 200 if len(n) > 4 else 2000
    grids_of_pairs = grids([70.0] * len(n), stds, n, count)
    assert len(grids_of_pairs[0]) == len(n) * (len(n) - 1) // 2
    false = sum(any(pair.separated for pair in pairs) for pairs in grids_of_pairs) / count
    assert false <= ALPHA + error(ALPHA, count)
    # A pair by itself errs at its own rate: the correction and nothing else brings the rate down.
    alone = np.mean([pair.p <= ALPHA for pairs in grids_of_pairs for pair in pairs])
    assert 0.03 <= alone <= 0.06
    simultaneous = np.mean(
        [all(pair.interval.low <= 0 <= pair.interval.high for pair in pairs) for pairs in grids_of_pairs]
    )
    assert simultaneous >= LEVEL - error(ALPHA, count)


def test_true_differences_are_found_and_raise_no_false_ones(grids: Callable[..., list[list[Pair]]]) -> None:
    means = [70.0] * 6 + [80.0] * 6
    pairs_of_all = [pair for pairs in grids(means, [1.0] * 12, [6] * 12, 100) for pair in pairs]
    differing = [pair for pair in pairs_of_all if means[int(pair.names[0])] != means[int(pair.names[1])]]
    assert len(differing) == 100 * 36
    assert np.mean([pair.separated for pair in differing]) > 0.99
    assert np.mean([pair.interval.low <= 10 <= pair.interval.high for pair in differing]) > 0.99
    assert all(int(pair.names[0]) >= 6 for pair in differing), "the better setting comes first"
    equal = [pair for pair in pairs_of_all if means[int(pair.names[0])] == means[int(pair.names[1])]]
    assert sum(pair.separated for pair in equal) / 100 <= ALPHA + error(ALPHA, 100)


def test_a_pair_is_welchs_test_and_says_its_sentence() -> None:
    values = {"A": [1.0, 2.0, 4.0, 5.0], "B": [2.0, 7.0, 9.0], "C": [50.0, 50.5, 51.0]}
    pairs = {pair.names: pair for pair in compare(values)}
    assert list(pairs) == [("C", "B"), ("C", "A"), ("B", "A")]
    for (first, second), pair in pairs.items():
        test = stats.ttest_ind(values[first], values[second], equal_var=False)
        assert pair.p == pytest.approx(test.pvalue)
        assert pair.interval == pytest.approx(test.confidence_interval(1 - ALPHA / 3))
    ordered = sorted(pairs.values(), key=lambda pair: pair.p)
    steps = [3 * ordered[0].p, 2 * ordered[1].p, ordered[2].p]  # Holm (1979)
    assert [pair.adjusted for pair in ordered] == pytest.approx([min(1, max(steps[: k + 1])) for k in range(3)])
    assert str(pairs["B", "A"]) == "B and A are not separated at n=3 and 4"
    assert str(pairs["C", "A"]) == "C and A are separated at n=3 and 4"
    assert str(pairs["C", "B"]).endswith("separated at n=3")


def test_holms_correction_is_that_of_statsmodels_over_the_last_axis() -> None:
    p = np.random.default_rng(0).beta(0.3, 1, (2, 15))
    p[0, 3] = p[0, 7]  # equal values
    assert np.array_equal(holm(p), [multipletests(row, method="holm")[1] for row in p])


def test_pairs_of_many_repetitions_are_those_of_each() -> None:
    values = np.random.default_rng(0).normal(70, 1, (3, 6, 4))
    _, adjusted = welch_pairs(values.mean(-1), values.std(-1, ddof=1), np.array(4))
    first, second = pairs_of(6)
    for repetition, row in zip(values, adjusted, strict=True):
        alone = compare({str(k): settings.tolist() for k, settings in enumerate(repetition)})
        found = {frozenset((str(i), str(j))): p for i, j, p in zip(first, second, row, strict=True)}
        assert {frozenset(pair.names): pair.adjusted for pair in alone} == pytest.approx(found)


def test_what_cannot_be_tested_is_not() -> None:
    values = {"A": [1.0, 2.0, 4.0], "B": [2.0, 7.0], "C": [5.0, 5.0, 5.0], "D": [9.0]}
    assert compare(values) == []
    assert compare({}) == []
    assert [pair.names for pair in compare({**values, "E": [0.0, 1.0, 0.5]})] == [("A", "E")]


def test_a_paired_comparison_is_the_paired_t_test_over_what_both_have() -> None:
    values = {
        "A": {"a": 10.0, "b": 21.0, "c": 30.5, "d": 5.0},
        "B": {"a": 12.0, "b": 22.0, "c": 32.0},
        "C": {"a": 10.5, "b": 20.5, "c": 31.0, "d": 70.0},
    }
    pairs = {pair.names: pair for pair in compare_paired(values)}
    assert list(pairs) == [("B", "C"), ("C", "A"), ("B", "A")], "the better one first, over what both have"
    for (first, second), pair in pairs.items():
        names = [name for name in values[first] if name in values[second]]
        test = stats.ttest_rel(*([values[variant][name] for name in names] for variant in (first, second)))
        assert pair.n == (len(names), len(names))
        assert pair.p == pytest.approx(test.pvalue)
        assert pair.interval == pytest.approx(test.confidence_interval(1 - ALPHA / 3))
    assert pairs["B", "A"].difference == pytest.approx(1.5)
    ordered = sorted(pairs.values(), key=lambda pair: pair.p)
    steps = [3 * ordered[0].p, 2 * ordered[1].p, ordered[2].p]
    assert [pair.adjusted for pair in ordered] == pytest.approx([min(1, max(steps[: k + 1])) for k in range(3)])


def test_pairs_with_little_in_common_are_not_tested() -> None:
    values = {"A": {"a": 0.1, "b": 0.2, "c": 0.7}, "B": {"a": 0.4, "b": 0.5, "c": 1.0}, "C": {"a": 5.0, "b": 9.0}}
    assert compare_paired(values) == [], "A and B differ by 0.3 but for rounding"
    assert compare_paired({}) == compare_paired({"A": values["A"]}) == []


@pytest.mark.parametrize("graphs", [(9,), (3, 1, 2)])
def test_paired_tests_hold_their_error_rate_and_find_what_unpaired_ones_do_not(
    graphs: Sequence[int],
) -> None:
    """Without a correction one of four equal variants is found to differ in 0.2 of the simulations."""
    random, count, n = np.random.default_rng(len(graphs)), 300, sum(graphs)
    means = np.repeat(np.linspace(60, 75, len(graphs)), graphs)  # of settings, whose graphs differ by 3 points
    equal, apart, unpaired = [], [], []

    def by_graph(top1: Numbers) -> dict[str, dict[str, float]]:
        return {str(k): {str(graph): value for graph, value in enumerate(row)} for k, row in enumerate(top1.tolist())}

    for _ in range(count):
        noise = np.array([0.3, 0.3, 0.6, 0.9])[:, None] * random.normal(size=(4, n))
        top1 = means + random.normal(0, 3, n) + noise
        equal.append(compare_paired(by_graph(top1)))
        top1[0] += 2.0
        apart.append(compare_paired(by_graph(top1[:2])))
        unpaired.append(compare({str(k): top1[k].tolist() for k in range(2)}))
    false = np.mean([any(pair.separated for pair in pairs) for pairs in equal])
    assert false <= ALPHA + error(ALPHA, count)
    assert 0.03 <= np.mean([pair.p <= ALPHA for pairs in equal for pair in pairs]) <= 0.07
    simultaneous = np.mean([all(pair.interval.low <= 0 <= pair.interval.high for pair in pairs) for pairs in equal])
    assert simultaneous >= LEVEL - error(ALPHA, count)
    covering = np.mean([pair.interval.low <= 2 <= pair.interval.high for pairs in apart for pair in pairs])
    assert abs(covering - LEVEL) <= error(ALPHA, count)
    assert np.mean([pair.separated for pairs in apart for pair in pairs]) > 0.99
    assert np.mean([pair.separated for pairs in unpaired for pair in pairs]) < 0.4


def nested(
    random: np.random.Generator, graphs: Sequence[Sequence[int]], between: float, within: float
) -> list[list[list[float]]]:
    """Settings with graphs of so many runs each, with these standard deviations; the settings' means differ."""
    return [
        [(70 + 5 * k + random.normal(0, between) + random.normal(0, within, runs)).tolist() for runs in setting]
        for k, setting in enumerate(graphs)
    ]


DESIGNS = {
    "balanced": [[3] * 5] * 6,
    "unbalanced": [[1, 2, 5, 3, 2], [4, 4], [1, 1, 6], [2, 3, 2, 1, 5, 2], [3], [2] * 8],
}


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize(("between", "within"), [(0.3, 0.15), (0.2, 0.2)])
def test_the_split_of_variance_recovers_what_was_planted(design: str, between: float, within: float) -> None:
    random, count = np.random.default_rng(1), 800
    estimates = [split_variance(nested(random, DESIGNS[design], between, within)) for _ in range(count)]
    splits = [split for split in estimates if split is not None]
    assert len(splits) == count
    for name, truth in (("between_graphs", between), ("between_runs", within)):
        variances = np.array([getattr(split, name) ** 2 for split in splits])
        standard_error = variances.std() / math.sqrt(count)
        assert variances.mean() == pytest.approx(truth**2, abs=4 * standard_error), name
        assert standard_error < 0.02 * truth**2
    share = between**2 / (between**2 + within**2)
    rate = covered([split.interval for split in splits], share)
    assert rate == pytest.approx(LEVEL, abs=error(LEVEL, count) + (0 if design == "balanced" else 0.02))
    assert (splits[0].graphs, splits[0].runs) == (
        sum(map(len, DESIGNS[design])),
        sum(map(sum, DESIGNS[design])),
    )


def test_the_split_of_a_balanced_design_is_that_of_restricted_maximum_likelihood() -> None:
    (setting,) = nested(np.random.default_rng(4), [[3] * 8], 0.3, 0.2)
    split = split_variance([setting])
    assert split is not None
    values = np.concatenate([np.array(runs) for runs in setting])
    fit = MixedLM(values, np.ones((24, 1)), groups=np.repeat(np.arange(8), 3)).fit(reml=True)
    assert split.between_runs**2 == pytest.approx(fit.scale, rel=1e-3)
    assert split.between_graphs**2 == pytest.approx(float(fit.cov_re[0, 0]), rel=1e-3)


def test_graphs_that_do_not_matter_often_give_a_negative_variance_which_is_said() -> None:
    random = np.random.default_rng(0)
    splits = [split_variance(nested(random, [[2] * 4], 0, 0.2)) for _ in range(300)]
    negative = [split for split in splits if split is not None and split.negative]
    assert 100 < len(negative) < 250
    assert all(split.between_graphs == split.share == 0 for split in negative)
    assert covered([split.interval for split in splits if split is not None], 0) > LEVEL


def test_one_run_of_each_graph_tells_no_split() -> None:
    assert split_variance([[[1.0], [2.0], [3.0]], [[4.0], [5.0]]]) is None
    assert split_variance([[[1.0, 2.0, 3.0]]]) is None, "one graph alone"
    assert split_variance([]) is None
    constant = split_variance([[[1.0, 1.0], [2.0, 2.0]]])
    assert constant is not None
    assert (constant.between_runs, constant.share, constant.interval) == (0.0, 1.0, None)


def test_pooling_spreads() -> None:
    assert pooled_variance([[1.0, 2.0, 3.0], [10.0, 14.0], [7.0]]) == pytest.approx((10 / 3, 3))
    assert pooled_variance([[1.0], [2.0]]) is None
    assert pooled_variance([[1.0, 1.0]]) is None


CASES = [(1.0, 0.7, 0.7, ALPHA), (0.5, 0.3, 0.9, ALPHA), (0.4, 0.15, 0.1, ALPHA), (1.5, 0.6, 0.6, ALPHA / 100)]


@pytest.mark.parametrize(("difference", "one", "two", "alpha"), CASES)
def test_the_needed_number_separates_at_the_stated_power_and_one_fewer_does_not(
    difference: float, one: float, two: float, alpha: float
) -> None:
    exact = VarianceEstimate(one**2, 10**9), VarianceEstimate(two**2, 10**9)
    size = sample_size(difference, exact, alpha)
    assert size.n == size.low == size.high, "variances without an error"
    random, count = np.random.default_rng(0), 20_000

    def rate(n: int) -> float:
        samples = random.normal(difference, one, (count, n)), random.normal(0, two, (count, n))
        test = stats.ttest_ind(*samples, axis=1, equal_var=False)
        return float(np.mean((test.pvalue <= alpha) & (test.statistic > 0)))

    rate_of_n = rate(size.n)
    assert rate_of_n >= POWER - error(POWER, count)
    assert rate(size.n - 1) <= POWER + error(POWER, count)
    assert rate_of_n == pytest.approx(power(difference, size.n, (one**2, two**2), alpha), abs=error(POWER, count))
    smallest = detectable_difference(size.n, exact, alpha)
    assert smallest <= difference
    assert power(smallest, size.n, (one**2, two**2), alpha) == pytest.approx(POWER)


@pytest.mark.parametrize(
    ("difference", "n", "one", "two", "alpha"),
    [(0.4, 3, 0.2, 0.2, ALPHA), (0.6, 3, 0.1, 0.5, ALPHA), (0.4, 5, 0.29, 0.13, ALPHA / 406)],
)
def test_power_is_exact_for_few_replicates_and_many_tests(
    difference: float, n: int, one: float, two: float, alpha: float
) -> None:
    """The formula with the degrees of freedom of the true variances gives 0.46, 0.34 and 0.009."""
    random, count = np.random.default_rng(1), 100_000
    samples = random.normal(difference, one, (count, n)), random.normal(0, two, (count, n))
    test = stats.ttest_ind(*samples, axis=1, equal_var=False)
    rate = float(np.mean((test.pvalue <= alpha) & (test.statistic > 0)))
    assert power(difference, n, (one**2, two**2), alpha) == pytest.approx(rate, abs=error(rate, count))


def test_power_is_that_of_statsmodels_where_the_tests_are_the_same() -> None:
    """Welch's test of many replicates of equal variance is the test with a common one; paired tests are one."""
    for n, effect in ((120, 0.3), (400, 0.2)):
        expected = TTestIndPower().power(effect, n, ALPHA, alternative="two-sided")
        assert power(effect, n, (1.0, 1.0)) == pytest.approx(expected, abs=1e-3)
    for n, effect in ((3, 2.0), (5, 1.0), (12, 0.8)):
        expected = TTestPower().power(effect, n, ALPHA, alternative="two-sided")
        assert paired_power(2 * effect, n, 4.0) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("freedom", [(4, 4), (4, 76)])
def test_the_interval_of_the_needed_number_holds_the_true_one(freedom: tuple[int, int]) -> None:
    """With the sum of the degrees of freedom instead of Satterthwaite's it holds 0.51 at (4, 76)."""
    random, count, variances = np.random.default_rng(0), 120, (0.9, 0.5)
    truth = sample_size(1.0, (VarianceEstimate(variances[0], 10**9), VarianceEstimate(variances[1], 10**9))).n
    inside = 0
    for _ in range(count):
        one, two = (
            VarianceEstimate(v * random.chisquare(free) / free, free)
            for v, free in zip(variances, freedom, strict=True)
        )
        size = sample_size(1.0, (one, two))
        assert size.low <= size.n <= size.high
        inside += size.low <= truth <= size.high
    # A whole number of replicates is covered a little more often.
    assert LEVEL - error(LEVEL, count) <= inside / count <= 0.99


def test_the_needed_number_has_bounds() -> None:
    spreads = VarianceEstimate(1.0, 4), VarianceEstimate(1.0, 4)
    assert sample_size(100.0, spreads).n == MIN_REPLICATES
    assert sample_size(1e-6, spreads).n == MAX_REPLICATES
