"""How many replicates (graphs) Welch's test needs to find a difference, and which difference so many find."""

import math
from bisect import bisect_left
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import optimize, special, stats

from randwire.statistics.pairs import ALPHA, MIN_REPLICATES, welch
from randwire.statistics.variance import VarianceEstimate, variance_interval

POWER = 0.8
"""The chance that a test is to find a true difference with."""
QUADRATURE_NODES = 32
"""With twice as many the power of 3 to 100,000 replicates changes by less than 1e-5."""
MAX_REPLICATES = 100_000
"""Replicates beyond which no number is given."""


def power(difference: float, n: int, variances: tuple[float, float], alpha: float = ALPHA) -> float:
    """The chance that Welch's test with n >= 2 replicates each finds a difference of normal means, with its sign.

    Exact: given the share B of one sample in the sum of both chi-squares, which has a beta distribution, the statistic
    is a noncentral t of 2 (n - 1) degrees of freedom times a factor of B alone, and so is its critical value; the mean
    over B is a Gauss-Jacobi quadrature. The usual formula, which takes the degrees of freedom of the true variances, is
    off by 0.09 at n = 3.
    """
    free, total = n - 1, sum(variances)
    roots, weights = special.roots_jacobi(QUADRATURE_NODES, free / 2 - 1, free / 2 - 1)
    one, two = variances[0] * (1 + roots) / 2, variances[1] * (1 - roots) / 2
    _, freedom = welch(one, two, free, free)
    critical = stats.t.isf(alpha / 2, freedom) * np.sqrt(2 * (one + two) / total)
    chances = stats.nct.sf(critical, 2 * free, difference / math.sqrt(total / n))
    return float(min(1.0, np.average(chances, weights=weights)))


def paired_power(difference: float, n: int, variance: float, alpha: float = ALPHA) -> float:
    """The chance that Student's test of n >= 2 paired differences, of normal values with this variance, finds their
    mean, with its sign."""
    return float(stats.nct.sf(stats.t.isf(alpha / 2, n - 1), n - 1, difference / math.sqrt(variance / n)))


class SampleSize(NamedTuple):
    """Replicates of each setting, for the variances as estimated, and for the ends of the interval of these."""

    n: int
    low: int
    high: int


def sample_size(
    difference: float, estimates: tuple[VarianceEstimate, VarianceEstimate], alpha: float = ALPHA
) -> SampleSize:
    """The fewest replicates (MIN_REPLICATES to MAX_REPLICATES) that separate a true difference > 0 with chance POWER.

    Measured: tests with n replicates find the planted difference in at least 80 % of simulations and with n - 1 in
    fewer; the interval (95 %, by Satterthwaite's degrees of freedom) holds the n of the true variances in 96 to 97 %.
    """
    n, low, high = (_sample_size(difference, variances, alpha) for variances in _variances(estimates))
    return SampleSize(n, low, high)


def detectable_difference(n: int, estimates: tuple[VarianceEstimate, VarianceEstimate], alpha: float = ALPHA) -> float:
    """The true difference that n >= 2 replicates each separate with the chance POWER."""
    variances = estimates[0].variance, estimates[1].variance
    unit = math.sqrt(sum(variances) / n)
    scale = optimize.brentq(lambda scale: power(scale * unit, n, variances, alpha) - POWER, 0, 2 / alpha)
    return float(scale) * unit


def paired_sample_size(difference: float, estimate: VarianceEstimate, alpha: float = ALPHA) -> SampleSize:
    """The same of Student's paired test; `estimate` is of the variance of the differences."""

    def needed(variance: float) -> int:
        return fewest(lambda n: paired_power(difference, n, variance, alpha), _of_normal(difference, variance, alpha))

    return SampleSize(needed(estimate.variance), *map(needed, variance_interval(estimate)))


def detectable_paired_difference(n: int, estimate: VarianceEstimate, alpha: float = ALPHA) -> float:
    """The true mean of n >= 2 paired differences that is found with the chance POWER."""
    unit = math.sqrt(estimate.variance / n)
    scale = optimize.brentq(lambda scale: paired_power(scale * unit, n, estimate.variance, alpha) - POWER, 0, 2 / alpha)
    return float(scale) * unit


def _variances(estimates: tuple[VarianceEstimate, VarianceEstimate]) -> list[tuple[float, float]]:
    """Both variances as estimated, and with their sum at the ends of its interval."""
    one, two = estimates
    freedom = (one.variance + two.variance) ** 2 / (one.variance**2 / one.freedom + two.variance**2 / two.freedom)
    scales = [1.0, *(float(freedom / bound) for bound in stats.chi2.isf([ALPHA / 2, 1 - ALPHA / 2], freedom))]
    return [(scale * one.variance, scale * two.variance) for scale in scales]


def _sample_size(difference: float, variances: tuple[float, float], alpha: float) -> int:
    return fewest(lambda n: power(difference, n, variances, alpha), _of_normal(difference, sum(variances), alpha))


def _of_normal(difference: float, variance: float, alpha: float) -> float:
    """The replicates that a test needs whose variance is known: a few less than Student's and Welch's."""
    return float(variance * ((stats.norm.isf(alpha / 2) + stats.norm.ppf(POWER)) / difference) ** 2)


def fewest(chance: Callable[[int], float], guess: float = MIN_REPLICATES) -> int:
    """The fewest replicates (MIN_REPLICATES to MAX_REPLICATES) whose chance, which rises with them, reaches POWER.

    The search goes out from the guess in steps that double, since each chance takes its time.
    """
    low = high = int(min(max(guess, MIN_REPLICATES), MAX_REPLICATES))
    step = 1
    if chance(high) >= POWER:
        while low > MIN_REPLICATES and chance(low := max(MIN_REPLICATES, low - step)) >= POWER:
            high, step = low, 2 * step
    else:
        while high < MAX_REPLICATES and chance(high := min(MAX_REPLICATES, high + step)) < POWER:
            low, step = high, 2 * step
    return low + bisect_left(range(low, high), POWER, key=chance)
