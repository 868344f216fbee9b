"""The tables, and all of it as JSON."""

import math
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import numpy as np

from benchmarks.search.cases import Result, differences, interval


def show(results: Sequence[Result], repetitions: int, trials: int) -> None:
    """Print the tables."""
    print(f"n = {repetitions} simulated studies, regret in points of top-1 after the cost of {trials} trainings\n")
    print(f"{'case':28}{'mean':>7}{'  95 % interval':16}{'median':>8}{'quartiles':>14}")
    for result in results:
        if result.case.correlation is None:
            mean, low, high = interval(result.ends)
            first, median, third = result.quartiles()[:, -1]
            print(f"{result.case.label:28}{mean:7.3f}  {low:.3f} to {high:.3f}{median:8.2f}{first:8.2f}{third:6.2f}")
    print(f"\n{'difference of regret':60}{'mean':>7}  95 % interval")
    for row in differences(results):
        what = f"{row['case']} - {row['against']}"
        print(f"{what:60}{row['mean']:+7.3f}  {row['low']:+.3f} to {row['high']:+.3f}")
    print(f"\n{'early stopping':36}{'saved':>7}{'tau':>6}{'best lost':>11}{'finished':>10}{'none':>6}{'median':>8}")
    for result in results:
        if result.case.correlation is not None:
            none = np.mean([run.finished == 0 for run in result.runs])
            print(
                f"{result.case.label:36}{result.mean('saved'):7.0%}{result.mean('tau'):6.2f}{result.mean('lost'):11.0%}"
                f"{result.mean('finished'):10.1f}{none:6.0%}{result.quartiles()[1, -1]:8.2f}"
            )


def report(results: Sequence[Result], repetitions: int, trials: int, seed: int) -> dict[str, Any]:
    """All of it as JSON: infinite values, where no setting has finished, become null."""
    packages = ("optuna", "numpy", "scipy")
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "repetitions": repetitions,
        "trials": trials,
        "seed": seed,
        "differences": differences(results),
        "cases": [
            {
                **asdict(result.case),
                "quartiles": [[_number(value) for value in row] for row in result.quartiles()],
                "ends": [_number(value) for value in result.ends],
                **{name: result.mean(name) for name in ("finished", "saved", "tau", "lost")},
            }
            for result in results
        ],
    }


def _number(value: float) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None
