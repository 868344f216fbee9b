"""Rank correlations of networks with their measures, over all of them and within settings."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from randwire.pages.text import interval_text
from randwire.statistics.correlation import spearman, spearman_interval
from randwire.statistics.intervals import LEVEL, Interval
from randwire.study.results import Trial, number

MIN_NETWORKS = 5
"""The fewest networks that a correlation is shown for."""
SCOPES = {False: "all networks", True: "within settings"}
"""What a correlation is over, by whether the mean of each setting is taken from both sides."""
MEASURES = {
    "depth": "depth (nodes on the longest path)",
    "clustering": "clustering coefficient",
    "path_length": "mean shortest path",
    "mean_degree": "mean degree",
    "max_in_degree": "largest in-degree",
    "edges": "edges",
    "sources": "source nodes",
    "sinks": "sink nodes",
}


@dataclass(frozen=True)
class Correlation:
    """A rank correlation of n pairs, if it exists."""

    rho: float | None
    interval: Interval | None
    n: int

    def __str__(self) -> str:
        return "-" if self.rho is None else f"{self.rho:+.2f} ({interval_text(self.interval, '+.2f')})"


def correlate(
    settings: Sequence[str], xs: Sequence[float], ys: Sequence[float], within: bool, level: float = LEVEL
) -> Correlation:
    """The rank correlation of pairs, one a network; `within`: after the mean of each setting is taken from both sides.

    Settings with one pair have no part in the latter. The interval is for as many pairs as the means leave free.
    """
    used = 0
    if within:
        counts = Counter(settings)
        xs, ys = (_residuals(settings, values, counts) for values in (xs, ys))
        used = sum(n > 1 for n in counts.values()) - 1
    rho = spearman(xs, ys)
    return Correlation(rho, None if rho is None else spearman_interval(rho, len(xs) - used, level), len(xs))


def columns(trials: Sequence[Trial]) -> dict[str, list[float | None]]:
    """The graph measures and the number of parameters of trials by label; without those that no trial has.

    None stands for what a trial does not have, such as a measure of its graphs where it is a published network.
    """
    columns = {label: [trial.measures.get(key) for trial in trials] for key, label in MEASURES.items()}
    columns["parameters"] = [number(trial.complexity, "params") for trial in trials]
    return {label: column for label, column in columns.items() if any(value is not None for value in column)}


def _residuals(settings: Sequence[str], values: Sequence[float], counts: Counter[str]) -> list[float]:
    """What is left of values after the mean of each setting, of settings with several values."""
    numbers = {name: number for number, name in enumerate(counts)}
    indices = np.array([numbers[name] for name in settings])
    sizes, array = np.array([counts[name] for name in settings]), np.asarray(values, dtype=np.float64)
    residuals = array - (np.bincount(indices, array) / list(counts.values()))[indices]
    # Rounded, or what is equal within a setting would get a rank from its rounding errors.
    rounded: list[float] = residuals[sizes > 1].round(9).tolist()
    return rounded
