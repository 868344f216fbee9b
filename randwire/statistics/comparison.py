"""What sets settings apart: tests of pairs, the split of variance, and how many graphs would be needed.

As in `statistics`, the unit of replication is the graph. Variants, which are trained on the same graphs, are compared
graph by graph. Settings are compared by Welch's test and not by one with a common variance, because the paper's own
settings have standard deviations from 0.10 to 0.83 points: with such, tests with a common variance found a false
difference in 16 to 37 % of simulated grids of 29 settings, Welch's in 2 to 4 %.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize, stats
from statsmodels.stats.multitest import multipletests

from randwire.statistics.estimates import LEVEL, Interval, Numbers

ALPHA = 1 - LEVEL
"""Error rate of the tests: the chance of at least one false difference among all pairs."""
LEAST = 3
"""The fewest replicates of a setting that is tested. With two the error rate is not held if settings vary unequally."""
POWER = 0.8
MOST = 100_000
"""Replicates beyond which no number is given."""


@dataclass(frozen=True)
class Pair:
    """Two settings, the one with the higher mean first."""

    names: tuple[str, str]
    n: tuple[int, int]
    difference: float
    interval: Interval
    """Of the difference, simultaneous over all pairs (Bonferroni)."""
    p: float
    adjusted: float
    """p after Holm's correction for all pairs."""

    @property
    def separated(self) -> bool:
        return self.adjusted <= ALPHA

    def __str__(self) -> str:
        first, second = self.n
        n = f"n={first}" if first == second else f"n={first} and {second}"
        return f"{self.names[0]} and {self.names[1]} are {'' if self.separated else 'not '}separated at {n}"


def testable(values: Sequence[float]) -> bool:
    """Whether a setting's replicates can be tested: at least LEAST, and not all equal."""
    return len(values) >= LEAST and len(set(values)) > 1


def compare(settings: Mapping[str, Sequence[float]]) -> list[Pair]:
    """Welch's test of the means of all pairs of testable settings, with Holm's correction over all pairs.

    Because the correction is over all pairs, it also holds for pairs that were chosen by their means. Measured rate of
    any false difference at ALPHA = 0.05 for 29 equal settings: 0.013, 0.022, 0.029 at n = 3, 5, 10; 0.017 to 0.037 if
    their standard deviations lie between 0.1 and 0.8; at worst 0.07, if n is from 3 to 5 and the smallest samples vary
    most. Settings are taken as independent, though they share seeds: what seeds do to all settings alike would make the
    test find less, not more.
    """
    names = [name for name, values in settings.items() if testable(values)]
    if len(names) < 2:
        return []
    names.sort(key=lambda name: -float(np.mean(settings[name])))
    n = np.array([len(settings[name]) for name in names])
    mean = np.array([np.mean(settings[name]) for name in names])
    std = np.array([np.std(settings[name], ddof=1) for name in names])
    one, two = np.array(list(combinations(range(len(names)), 2))).T
    p = stats.ttest_ind_from_stats(mean[one], std[one], n[one], mean[two], std[two], n[two], equal_var=False).pvalue
    adjusted = multipletests(p, method="holm")[1]
    difference = mean[one] - mean[two]
    error, freedom = _welch(std[one] ** 2 / n[one], std[two] ** 2 / n[two], n[one] - 1, n[two] - 1)
    half = error * stats.t.isf(ALPHA / len(p) / 2, freedom)
    return [
        Pair(
            (names[i], names[j]),
            (int(n[i]), int(n[j])),
            float(difference[k]),
            Interval(float(difference[k] - half[k]), float(difference[k] + half[k])),
            float(p[k]),
            float(adjusted[k]),
        )
        for k, (i, j) in enumerate(zip(one, two, strict=True))
    ]


def differences(one: Mapping[str, float], two: Mapping[str, float]) -> list[float]:
    """First minus second, of each replicate that both have.

    Rounded, or equal differences would vary by their rounding errors, and be tested.
    """
    return [round(value - two[name], 9) for name, value in one.items() if name in two]


def compare_paired(variants: Mapping[str, Mapping[str, float]]) -> list[Pair]:
    """Student's paired t-test of all testable pairs of variants, with Holm's correction over all of these.

    Values are by replicate, which is a graph that all variants are trained on: what it does to both variants of a pair
    cancels. A replicate that lacks one of the two has no part in the pair, so that n may differ between pairs. Where
    replicates come from several settings, the difference is their mean over these replicates, and what the settings
    themselves differ in only widens the interval. Measured rate of any false difference at ALPHA = 0.05 among four
    equal variants with unequal noise: 0.03 to 0.04 at n = 6, 9 and 15.
    """
    means = {name: float(np.mean(list(values.values()))) for name, values in variants.items()}
    found: dict[tuple[str, str], list[float]] = {}
    for one, two in combinations(sorted(means, key=lambda name: -means[name]), 2):
        away = differences(variants[one], variants[two])
        if testable(away):
            better = math.fsum(away) >= 0  # not that of the higher mean, where replicates lack
            found[(one, two) if better else (two, one)] = away if better else [-value for value in away]
    tests = [stats.ttest_1samp(away, 0.0) for away in found.values()]
    adjusted = multipletests([test.pvalue for test in tests], method="holm")[1] if tests else []
    return [
        Pair(
            names,
            (len(away), len(away)),
            math.fsum(away) / len(away),
            Interval(*map(float, test.confidence_interval(1 - ALPHA / len(tests)))),
            float(test.pvalue),
            float(corrected),
        )
        for (names, away), test, corrected in zip(found.items(), tests, adjusted, strict=True)
    ]


