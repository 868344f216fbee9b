"""The tables."""

import math
import statistics
from collections.abc import Callable
from operator import itemgetter

from benchmarks.start.marks import STAGES
from benchmarks.start.measure import FORMS, Measured
from benchmarks.table import print_table


def show(measured: list[Measured]) -> None:
    """Print the tables: stages of the first setting and of the later ones, then whole sweeps."""
    columns = [(form, later) for form in FORMS for later in (False, True)]
    rows = [["seconds, medians", *(f"{form}, {'later' if later else 'first'}" for form, later in columns)]]
    for stage, name in STAGES.items():
        values = [_median(measured, form, later, itemgetter(stage)) for form, later in columns]
        rows.append([name, *(f"{value:.1f}" for value in values)])
    before = [_median(measured, form, later, _before) for form, later in columns]
    rows.append(["all before training", *(f"{value:.1f}" for value in before)])
    print_table(rows)
    rows = [["a sweep, medians", "wall s", "of it training", "CPU s", "wall, plain / this", "CPU, plain / this"]]
    for form in FORMS:
        sweeps = [sweep for sweep in measured if sweep.form == form]
        plain = [sweep for sweep in measured if sweep.form == "plain"]
        walls = [base.wall / sweep.wall for base, sweep in zip(plain, sweeps, strict=True)]
        cpus = [base.cpu / sweep.cpu for base, sweep in zip(plain, sweeps, strict=True)]
        middle = [statistics.median(values) for values in (
            [sweep.wall for sweep in sweeps], [100 * sweep.share for sweep in sweeps], [sweep.cpu for sweep in sweeps],
            walls, cpus,
        )]  # fmt: skip
        rows.append([form, *(text.format(value) for text, value in zip(
            ("{:.0f}", "{:.0f} %", "{:.0f}", "{:.2f}", "{:.2f}"), middle, strict=True
        ))])  # fmt: skip
    print_table(rows)


def _before(span: dict[str, float]) -> float:
    return sum(seconds for stage, seconds in span.items() if stage != "trained")


def _median(measured: list[Measured], form: str, later: bool, value: Callable[[dict[str, float]], float]) -> float:
    spans = [
        span for sweep in measured if sweep.form == form for span in (sweep.spans[1:] if later else sweep.spans[:1])
    ]
    return statistics.median(map(value, spans)) if spans else math.nan
