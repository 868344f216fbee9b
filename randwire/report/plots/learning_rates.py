"""The logged learning rates on the closed form of the schedule."""

from collections.abc import Sequence

from randwire.metrics import LR, STEPS
from randwire.pages.style import Figure, epoch_ticks, evenly, layout_of, style, title_of
from randwire.report.facts.kinds import Kinds
from randwire.report.facts.rates import by_schedule
from randwire.report.facts.study import Section
from randwire.report.plots.study_figure import study_figure
from randwire.study.results import Trial, number
from randwire.training.optim import learning_rate

MAX_TRIALS = 12
"""Trials whose rates are drawn, of those that agree with the schedule and of those that do not."""
MAX_FORM_POINTS = 2_000
"""Points of the line of the closed form."""


@study_figure("an epoch of a trial")
def learning_rates(section: Section) -> Figure | None:
    """The learning rates that trials logged at the first step of every epoch, on the closed form of the schedule.

    Those that disagree are always drawn.
    """
    budget = section.group
    if not any(trial.rows for trial in budget.trials):
        return None
    wrong = [item.trial for item in section.rates.wrong[:MAX_TRIALS]]
    usual = [trial for trial in section.trials if trial.rows and all(trial is not other for other in wrong)]
    usual = sorted(evenly(usual, MAX_TRIALS), key=lambda trial: section.kinds.place(section.kinds.of(trial)))
    trials = usual + wrong
    layout = layout_of("epoch", "learning rate", 340)
    layout["xaxis"] |= epoch_ticks(max((row["epoch"] for trial in trials for row in trial.rows), default=1))
    layout["yaxis"]["rangemode"] = "tozero"
    data: list[Figure] = []
    for trial in trials:
        trace = _logged(trial, section.kinds)
        data.append({**trace, "showlegend": all(other["legendgroup"] != trace["legendgroup"] for other in data)})
    forms = [form for same in by_schedule(budget).values() if (form := _form(same))]
    for form in forms:
        form["showlegend"] = form is forms[0]
    note = "Marks: what was logged at the first step of each epoch. Line: the closed form of the schedule."
    if len(trials) < sum(bool(trial.rows) for trial in budget.trials):
        note += f" {len(trials)} trials are drawn; all are checked."
    return {"data": [*forms, *data], "layout": layout, "label": "Learning rate", "note": note}


def _logged(trial: Trial, kinds: Kinds) -> Figure:
    kind = kinds.of(trial)
    colour, symbol = style(kind, kinds.number(kind))
    return {
        "type": "scatter",
        "mode": "markers",
        "name": title_of(kind),
        "legendgroup": kind,
        "x": [row["epoch"] for row in trial.rows],
        "y": [number(row, LR.key) for row in trial.rows],
        "text": trial.name,
        "hovertemplate": "%{text}<br>epoch %{x}: lr %{y:.6g}<extra></extra>",
        "marker": {"symbol": symbol, "size": 6, "color": colour},
    }


def _form(trials: Sequence[Trial]) -> Figure | None:
    """The closed form of a schedule as a line; None where no trial has logged how many steps an epoch has."""
    config = trials[0].config.train
    steps = next((row[STEPS.key] for trial in trials for row in trial.rows if row.get(STEPS.key)), None)
    if not steps:
        return None
    points = min(steps, max(1, MAX_FORM_POINTS // config.epochs))  # in each epoch
    drawn = [epoch * steps + k * steps // points for epoch in range(config.epochs) for k in range(points)]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "closed form",
        "x": [1 + step / steps for step in drawn],
        "y": [learning_rate(step, steps, config) for step in drawn],
        "hoverinfo": "skip",
        "line": {"color": "#c3cad3", "width": 5},
    }
