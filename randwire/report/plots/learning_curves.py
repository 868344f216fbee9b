"""Learning curves: of every trial while these can be told apart, and of settings where there are many."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from randwire.report.facts.epochs import course
from randwire.report.style import Figure, evenly, layout_of, style, whole
from randwire.report.text import many
from randwire.study.results import Group, Trial, mean

MOST = 24
"""Lines of trials that count, and lines of those that do not."""
MARKED = 20
"""Epochs up to which each has a mark."""
CURVES = {
    "val top-1": ("val top-1 (%)", "val_top1"),
    "val error, log scale": ("val top-1 error (%)", "val_top1"),
    "val top-5": ("val top-5 (%)", "val_top5"),
    "val loss": ("val loss", "val_loss"),
    "train loss": ("train loss", "train_loss"),
}
LOG = "val error, log scale"


def learning_curves(budget: Group) -> Figure:
    """Learning curves of a budget, those of excluded trials dotted."""
    curves, note = _curves(budget)
    known = {key: [curve.values(key) for curve in curves] for _, key in CURVES.values()}
    mode = "lines+markers" if budget.trials[0].config.train.epochs <= MARKED else "lines"
    ranks = {name: rank for rank, name in enumerate(sorted({curve.trials[0].generator for curve in curves}))}
    data = [
        {**_line(curve), "mode": mode, "y": ys, "legendrank": ranks[curve.trials[0].generator]}
        for curve, ys in zip(curves, known["val_top1"], strict=True)
    ]
    shown = {trace["name"]: trace for trace in sorted(data, key=lambda trace: trace["line"]["dash"] == "solid")}
    for trace in data:  # one entry of the legend for each generator, a solid line if there is any
        trace["showlegend"] = trace is shown[trace["name"]]
    choices = [
        {
            "label": label,
            "data": {"y": values},
            "layout": {
                "yaxis.title.text": title,
                "yaxis.type": "log" if label == LOG else "linear",
                "yaxis.tickmode": "array" if label == LOG else "auto",
                "yaxis.tickvals": [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100] if label == LOG else None,
                "yaxis.autorange": True,
            },
        }
        for label, (title, key) in CURVES.items()
        for values in [[_errors(ys) if label == LOG else ys for ys in known[key]]]
        if any(y is not None for ys in values for y in ys)
    ]
    layout = layout_of("epoch", next(iter(CURVES.values()))[0], 420)
    layout["xaxis"] |= whole(max((epoch for trace in data for epoch in trace["x"]), default=1))
    return {"data": data, "layout": layout, "choices": choices, "label": "Learning curves", "note": note}


@dataclass(frozen=True)
class _Curve:
    """The mean over some trials of one setting, or one trial."""

    text: str
    trials: Sequence[Trial]

    @property
    def epochs(self) -> list[int]:
        return sorted({row["epoch"] for trial in self.trials for row in trial.rows})

    def values(self, key: str) -> list[float | None]:
        """The mean after each epoch, over the trials that have a value."""
        _, found = course(self.trials, key)
        known = ~np.isnan(found)
        totals, counts = np.where(known, found, 0).sum(axis=0), known.sum(axis=0)
        return [float(total / n) if n else None for total, n in zip(totals, counts, strict=True)]


def _curves(budget: Group) -> tuple[list[_Curve], str]:
    """What is drawn, and what a reader must know of it."""
    counted = [trial for trial in budget.counted if trial.rows]
    others = [trial for trial in budget.trials if trial.rows and trial.top1 is None]
    if len(counted) > MOST and len(budget.by_setting) < len(counted):
        names = sorted(budget.values, key=lambda name: -mean(budget.values[name]))
        kept = evenly(names, MOST)
        curves = [_Curve(f"{name}, mean of {len(same)}", same) for name in kept if (same := budget.by_setting[name])]
        note = "Mean over the trials of a setting, by epoch."
        if len(kept) < len(names):
            note += f" {len(kept)} of {len(names):,} settings, evenly from best to worst."
    else:
        curves = [_Curve(trial.name, [trial]) for trial in evenly(counted, MOST)]
        note = "One line a trial." if len(counted) + len(others) > 1 else ""
        if len(curves) < len(counted):
            note += f" {len(curves)} of {len(counted):,} trials, evenly from best to worst."
    dotted = [_Curve(f"{trial.name} ({trial.status})", [trial]) for trial in evenly(others, MOST)]
    if dotted:
        note += " Dotted: trials that are excluded"
        note += "." if len(dotted) == len(others) else f", {len(dotted)} of {many(len(others), 'trial')}."
    # In the order of the records' names: no generator hides the others.
    return sorted([*curves, *dotted], key=lambda curve: curve.trials[0].folder), note.strip()


def _line(curve: _Curve) -> Figure:
    first = curve.trials[0]
    colour, symbol = style(first.generator)
    return {
        "type": "scatter",
        "name": first.generator.upper(),
        "legendgroup": first.generator,
        "x": curve.epochs,
        "text": curve.text,
        "hovertemplate": "%{text}<br>epoch %{x}: %{y:.4g}<extra></extra>",
        "line": {"color": colour, "width": 1.6, "dash": "solid" if first.top1 is not None else "dot"},
        "marker": {"symbol": symbol, "size": 4},
        "opacity": 0.75,
    }


def _errors(values: Sequence[float | None]) -> list[float | None]:
    """What is missing to 100 %; nothing where none is, as a logarithm has no place for it."""
    return [100 - value if value is not None and value < 100 else None for value in values]
