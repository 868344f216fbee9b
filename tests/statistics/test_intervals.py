"""Intervals of a mean percentage cover at their rate: on values whose mean is known, simulated with fixed seeds."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from simulated import covered, error

from randwire.statistics.intervals import (
    LEVEL,
    MIN_BOOTSTRAP_VALUES,
    MIN_VALUES,
    Numbers,
    bootstrap_interval,
    t_interval,
)

Draw = Callable[[np.random.Generator, tuple[int, int]], Numbers]


def normal(mean: float, std: float) -> Draw:
    return lambda random, shape: random.normal(mean, std, shape)


def beta(mean: float, std: float) -> Draw:
    """Percentages that are skewed towards the end they are near to."""
    share = mean / 100
    size = share * (1 - share) / (std / 100) ** 2 - 1
    return lambda random, shape: 100 * random.beta(share * size, (1 - share) * size, shape)


def gamma(mean: float, std: float) -> Draw:
    """The same without an end at 100."""
    scale = std / math.sqrt(3)
    return lambda random, shape: mean + scale * (3 - random.gamma(3, size=shape))


DRAWS: dict[str, tuple[float, Draw]] = {
    "normal, 70": (70, normal(70, 2)),
    "normal, 97": (97, normal(97, 1.2)),
    "normal, 99.5": (99.5, normal(99.5, 0.1)),
    "skewed, 97": (97, beta(97, 1.2)),
    "skewed, 99.5": (99.5, beta(99.5, 0.3)),
}


@pytest.mark.parametrize("n", [3, 5, 10, 20])
@pytest.mark.parametrize("name", DRAWS)
def test_the_interval_of_a_mean_covers_at_its_rate(name: str, n: int) -> None:
    """That with the normal distribution's quantile instead of Student's covers 0.81 at n = 3, and 0.93 at n = 20."""
    (truth, draw), count = DRAWS[name], 2_000
    intervals = [t_interval(row) for row in draw(np.random.default_rng(n), (count, n)).tolist()]
    assert covered(intervals, truth) == pytest.approx(LEVEL, abs=error(LEVEL, count))
    assert all(0 < low < high < 100 for low, high in filter(None, intervals))


def test_other_levels_hold_too() -> None:
    draws = np.random.default_rng(0).normal(97, 1.2, (1_000, 5)).tolist()
    assert covered([t_interval(row, 0.8) for row in draws], 97) == pytest.approx(0.8, abs=error(0.8, 1_000))


def test_on_the_scale_of_the_values_intervals_leave_the_percentages_and_cover_less() -> None:
    """Why they are on the logit scale: Student's own interval of the same values, near to 100."""
    truth, count, n = 99.5, 8_000, 5
    draws = beta(truth, 0.3)(np.random.default_rng(0), (count, n))
    low, high = stats.ttest_1samp(draws, 0, axis=1).confidence_interval(LEVEL)
    raw = float(np.mean((low <= truth) & (truth <= high)))
    assert raw < LEVEL - 1.5 * error(LEVEL, count)
    assert np.mean(high > 100) > 0.05
    here = covered([t_interval(row) for row in draws.tolist()], truth)
    assert here > raw + error(LEVEL, count)


def test_a_strong_skew_away_from_the_ends_costs_some_coverage() -> None:
    draws = gamma(70, 1.73)(np.random.default_rng(0), (4_000, 5)).tolist()
    assert 0.91 < covered([t_interval(row) for row in draws], 70) < 0.945


def test_an_interval_is_that_of_the_delta_method() -> None:
    values = [96.0, 98.0, 99.9]
    interval = t_interval(values)
    assert interval is not None
    mean, error = sum(values) / 3, float(stats.sem(values))
    odds = mean / (100 - mean)
    factor = math.exp(float(stats.t.ppf(0.975, 2)) * error * 100 / (mean * (100 - mean)))
    for end, expected in zip(interval, (odds / factor, odds * factor), strict=True):
        assert end == pytest.approx(100 * expected / (1 + expected))
    assert interval == pytest.approx((80.890, 99.818), abs=1e-3)  # not 93.1 to 102.8
    # Mirrored percentages have the mirrored interval.
    assert t_interval([100 - value for value in values]) == pytest.approx((100 - interval.high, 100 - interval.low))


def test_far_from_the_ends_an_interval_is_students() -> None:
    values = [70.1, 70.4, 69.8, 70.0]
    assert t_interval(values) == pytest.approx(stats.ttest_1samp(values, 0).confidence_interval(LEVEL), abs=0.005)


@pytest.mark.parametrize("n", [5, 10])
@pytest.mark.parametrize("draw", ["normal, 70", "skewed, 97", "skewed, 99.5", "gamma, 70"])
def test_the_bootstrap_interval_covers_at_its_rate(draw: str, n: int) -> None:
    """The percentile interval covers 0.85 at n = 5 and 0.90 at n = 10; at n = 20 it is no longer outside."""
    (truth, made), count = {**DRAWS, "gamma, 70": (70.0, gamma(70, 1.73))}[draw], 600
    rows = made(np.random.default_rng(n), (count, n)).tolist()
    intervals = [bootstrap_interval(row, resamples=999) for row in rows]
    assert covered(intervals, truth) == pytest.approx(LEVEL, abs=error(LEVEL, count))
    assert all(0 < low < high < 100 for low, high in filter(None, intervals))


def test_the_bootstrap_interval_follows_a_skew_and_repeats_itself() -> None:
    values = [90.0, 90.5, 91.0, 91.2, 91.3, 80.0, 91.4, 90.9]
    interval = bootstrap_interval(values)
    assert interval is not None
    assert interval == bootstrap_interval(values)
    assert np.mean(values) - interval.low > 1.5 * (interval.high - np.mean(values))


def test_values_at_the_ends_have_intervals_within() -> None:
    values = [0.0, 100.0, 100.0, 50.0, 100.0, 25.0, 75.0]
    for interval in (t_interval(values), bootstrap_interval(values)):
        assert interval is not None
        assert 0 < interval.low < np.mean(values) < interval.high < 100


def test_too_few_or_constant_values_have_no_interval() -> None:
    assert (MIN_VALUES, MIN_BOOTSTRAP_VALUES) == (3, 5)
    assert t_interval([70.0]) is None
    assert t_interval([70.0, 71.0]) is None
    assert t_interval([70.0] * 5) is None
    assert t_interval([100.0] * 5) is None
    assert t_interval([0.1 + 0.2, 0.3, 0.3]) is None, "a rounding error is no spread"
    assert bootstrap_interval([70.0, 71.0, 72.0, 73.0]) is None
    assert bootstrap_interval([70.0] * 5) is None
    assert bootstrap_interval([100.0] * 5) is None
    assert bootstrap_interval([70.0, 70.0, 70.0, 70.0, 71.0]) is None
