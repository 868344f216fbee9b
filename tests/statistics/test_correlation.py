"""Rank correlations and their intervals: exact values, the distribution over all permutations, and rates by simulation.

Tolerances are four standard errors of a simulated rate, as in test_statistics.py.
"""

import math
from collections.abc import Sequence
from itertools import permutations, product

import numpy as np
import pytest
from scipy import stats
from simulated import error

from randwire.report.facts.correlations import Pair, correlate
from randwire.statistics.correlation import rank_correlation, spearman
from randwire.statistics.intervals import LEVEL, Interval

SIZES = (2, 10, 4, 7, 3)
"""Graphs of a setting, over and over."""


def test_spearman() -> None:
    assert spearman([1.0, 2.0, 3.0], [1.0, 4.0, 9.0]) == pytest.approx(1)
    assert spearman([1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]) == pytest.approx(-1)
    assert spearman([1.0, 1.0, 2.0], [5.0, 6.0, 7.0]) == pytest.approx(math.sqrt(3) / 2)
    assert spearman([1.0, 2.0], [1.0, 2.0]) is None
    assert spearman([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None


def test_one_stratum_is_spearman_and_several_are_their_weighted_mean() -> None:
    random = np.random.default_rng(0)
    strata = [random.integers(0, 9, (2, n)).astype(float) for n in (8, 3, 5)]
    rhos = [stats.spearmanr(x, y).statistic for x, y in strata]
    one = rank_correlation(["a"] * 8, *strata[0])
    assert one.rho == pytest.approx(rhos[0])
    assert (one.n, one.strata) == (8, 1)
    names = [name for name, n in zip("abc", (8, 3, 5), strict=True) for _ in range(n)]
    shuffled = random.permutation(16)
    x, y = np.concatenate(strata, axis=1)[:, shuffled]
    several = rank_correlation([names[k] for k in shuffled], x, y)
    assert several.rho == pytest.approx((7 * rhos[0] + 2 * rhos[1] + 4 * rhos[2]) / 13)
    assert (several.n, several.strata) == (16, 3)


def test_what_does_not_vary_has_no_part() -> None:
    assert rank_correlation([], [], []).rho is None
    assert rank_correlation(["a"] * 3, [1, 1, 1], [1, 2, 3]).rho is None
    found = rank_correlation(["a", "a", "b", "b", "c"], [1, 2, 7, 7 + 1e-12, 9], [1, 2, 2, 1, 5])
    assert (found.rho, found.n, found.strata) == (1, 2, 1), "neither a rounding error nor a stratum of one counts"


@pytest.mark.parametrize(
    ("x", "y"), [([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6]), ([1, 1, 1, 2, 3, 3, 4], [1, 2, 2, 4, 5, 6, 7])]
)
def test_the_interval_excludes_zero_for_one_in_twenty_of_all_permutations(x: list[float], y: list[float]) -> None:
    """As near as the few values allow; of these, six that differ take 0.0583 or 0.0333."""
    found = [rank_correlation([""] * len(x), x, order).interval for order in permutations(y)]
    missed = sum(interval is not None and not interval.low <= 0 <= interval.high for interval in found)
    extreme = sum(interval is None for interval in found)  # rho is 1 or -1
    assert 0.03 < (missed + extreme) / len(found) < 0.06


def test_the_interval_for_many_measures_at_once_excludes_zero_as_rarely_as_it_says() -> None:
    """One in 240 permutations; Fisher's scale with its normal error has 0.0123."""
    x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    found = [rank_correlation([""] * 7, x, order, 1 - 0.05 / 12) for order in permutations(x)]
    missed = sum(_misses(one.interval, 0) or one.rho in (1, -1) for one in found)
    assert 0.001 < missed / len(found) <= 0.05 / 12


def test_too_few_pairs_have_no_interval() -> None:
    for sizes in ((4,), (5,), (2, 2, 2, 2), (3, 2), (3, 3)):
        names = [str(k) for k, n in enumerate(sizes) for _ in range(n)]
        orders = product(*(permutations(range(n)) for n in sizes))
        for order in orders:
            y = [float(value) for part in order for value in part]
            x = [float(value) for n in sizes for value in range(n)]
            assert rank_correlation(names, x, y).interval is None


@pytest.mark.parametrize("n", [10, 40])
@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_the_interval_of_one_stratum_covers_at_its_rate(n: int, rho: float) -> None:
    """Fisher's interval, which is for normal pairs' own correlation, covers 0.90 at 0.9."""
    random, count = np.random.default_rng(int(10 * rho) + n), 1_000
    truth = _expected(rho, n)
    missed = 0
    for _ in range(count):
        x, noise = random.normal(size=(2, n))
        missed += _misses(rank_correlation([""] * n, x, rho * x + math.sqrt(1 - rho**2) * noise).interval, truth)
    assert missed / count == pytest.approx(1 - LEVEL, abs=error(LEVEL, count))


@pytest.mark.parametrize("rho", [0.5, 0.8])
def test_the_interval_within_strata_covers_at_its_rate(rho: float) -> None:
    """The error of a single stratum of as many pairs, without that of pairs that are alone, covers 0.92 at 0.8."""
    random, count, sizes = np.random.default_rng(1), 1_000, (2, 3, 2, 4) * 5
    truth = sum((n - 1) * _expected(rho, n) for n in sizes) / sum(n - 1 for n in sizes)
    missed = 0
    for _ in range(count):
        study = _study(random, sizes, effect=1.0, rho=rho)
        missed += _misses(correlate(study, within=True).interval, truth)
    assert missed / count == pytest.approx(1 - LEVEL, abs=error(LEVEL, count))


@pytest.mark.parametrize("settings", [7, 29])
@pytest.mark.parametrize("level", [LEVEL, 1 - 0.05 / 12])
def test_without_an_effect_both_intervals_miss_zero_at_their_rate_and_the_pooled_one_does_not(
    settings: int, level: float
) -> None:
    """Settings differ at random, in both numbers, and their spreads by a factor of five; none has to do with another.

    All graphs together, as if they were independent, are what the report showed before.
    """
    random, count = np.random.default_rng(settings), 4_000 if level == LEVEL else 1_000
    sizes = [SIZES[k % len(SIZES)] for k in range(settings)]
    missed = {"between": 0, "within": 0, "pooled": 0}
    pooled = 500
    for number in range(count):
        study = _study(random, sizes, effect=1.0)
        missed["between"] += _misses(correlate(study, within=False, level=level).interval, 0)
        missed["within"] += _misses(correlate(study, within=True, level=level).interval, 0)
        if number < pooled:
            missed["pooled"] += _misses(_pooled(study, level), 0)
    wanted = 1 - level
    for scope in ("between", "within"):
        assert missed[scope] / count == pytest.approx(wanted, abs=error(wanted, count)), scope
    assert missed["pooled"] / pooled > (0.1 if level == LEVEL else 0.02)


def _study(random: np.random.Generator, sizes: Sequence[int], effect: float, rho: float = 0.0) -> list[Pair]:
    """Graphs of settings with a random effect of this deviation on both numbers, which correlate within settings."""
    pairs: list[Pair] = []
    for setting, n in enumerate(sizes):
        x, noise = random.normal(size=(2, n))
        y = rho * x + math.sqrt(1 - rho**2) * noise
        spread = 5 ** random.uniform(-0.5, 0.5)
        a, b = random.normal(0, effect, 2)
        pairs += [(str(setting), a + spread * one, b + spread * other) for one, other in zip(x, y, strict=True)]
    return pairs


def _pooled(study: Sequence[Pair], level: float) -> Interval:
    """The interval of Bonett and Wright (2000) for Spearman's correlation of independent pairs, of all graphs."""
    rho = spearman([x for _, x, _ in study], [y for *_, y in study])
    assert rho is not None
    half = stats.norm.ppf((1 + level) / 2) * math.sqrt((1 + rho**2 / 2) / (len(study) - 3))
    return Interval(math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half))


def _expected(rho: float, n: int) -> float:
    """The mean of Spearman's correlation of n normal pairs whose product-moment correlation is rho (Moran 1948)."""
    return 6 / (math.pi * (n + 1)) * (math.asin(rho) + (n - 2) * math.asin(rho / 2))


def _misses(interval: Interval | None, truth: float) -> bool:
    return interval is not None and not interval.low <= truth <= interval.high
