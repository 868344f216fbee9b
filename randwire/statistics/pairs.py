"""Tests of pairs: which settings or variants differ in their means.

As in `intervals`, the unit of replication is the graph. Variants, which are trained on the same graphs, are compared
graph by graph. Settings are compared by Welch's test and not by one with a common variance, because the paper's own
settings have standard deviations from 0.10 to 0.83 points: with such, tests with a common variance found a false
difference in 16 to 37 % of simulated grids of 29 settings, Welch's in 2 to 4 %.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from scipy import stats

from randwire.statistics.contrast import Estimate, columns
from randwire.statistics.intervals import LEVEL, Interval, Numbers, vary

ALPHA = 1 - LEVEL
"""Error rate of the tests: the chance of at least one false difference among all pairs."""
MIN_REPLICATES = 3
"""The fewest replicates of a setting that is tested. With two the error rate is not held if settings vary unequally."""


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
    alone: Interval
    """Of the difference, for this pair alone, each end at ALPHA: what equivalence tests take."""

    @property
    def separated(self) -> bool:
        return self.adjusted <= ALPHA

    def __str__(self) -> str:
        first, second = self.n
        n = f"n={first}" if first == second else f"n={first} and {second}"
        return f"{self.names[0]} and {self.names[1]} are {'' if self.separated else 'not '}separated at {n}"


def testable(values: Sequence[float]) -> bool:
    """Whether a setting's replicates can be tested: at least MIN_REPLICATES, and not all equal."""
    return len(values) >= MIN_REPLICATES and vary(values)


def compare(settings: Mapping[str, Sequence[float]]) -> list[Pair]:
    """Welch's test of the means of all pairs of testable settings, with Holm's correction over all pairs.

    Because the correction is over all pairs, it also holds for pairs that were chosen by their means. Measured rate of
    any false difference at ALPHA = 0.05 for 29 equal settings: 0.013, 0.022, 0.029 at n = 3, 5, 10; 0.017 to 0.037 if
    their standard deviations lie between 0.1 and 0.8; at worst 0.07, if n is from 3 to 5 and the smallest samples vary
    most. Settings are taken as independent, though they share seeds: what seeds do to all settings alike would make the
    test find less, not more.
    """
    means = {name: Estimate.of(values) for name, values in settings.items() if testable(values)}
    return compare_means(means, combinations(means, 2))


def compare_means(means: Mapping[str, Estimate], pairs: Iterable[tuple[str, str]]) -> list[Pair]:
    """Welch's test of pairs of means, with Holm's correction over these pairs, in the order of their means.

    A mean may be that over several settings, as long as no pair has a setting on both sides.
    """
    names = sorted(means, key=lambda name: -means[name].mean)
    place = {name: k for k, name in enumerate(names)}
    ordered = sorted(sorted((place[one], place[two])) for one, two in pairs)
    if not ordered:
        return []
    mean, variance, freedom = columns(means[name] for name in names)
    one, two = np.array(ordered).T
    difference = mean[one] - mean[two]
    error, free = welch(variance[one], variance[two], freedom[one], freedom[two])
    p = 2 * stats.t.sf(difference / error, free)
    adjusted = holm(p)
    half, alone = (error * stats.t.isf(level, free) for level in (ALPHA / len(p) / 2, ALPHA))
    return [
        Pair(
            (names[i], names[j]),
            (means[names[i]].n, means[names[j]].n),
            float(difference[k]),
            Interval(float(difference[k] - half[k]), float(difference[k] + half[k])),
            float(p[k]),
            float(adjusted[k]),
            Interval(float(difference[k] - alone[k]), float(difference[k] + alone[k])),
        )
        for k, (i, j) in enumerate(ordered)
    ]


def pairs_of(count: int) -> tuple[Any, Any]:
    """The first and the second of all pairs of `count` settings, as indices."""
    one, two = np.triu_indices(count, 1)
    return one, two


def welch_pairs(mean: Numbers, std: Numbers, n: Numbers) -> tuple[Numbers, Numbers]:
    """p of Welch's test of all pairs of settings, and p after Holm's correction over these, as `compare` has them.

    Settings are the last axis of mean, sample standard deviation and number of replicates, which are broadcast; axes
    before it are repetitions by themselves. Pairs, in the order of `pairs_of`, are the last axis of what is returned.
    """
    settings = np.broadcast_arrays(mean, std, n)
    samples = [values[..., which] for which in pairs_of(settings[0].shape[-1]) for values in settings]
    p = np.asarray(stats.ttest_ind_from_stats(*samples, equal_var=False).pvalue)
    return p, holm(p)


def holm(p: Numbers) -> Numbers:
    """p after Holm's step-down correction (1979) over the last axis: of ascending p the k-th times m - k + 1."""
    order = np.argsort(p, axis=-1)
    steps = np.take_along_axis(p, order, -1) * np.arange(p.shape[-1], 0, -1)
    adjusted = np.empty_like(steps)
    np.put_along_axis(adjusted, order, np.minimum(np.maximum.accumulate(steps, axis=-1), 1), -1)
    return adjusted


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
    paired: dict[tuple[str, str], list[float]] = {}
    for one, two in combinations(sorted(means, key=lambda name: -means[name]), 2):
        deltas = differences(variants[one], variants[two])
        if testable(deltas):
            better = math.fsum(deltas) >= 0  # not that of the higher mean, where replicates lack
            paired[(one, two) if better else (two, one)] = deltas if better else [-value for value in deltas]
    tests = [stats.ttest_1samp(deltas, 0.0) for deltas in paired.values()]
    adjusted = holm(np.array([test.pvalue for test in tests]))
    return [
        Pair(
            names,
            (len(deltas), len(deltas)),
            math.fsum(deltas) / len(deltas),
            Interval(*map(float, test.confidence_interval(1 - ALPHA / len(tests)))),
            float(test.pvalue),
            float(corrected),
            Interval(*map(float, test.confidence_interval(1 - 2 * ALPHA))),
        )
        for (names, deltas), test, corrected in zip(paired.items(), tests, adjusted, strict=True)
    ]


def welch(
    one: Numbers | float, two: Numbers | float, free_one: Numbers | float, free_two: Numbers | float
) -> tuple[Any, Any]:
    """Standard error and degrees of freedom of a difference of means, from the squares of their standard errors."""
    return np.sqrt(one + two), (one + two) ** 2 / (one**2 / free_one + two**2 / free_two)
