"""The figures of a report that go over the epochs: learning curves and learning rates."""

from collections.abc import Callable, Sequence

from randwire.records import Row
from randwire.study._report_figures import Figure, layout_of, line, one_legend
from randwire.study._report_trials import Group, Trial, number
from randwire.training.optim import learning_rate

CURVES: dict[str, tuple[str, Callable[[Row], float | None], bool]] = {
    "val top-1": ("val top-1 (%)", lambda row: number(row, "val_top1"), False),
    "val error, log scale": ("val top-1 error (%)", lambda row: _error(row), True),
    "val top-5": ("val top-5 (%)", lambda row: number(row, "val_top5"), False),
    "val loss": ("val loss", lambda row: number(row, "val_loss"), False),
    "train loss": ("train loss", lambda row: number(row, "train_loss"), False),
}


def learning_curves(budget: Group) -> Figure:
    """Learning curves of all trials of a budget, the excluded ones dotted."""
    # The order of the digests: no generator hides the others.
    trials = sorted((trial for trial in budget.trials if trial.rows), key=lambda trial: trial.folder)
    data = _lines(trials, lambda row: number(row, "val_top1"), "%{y:.4g}")
    choices = [
        {
            "label": label,
            "data": {"y": [[value(row) for row in trial.rows] for trial in trials]},
            "layout": {
                "yaxis.title.text": title,
                "yaxis.type": "log" if log else "linear",
                "yaxis.tickmode": "array" if log else "auto",
                "yaxis.tickvals": [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100] if log else None,
                "yaxis.autorange": True,
            },
        }
        for label, (title, value, log) in CURVES.items()
        if any(value(row) is not None for trial in trials for row in trial.rows)
    ]
    layout = layout_of("epoch", next(iter(CURVES.values()))[0], 420)
    layout["xaxis"] |= _whole(max((row["epoch"] for trial in trials for row in trial.rows), default=1))
    return {"data": data, "layout": layout, "choices": choices, "label": "Learning curves"}


def learning_rates(budget: Group) -> Figure:
    """Logged learning rates at the first step of every epoch, on the closed form of the schedule."""
    trials = [trial for trial in budget.trials if trial.rows]
    most = max((row["epoch"] for trial in trials for row in trial.rows), default=1)
    layout = layout_of("epoch", "learning rate", 340)
    layout["xaxis"] |= _whole(most)
    layout["yaxis"]["rangemode"] = "tozero"
    data = _lines(trials, lambda row: number(row, "lr"), "lr %{y:.6g}")
    for trace in data:
        trace |= {"mode": "markers", "marker": {**trace["marker"], "size": 6, "color": trace["line"]["color"]}}
    steps = next((row["steps"] for trial in trials for row in trial.rows if row.get("steps")), None)
    if steps:
        config = budget.trials[0].config.train
        each = min(steps, max(1, 2000 // config.epochs))  # points an epoch
        places = [epoch * steps + k * steps // each for epoch in range(config.epochs) for k in range(each)]
        form: Figure = {
            "type": "scatter",
            "mode": "lines",
            "name": "closed form",
            "x": [1 + place / steps for place in places],
            "y": [learning_rate(place, steps, config) for place in places],
            "hoverinfo": "skip",
            "line": {"color": "#c3cad3", "width": 5},
        }
        data.insert(0, form)
    return {"data": data, "layout": layout, "label": "Learning rate"}


def _error(row: Row) -> float | None:
    top1 = number(row, "val_top1")
    return 100 - top1 if top1 is not None and top1 < 100 else None


def _lines(trials: Sequence[Trial], value: Callable[[Row], float | None], shown: str) -> list[Figure]:
    data = []
    for trial in trials:
        trace = line(trial, [row["epoch"] for row in trial.rows], [value(row) for row in trial.rows])
        trace["hovertemplate"] = f"{trace['text']}<br>epoch %{{x}}: {shown}<extra></extra>"
        data.append(trace)
    one_legend(data)
    return data


def _whole(most: int) -> Figure:
    """Ticks at whole epochs."""
    return {"dtick": 1} if most <= 20 else {"tickformat": "d"}
