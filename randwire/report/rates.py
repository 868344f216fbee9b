"""The logged learning rates against the closed form of the schedule: a trial that had another schedule is found."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from randwire.config import TrainConfig
from randwire.report.curves import whole
from randwire.report.figures import Figure, evenly, layout_of, many, style
from randwire.report.tables import link, table
from randwire.statistics.describe import group
from randwire.study.results import Group, Trial, number
from randwire.training.optim import learning_rate

TOLERANCE = 1e-9
"""How far a logged rate may be from the closed form, as a share of `train.lr`: rounding, and nothing else."""
MOST = 12
"""Trials whose rates are drawn, and trials that disagree and are listed."""
SCHEDULES = {"cosine": "half a cosine", "step": "steps", "exponential": "exponential decay"}


@dataclass(frozen=True)
class Wrong:
    """The epoch of a trial whose logged rate is furthest from the closed form, and how many epochs of it disagree."""

    trial: Trial
    epochs: int
    epoch: int
    logged: float
    expected: float


@dataclass(frozen=True)
class Check:
    """How the logged rates of a group compare with the closed form at the first step of their epochs."""

    epochs: int
    trials: int
    unlogged: int
    """Epochs without a rate."""
    largest: float
    wrong: Sequence[Wrong]
    """Trials that disagree by more than TOLERANCE, the worst first."""


def check(found: Group) -> Check:
    """Compare every logged learning rate with the closed form."""
    epochs = trials = unlogged = 0
    largest, wrong = 0.0, list[Wrong]()
    for trial, config, expected in _expected(found):
        worst, count, known, where = 0.0, 0, 0, (0, 0.0, 0.0)
        for row in trial.rows:
            lr, steps = number(row, "lr"), row.get("steps")
            if lr is None or not steps:
                unlogged += 1
                continue
            place = row["epoch"], steps
            if place not in expected:
                expected[place] = learning_rate((row["epoch"] - 1) * steps, steps, config)
            known += 1
            away = abs(lr - expected[place])
            count += away > TOLERANCE * config.lr
            if away > worst:
                worst, where = away, (row["epoch"], lr, expected[place])
        epochs, trials, largest = epochs + known, trials + bool(known), max(largest, worst)
        if count:
            wrong.append(Wrong(trial, count, *where))
    wrong.sort(key=lambda item: -abs(item.logged - item.expected))
    return Check(epochs, trials, unlogged, largest, wrong)


def check_text(found: Group, result: Check) -> str:
    """The result of the check, and the trials that disagree."""
    if not result.epochs:
        return '<p class="note">No learning rate was logged.</p>'
    names = dict.fromkeys(SCHEDULES[same[0].config.train.schedule] for same in _by_schedule(found).values())
    form = f"the closed form (linear warm-up, {' or '.join(names)})"
    missing = f" {many(result.unlogged, 'epoch')} without a logged rate." if result.unlogged else ""
    if not result.wrong:
        extent = f"{result.epochs:,} logged rates of {many(result.trials, 'trial')}"
        text = f"Agrees: all {extent} are those of {form}; largest deviation {result.largest:.2g}.{missing}"
        return f'<p class="note">{escape(text)}</p>'
    text = (
        f"Not the schedule in {len(result.wrong):,} of {many(result.trials, 'trial')}: logged rates are not those of "
        f"{form}; largest deviation {result.largest:.2g}.{missing}"
    )
    rows = [
        [
            f'<a href="{link(item.trial)}"><code>{escape(item.trial.folder)}</code></a> {escape(item.trial.name)}',
            str(item.epochs),
            str(item.epoch),
            f"{item.logged:.6g}",
            f"{item.expected:.6g}",
        ]
        for item in result.wrong[:MOST]
    ]
    heads = ["trial", "epochs that disagree", "worst epoch", "logged", "closed form"]
    return f'<p class="warning" role="note">{escape(text)}</p>{table(heads, rows)}'


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
    forms = [form for same in _by_schedule(budget).values() if (form := _form(same))]
    for form in forms:
        form["showlegend"] = form is forms[0]
    note = "Marks: what was logged at the first step of each epoch. Line: the closed form of the schedule."
    if len(trials) < sum(bool(trial.rows) for trial in budget.trials):
        note += f" {len(trials)} trials are drawn; all are checked."
    return {"data": [*forms, *data], "layout": layout, "label": "Learning rate", "note": note}


def _by_schedule(found: Group) -> dict[str, list[Trial]]:
    """One schedule, unless it is what the variants of a study differ in."""
    return group(found.trials, lambda trial: trial.config.train.model_dump_json(exclude={"seed"}))


def _expected(found: Group) -> Iterator[tuple[Trial, TrainConfig, dict[tuple[int, int], float]]]:
    """Every trial with its schedule, and what is known of its closed form by epoch and steps."""
    for same in _by_schedule(found).values():
        known: dict[tuple[int, int], float] = {}
        for trial in same:
            yield trial, trial.config.train, known


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
