"""The best of several groups of settings, also where the results themselves say which settings these are.

What is compared are the highest true means of two groups. That of the first is above that of the second if one of its
settings is above every setting of the second. For a given setting that takes a test against each of these and no
correction (intersection-union); for one that results chose among k, each test is at a level divided by k. Measured on
Figure 4's 29 settings at n = 3, 5 and 10: any false difference in less than 0.01 of grids, whatever is equal, and in
0.03 where one generator has one setting and another 20. There tests of the observed bests err in 0.10 to 0.31.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from randwire.statistics.contrast import Estimate, columns
from randwire.statistics.intervals import Interval, Numbers
from randwire.statistics.pairs import ALPHA, Pair, holm, welch


class Group(NamedTuple):
    """Settings of which `best` is taken for the best, whoever or whatever says so."""

    best: str
    names: Sequence[str]
    """All settings among which it was chosen, `best` among them."""


def compare_best(means: Mapping[str, Estimate], groups: Sequence[tuple[Group, Group]]) -> list[Pair]:
    """Whether the highest means of two groups differ, for each two groups: one-sided Welch tests, two for each.

    A pair is named by the bests, and its difference is theirs. Its interval holds the difference of the highest true
    means, for all pairs at once (Bonferroni); p is that of its own question, adjusted for all by Holm's correction. For
    groups of one setting this is `compare_means`.
    """
    ordered = [two if means[two[0].best].mean >= means[two[1].best].mean else two[::-1] for two in groups]
    p = np.array([_p(means, *two) for two in ordered])
    return [
        Pair(
            (one.best, two.best),
            (means[one.best].n, means[two.best].n),
            means[one.best].mean - means[two.best].mean,
            _interval(means, one, two, ALPHA / 2 / len(p)),
            float(p[k]),
            float(adjusted),
            _interval(means, one, two, ALPHA),
        )
        for k, ((one, two), adjusted) in enumerate(zip(ordered, holm(p), strict=True))
    ]


def _p(means: Mapping[str, Estimate], one: Group, two: Group) -> float:
    """Two-sided p of the question whether the highest means differ, of which the first group is the higher one."""
    difference, error, freedom = _against(means, one, two)
    return min(1.0, 2 * len(one.names) * float(stats.t.sf(difference / error, freedom).max()))


def _interval(means: Mapping[str, Estimate], one: Group, two: Group, level: float) -> Interval:
    """Of the difference of the highest means; each end misses it with a chance of at most `level`."""
    return Interval(_lower(means, one, two, level), -_lower(means, two, one, level))


def _lower(means: Mapping[str, Estimate], one: Group, two: Group, level: float) -> float:
    """A lower bound of what the highest mean of the first group is above that of the second."""
    difference, error, freedom = _against(means, one, two)
    return float((difference - stats.t.isf(level / len(one.names), freedom) * error).min())


def _against(means: Mapping[str, Estimate], one: Group, two: Group) -> tuple[Numbers, Numbers, Numbers]:
    """What the best of a group is above each setting of another, with standard errors and degrees of freedom."""
    best = means[one.best]
    mean, variance, freedom = columns(means[name] for name in two.names)
    return best.mean - mean, *welch(best.variance, variance, best.freedom, freedom)
