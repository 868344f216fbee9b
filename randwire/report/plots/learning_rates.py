"""The logged learning rates on the closed form of the schedule."""

from collections.abc import Sequence

from randwire.report.facts.rates import Check, by_schedule
from randwire.report.style import Figure, evenly, layout_of, style, whole
from randwire.study.results import Group, Trial, number
from randwire.training.optim import learning_rate

MOST = 12
"""Trials whose rates are drawn."""


def learning_rates(budget: Group, result: Check) -> Figure:
    """Logged rates at the first step of every epoch on the closed form; those that disagree are always drawn."""
    wrong = [item.trial for item in result.wrong[:MOST]]
    usual = [trial for trial in budget.trials if trial.rows and all(trial is not other for other in wrong)]
    trials = evenly(usual, MOST) + wrong
    layout = layout_of("epoch", "learning rate", 340)
    layout["xaxis"] |= whole(max((row["epoch"] for trial in trials for row in trial.rows), default=1))
    layout["yaxis"]["rangemode"] = "tozero"
    data: list[Figure] = []
    for trial in trials:
        colour, symbol = style(trial.generator)
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": trial.generator.upper(),
                "legendgroup": trial.generator,
                "showlegend": all(trace["legendgroup"] != trial.generator for trace in data),
                "x": [row["epoch"] for row in trial.rows],
                "y": [number(row, "lr") for row in trial.rows],
                "text": trial.name,
                "hovertemplate": "%{text}<br>epoch %{x}: lr %{y:.6g}<extra></extra>",
                "marker": {"symbol": symbol, "size": 6, "color": colour},
            }
        )
    forms = [form for same in by_schedule(budget).values() if (form := _form(same))]
    for form in forms:
        form["showlegend"] = form is forms[0]
    note = "Marks: what was logged at the first step of each epoch. Line: the closed form of the schedule."
    if len(trials) < sum(bool(trial.rows) for trial in budget.trials):
        note += f" {len(trials)} trials are drawn; all are checked."
    return {"data": [*forms, *data], "layout": layout, "label": "Learning rate", "note": note}


def _form(trials: Sequence[Trial]) -> Figure | None:
    """The closed form of a schedule as a line; None where no trial has logged how many steps an epoch has."""
    config = trials[0].config.train
    steps = next((row["steps"] for trial in trials for row in trial.rows if row.get("steps")), None)
    if not steps:
        return None
    each = min(steps, max(1, 2000 // config.epochs))  # points an epoch
    places = [epoch * steps + k * steps // each for epoch in range(config.epochs) for k in range(each)]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "closed form",
        "x": [1 + place / steps for place in places],
        "y": [learning_rate(place, steps, config) for place in places],
        "hoverinfo": "skip",
        "line": {"color": "#c3cad3", "width": 5},
    }