@dataclass(frozen=True)
class Split:
    """Variance between graphs and between training runs of one graph, as standard deviations in the values' unit."""

    graphs: int
    runs: int
    between_graphs: float
    """0 where the estimate of the variance was negative."""
    between_runs: float
    negative: bool
    share: float
    """Of the variance of a single run, the part that the graph decides."""
    interval: Interval | None
    """Of the share."""


def split_variance(settings: Sequence[Sequence[Sequence[float]]]) -> Split | None:
    """The split within settings, from values by setting, graph and run; None if it cannot be told.

    It takes two graphs of one setting and two runs of one graph; the numbers of graphs and runs may differ. Estimates
    are those of the analysis of variance for nested, unbalanced data, which are unbiased before negative ones are set
    to 0 (Searle, Casella and McCulloch 1992, chapter 3); the interval is exact for normal values and equal numbers of
    runs. Training seeds count as nested in graphs: what one seed does to all graphs alike goes into neither part.
    """
    graphs = [np.asarray(runs, dtype=np.float64) for setting in settings for runs in setting]
    runs = sum(map(len, graphs))
    free_graphs, free_runs = sum(len(setting) - 1 for setting in settings), runs - len(graphs)
    if not (free_graphs and free_runs):
        return None
    within = sum(float(((values - values.mean()) ** 2).sum()) for values in graphs) / free_runs
    between, size = 0.0, 0.0
    for setting in settings:
        n, means = np.array([len(values) for values in setting]), np.array([np.mean(values) for values in setting])
        between += float((n * (means - np.average(means, weights=n)) ** 2).sum()) / free_graphs
        size += float(n.sum() - (n**2).sum() / n.sum()) / free_graphs  # runs of a graph, where these are equal
    variance = (between - within) / size
    clipped = max(variance, 0.0)
    interval = None
    if within > 0:
        bounds = stats.f.isf([ALPHA / 2, 1 - ALPHA / 2], free_graphs, free_runs)
        low, high = (max((between / within / bound - 1) / size, 0.0) for bound in bounds)
        interval = Interval(low / (1 + low), high / (1 + high))
    total = clipped + within
    share = clipped / total if total else 0.0
    return Split(len(graphs), runs, math.sqrt(clipped), math.sqrt(within), variance < 0, share, interval)


class Spread(NamedTuple):
    """A variance and the degrees of freedom that it is known with."""

    variance: float
    freedom: int


def pooled(settings: Sequence[Sequence[float]]) -> Spread | None:
    """The variance within settings, from their replicates; None if no setting has two, or nothing varies."""
    freedom = sum(len(values) - 1 for values in settings)
    if not freedom:
        return None
    squares = sum(float(((np.asarray(values) - np.mean(values)) ** 2).sum()) for values in settings)
    return Spread(squares / freedom, freedom) if squares else None


def power(difference: float, n: int, variances: tuple[float, float], alpha: float = ALPHA) -> float:
    """The chance that Welch's test with n replicates each finds a difference of normal means, with its sign."""
    error, freedom = _welch(variances[0] / n, variances[1] / n, n - 1, n - 1)
    return float(stats.nct.sf(stats.t.isf(alpha / 2, freedom), freedom, difference / error))


class Needed(NamedTuple):
    """Replicates of each setting, for the variances as estimated, and for the ends of the interval of these."""

    n: int
    low: int
    high: int


def needed(difference: float, spreads: tuple[Spread, Spread], alpha: float = ALPHA) -> Needed:
    """The fewest replicates, LEAST to MOST, that separate a true difference > 0 with the chance POWER.

    Measured: tests with n replicates find the planted difference in at least 80 % of simulations and with n - 1 in
    fewer; the interval (95 %, by Satterthwaite's degrees of freedom) holds the n of the true variances in 96 to 97 %.
    """
    estimated, low, high = (_needed(difference, variances, alpha) for variances in _variances(spreads))
    return Needed(estimated, low, high)


def detectable(n: int, spreads: tuple[Spread, Spread], alpha: float = ALPHA) -> float:
    """The true difference that n >= 2 replicates each separate with the chance POWER."""
    variances = spreads[0].variance, spreads[1].variance
    unit = math.sqrt(sum(variances) / n)
    scale = optimize.brentq(lambda scale: power(scale * unit, n, variances, alpha) - POWER, 0, 2 / alpha)
    return float(scale) * unit


def _variances(spreads: tuple[Spread, Spread]) -> list[tuple[float, float]]:
    """Both variances as estimated, and with their sum at the ends of its interval."""
    one, two = spreads
    freedom = (one.variance + two.variance) ** 2 / (one.variance**2 / one.freedom + two.variance**2 / two.freedom)
    scales = [1.0, *(float(freedom / bound) for bound in stats.chi2.isf([ALPHA / 2, 1 - ALPHA / 2], freedom))]
    return [(scale * one.variance, scale * two.variance) for scale in scales]


def _needed(difference: float, variances: tuple[float, float], alpha: float) -> int:
    numbers = range(LEAST, MOST)
    return LEAST + bisect_left(numbers, POWER, key=lambda n: power(difference, n, variances, alpha))


def _welch(
    one: Numbers | float, two: Numbers | float, free_one: Numbers | int, free_two: Numbers | int
) -> tuple[Any, Any]:
    """Standard error and degrees of freedom of a difference of means, from the squares of their standard errors."""
    return np.sqrt(one + two), (one + two) ** 2 / (one**2 / free_one + two**2 / free_two)
