"""The cases, and all repetitions of them."""

import functools
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from benchmarks.search.simulation import Case, Floats, Run, deviation, run

SEARCHES: tuple[Literal["random", "tpe"], ...] = ("random", "tpe")
SEEDS = (1, 2, 3, 5)
DEFAULT_SEEDS = 2
"""Seeds of a setting by default."""
CORRELATIONS = (0.5, 0.7, 0.9)
"""Of the first look with the final values. None is known for this task; the paper prints no curves."""
RESAMPLES = 10_000


def cases() -> list[Case]:
    """All that is simulated."""
    with_all_epochs = [Case(search, seeds) for seeds in SEEDS for search in SEARCHES]
    with_all_epochs += [Case(search, DEFAULT_SEEDS, start) for start in ("paper", "mirrored") for search in SEARCHES]
    return with_all_epochs + [
        Case("random", seeds, correlation=correlation, deviation=deviation(correlation))
        for seeds in (1, DEFAULT_SEEDS)
        for correlation in CORRELATIONS
    ]


@dataclass
class Result:
    """A case over all repetitions."""

    case: Case
    runs: list[Run]

    @property
    def ends(self) -> Floats:
        return np.array([run.regret[-1] for run in self.runs])

    def quartiles(self) -> Floats:
        """Quartiles of the regret after each training: of three rows the second is the median."""
        # a method without interpolation, because values may be infinite
        return np.quantile([run.regret for run in self.runs], (0.25, 0.5, 0.75), axis=0, method="inverted_cdf")

    def mean(self, name: str) -> float:
        return float(np.mean([getattr(run, name) for run in self.runs]))


def interval(values: Floats) -> tuple[float, float, float]:
    """The mean, and its 95 % bootstrap interval."""
    picked = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(values[picked].mean(axis=1), (0.025, 0.975))
    return float(values.mean()), float(low), float(high)


def measure(chosen: Sequence[Case], repetitions: int, trials: int, seed: int, processes: int) -> list[Result]:
    """All repetitions of all cases; a repetition's numbers depend on the seed and its own number alone."""
    numbers = range(seed * repetitions, (seed + 1) * repetitions)
    results = []
    with ProcessPoolExecutor(processes) as pool:
        for case in tqdm(chosen, desc="cases", disable=None):
            runs = pool.map(functools.partial(run, case, trials=trials), numbers, chunksize=4)
            results.append(Result(case, list(runs)))
    return results


def differences(results: Sequence[Result]) -> list[dict[str, Any]]:
    """TPE less random search, and each number of seeds less the usual one; below 0 means better."""
    ends = {result.case: result.ends for result in results if result.case.correlation is None}
    pairs = [(case, replace(case, search="random")) for case in ends if case.search == "tpe"]
    blind = [case for case in ends if case.start == "blind" and case.seeds != DEFAULT_SEEDS]
    pairs += [(case, replace(case, seeds=DEFAULT_SEEDS)) for case in blind]
    rows = []
    for case, other in pairs:
        mean, low, high = interval(ends[case] - ends[other])
        rows.append({"case": case.label, "against": other.label, "mean": mean, "low": low, "high": high})
    return rows
