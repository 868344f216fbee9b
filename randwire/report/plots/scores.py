"""Top-1 by setting, with the mean over graphs."""

from collections.abc import Sequence

from randwire.report.style import MOST_SETTINGS, Figure, evenly, layout_of, style
from randwire.report.text import mean_text
from randwire.statistics.describe import describe, group
from randwire.statistics.intervals import LEVEL, t_interval
from randwire.study.results import Group, Trial

MOST_MARKS = 30
"""Trials of a setting that are drawn one by one."""


def scores(budget: Group) -> Figure:
    """Top-1 of counted trials by setting, with the mean over graphs and, to be selected, what the bars show."""
    means = {name: describe(values) for name, values in budget.values.items()}
    shown = list(means)
    note = "Each mark is a trial; the bars are about the mean over graphs."
    if len(shown) > MOST_SETTINGS:
        shown = sorted(means, key=lambda name: -means[name].mean)[:MOST_SETTINGS]
        note += f" The best {MOST_SETTINGS} of {len(means):,} settings, best first."
    if any(len(budget.by_setting[name]) > MOST_MARKS for name in shown):
        note += f" Of settings with more than {MOST_MARKS} trials, {MOST_MARKS} evenly from best to worst are drawn."
    row = {name: len(shown) - 1 - place for place, name in enumerate(shown)}
    data: list[Figure] = []
    bars: dict[str, list[list[float]]] = {f"{LEVEL:.0%} interval of the mean": [], "standard deviation": []}
    for generator, names in group(shown, budget.generator).items():
        colour, symbol = style(generator)
        marks = [(trial, row[name] + offset) for name in names for trial, offset in _marks(budget.by_setting[name])]
        intervals = {name: t_interval(budget.values[name]) for name in names}
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": generator.upper(),
                "x": [trial.score for trial, _ in marks],
                "y": [y for _, y in marks],
                "text": [trial.name for trial, _ in marks],
                "hovertemplate": "%{text}<br>top-1 %{x:.2f}%<extra></extra>",
                "marker": {"color": colour, "symbol": symbol, "size": 8, "opacity": 0.55},
            }
        )
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "showlegend": False,
                "x": [means[name].mean for name in names],
                "y": [row[name] for name in names],
                "error_x": {"type": "data", "color": colour, "thickness": 2, "width": 5},
                "text": [mean_text(name, means[name], intervals[name]) for name in names],
                "hovertemplate": "%{text}<extra></extra>",
                "marker": {"color": "#ffffff", "symbol": "line-ns", "size": 17, "line": {"color": colour, "width": 3}},
            }
        )
        halves = [(interval.high - interval.low) / 2 if interval else 0.0 for interval in intervals.values()]
        for lengths, own in zip(bars.values(), (halves, [means[name].std or 0.0 for name in names]), strict=True):
            lengths += [[], own]  # the trials themselves have no bars
    choices: list[Figure] = [
        {"label": label, "data": {"error_x.array": lengths}, "layout": {}} for label, lengths in bars.items()
    ]
    if not budget.tested:
        choices.reverse()  # an interval of the mean says little where the best of many are looked at
    for trace, lengths in zip(data, choices[0]["data"]["error_x.array"], strict=True):
        if "error_x" in trace:
            trace["error_x"]["array"] = lengths
    layout = layout_of("top-1 after the last epoch (%)", "", 120 + 30 * len(shown))
    layout["yaxis"] |= {
        "tickvals": list(row.values()),
        "ticktext": [f"{name}  (n={means[name].n})" for name in shown],
        "range": [-0.7, len(shown) - 0.3],
    }
    if all(found.std is None for found in means.values()):
        choices = []
    return {"data": data, "layout": layout, "choices": choices, "label": "Top-1 by setting", "note": note}


def _marks(trials: Sequence[Trial]) -> list[tuple[Trial, float]]:
    """The trials of a setting that are drawn, and how far off their row: a little, in the order of their seeds."""
    if len(trials) == 1:
        return [(trials[0], 0.0)]
    if len(trials) > MOST_MARKS:
        trials = evenly(sorted(trials, key=lambda trial: -trial.score), MOST_MARKS)
        places = [k * 7 % len(trials) for k in range(len(trials))]  # neighbours in rank are no neighbours in height
    else:
        places = list(range(len(trials)))
    return [(trial, 0.24 * (0.5 - place / (len(trials) - 1))) for trial, place in zip(trials, places, strict=True)]
