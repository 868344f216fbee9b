"""Learning curves: of every trial while these can be told apart, and of settings where there are many."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from randwire.metrics import METRICS, VAL_TOP1, Metric
from randwire.pages.style import Figure, epoch_ticks, evenly, layout_of, style, title_of
from randwire.pages.text import many
from randwire.report.facts.epochs import by_epoch
from randwire.report.facts.kinds import Kinds
from randwire.report.facts.study import Section
from randwire.report.plots.study_figure import study_figure
from randwire.study.groups import TrialGroup
from randwire.study.results import Trial, mean

MAX_CURVES = 24
"""Lines of trials that count, and lines of those that do not."""
MAX_MARKED_EPOCHS = 20
"""Epochs up to which each has a mark."""


@dataclass(frozen=True)
class Choice:
    """A metric to be selected; `error`: what is missing to 100 %, on a logarithmic scale."""

    metric: Metric
    error: bool = False

    @property
    def label(self) -> str:
        return "val error, log scale" if self.error else self.metric.label

    @property
    def title(self) -> str:
        return "val top-1 error (%)" if self.error else self.metric.title


def choices_of(metrics: Sequence[Metric]) -> list[Choice]:
    """Top-1 and its error, and what else is drawn against the epoch, the losses of training last."""
    others = [Choice(metric) for metric in reversed(metrics) if metric.curve and metric is not VAL_TOP1]
    return [Choice(VAL_TOP1), Choice(VAL_TOP1, error=True), *others]


@study_figure("an epoch of a trial")
def learning_curves(section: Section) -> Figure | None:
    """Top-1 (%), or another metric to be selected, by epoch, dotted if excluded: of trials, or of settings if many."""
    budget = section.group
    if not any(trial.rows for trial in budget.trials):
        return None
    curves, note = _curves(budget)
    choices = choices_of(METRICS)
    values = {choice.metric.key: [curve.values(choice.metric.key) for curve in curves] for choice in choices}
    mode = "lines+markers" if budget.trials[0].config.train.epochs <= MAX_MARKED_EPOCHS else "lines"
    kinds = section.kinds
    data = [
        {**_line(curve, kinds), "mode": mode, "y": ys} for curve, ys in zip(curves, values[VAL_TOP1.key], strict=True)
    ]
    shown = {trace["name"]: trace for trace in sorted(data, key=lambda trace: trace["line"]["dash"] == "solid")}
    for trace in data:  # one entry of the legend for each kind, a solid line if there is any
        trace["showlegend"] = trace is shown[trace["name"]]
    layout = layout_of("epoch", choices[0].title, 420)
    layout["xaxis"] |= epoch_ticks(max((epoch for trace in data for epoch in trace["x"]), default=1))
    return {
        "data": data,
        "layout": layout,
        "choices": [_choice(choice, ys) for choice in choices if (ys := _shown(choice, values[choice.metric.key]))],
        "label": "Learning curves",
        "note": note,
    }


def _shown(choice: Choice, curves: Sequence[Sequence[float | None]]) -> list[list[float | None]]:
    """The values of each curve; empty if no curve has any."""
    shown = [_errors(ys) if choice.error else list(ys) for ys in curves]
    return shown if any(y is not None for ys in shown for y in ys) else []


def _choice(choice: Choice, curves: Sequence[Sequence[float | None]]) -> Figure:
    return {
        "label": choice.label,
        "data": {"y": curves},
        "layout": {
            "yaxis.title.text": choice.title,
            "yaxis.type": "log" if choice.error else "linear",
            "yaxis.tickmode": "array" if choice.error else "auto",
            "yaxis.tickvals": [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100] if choice.error else None,
            "yaxis.autorange": True,
        },
    }


@dataclass(frozen=True)
class Curve:
    """The mean over some trials of one setting, or one trial."""

    text: str
    trials: Sequence[Trial]

    @property
    def epochs(self) -> list[int]:
        return sorted({row["epoch"] for trial in self.trials for row in trial.rows})

    def values(self, key: str) -> list[float | None]:
        """The mean after each epoch, over the trials that have a value."""
        _, values = by_epoch(self.trials, key)
        present = ~np.isnan(values)
        totals, counts = np.where(present, values, 0).sum(axis=0), present.sum(axis=0)
        return [float(total / n) if n else None for total, n in zip(totals, counts, strict=True)]


def _curves(budget: TrialGroup) -> tuple[list[Curve], str]:
    """What is drawn, and what a reader must know of it."""
    counted = [trial for trial in budget.counted if trial.rows]
    others = [trial for trial in budget.trials if trial.rows and trial.top1 is None]
    if len(counted) > MAX_CURVES and len(budget.by_setting) < len(counted):
        names = sorted(budget.values, key=lambda name: -mean(budget.choosing[name]))
        shown = evenly(names, MAX_CURVES)
        curves = [Curve(f"{name}, mean of {len(same)}", same) for name in shown if (same := budget.by_setting[name])]
        note = "Mean over the trials of a setting, by epoch."
        if len(shown) < len(names):
            note += f" {len(shown)} of {len(names):,} settings, evenly from best to worst."
    else:
        curves = [Curve(trial.name, [trial]) for trial in evenly(counted, MAX_CURVES)]
        note = "One line a trial." if len(counted) + len(others) > 1 else ""
        if len(curves) < len(counted):
            note += f" {len(curves)} of {len(counted):,} trials, evenly from best to worst."
    dotted = [Curve(f"{trial.name} ({trial.status})", [trial]) for trial in evenly(others, MAX_CURVES)]
    if dotted:
        note += " Dotted: trials that are excluded"
        note += "." if len(dotted) == len(others) else f", {len(dotted)} of {many(len(others), 'trial')}."
    if budget.holdout:
        note += f" val: the {many(budget.holdout, 'image')} held out of training."
    # In the order of the records' names: no generator hides the others.
    return sorted([*curves, *dotted], key=lambda curve: curve.trials[0].folder), note.strip()


def _line(curve: Curve, kinds: Kinds) -> Figure:
    first = curve.trials[0]
    kind = kinds.of(first)
    colour, symbol = style(kind, kinds.number(kind))
    return {
        "type": "scatter",
        "name": title_of(kind),
        "legendgroup": kind,
        "legendrank": kinds.names.index(kind) if kind in kinds.names else len(kinds.names),
        "x": curve.epochs,
        "text": curve.text,
        "hovertemplate": "%{text}<br>epoch %{x}: %{y:.4g}<extra></extra>",
        "line": {"color": colour, "width": 1.6, "dash": "solid" if first.top1 is not None else "dot"},
        "marker": {"symbol": symbol, "size": 4},
        "opacity": 0.75,
    }


def _errors(values: Sequence[float | None]) -> list[float | None]:
    """What is missing to 100 %; nothing where none is, as that has no logarithm."""
    return [100 - value if value is not None and value < 100 else None for value in values]
