"""Variances: those between and within graphs, and that within settings."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import stats

from randwire.statistics.intervals import Interval
from randwire.statistics.pairs import ALPHA


@dataclass(frozen=True)
class VarianceSplit:
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


def split_variance(
    settings: Sequence[Sequence[Sequence[float]]], names: Sequence[Sequence[str]] | None = None
) -> VarianceSplit | None:
    """The split within settings, from values by setting, graph and run; None if it cannot be told.

    `names` are those of the graphs, where settings may share some: a graph counts once, however many settings it is in,
    and the interval is that of so many graphs.

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
        shared = free_graphs if names is None else independent(names)
        bounds = stats.f.isf([ALPHA / 2, 1 - ALPHA / 2], shared, free_runs)
        low, high = (max((between / within / bound - 1) / size, 0.0) for bound in bounds)
        interval = Interval(low / (1 + low), high / (1 + high))
    total = clipped + within
    share = clipped / total if total else 0.0
    number = len(graphs) if names is None else len({name for setting in names for name in setting})
    return VarianceSplit(number, runs, math.sqrt(clipped), math.sqrt(within), variance < 0, share, interval)


def independent(settings: Sequence[Sequence[str]]) -> int:
    """The degrees of freedom of a variance between graphs within settings, from the names of the graphs of each.

    Of settings that share graphs it is that of all their graphs together: those of one setting say the same again.
    """
    pools: list[set[str]] = []
    for own in map(set, settings):
        shared = [pool for pool in pools if pool & own]
        pools = [pool for pool in pools if not pool & own] + [own.union(*shared)]
    return sum(len(pool) - 1 for pool in pools)


class VarianceEstimate(NamedTuple):
    """A variance and the degrees of freedom of its estimate."""

    variance: float
    freedom: int


def pooled_variance(settings: Sequence[Sequence[float]]) -> VarianceEstimate | None:
    """The variance within settings, from their replicates; None if no setting has two, or nothing varies."""
    freedom = sum(len(values) - 1 for values in settings)
    if not freedom:
        return None
    squares = sum(float(((np.asarray(values) - np.mean(values)) ** 2).sum()) for values in settings)
    return VarianceEstimate(squares / freedom, freedom) if squares else None


def variance_interval(estimate: VarianceEstimate) -> Interval:
    """The interval of a variance of normal values, by the chi-square of its degrees of freedom."""
    bounds = stats.chi2.isf([ALPHA / 2, 1 - ALPHA / 2], estimate.freedom)
    low, high = (float(estimate.variance * estimate.freedom / bound) for bound in bounds)
    return Interval(low, high)
