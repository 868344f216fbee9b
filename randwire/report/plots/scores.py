"""Top-1 by setting, with the mean over graphs."""

from collections.abc import Mapping, Sequence

from randwire.pages.style import MAX_SETTINGS, Figure, evenly, layout_of, style, title_of
from randwire.pages.text import mean_text
from randwire.report.facts.study import Section
from randwire.report.plots.study_figure import study_figure
from randwire.statistics.describe import Description, describe, group
from randwire.statistics.intervals import LEVEL, Interval, t_interval
from randwire.study.groups import TrialGroup
from randwire.study.results import Trial, mean

MAX_MARKS = 30
"""Trials of a setting that are drawn one by one."""


@study_figure("a finished trial")
def scores(section: Section) -> Figure | None:
    """Top-1 (%) of each trial that counts by setting, with the mean over graphs and its interval (paper, Figure 4)."""
    budget = section.group
    if not budget.counted:
        return None
    means = {name: describe(values) for name, values in budget.values.items()}
    shown = list(means)
    if len(shown) > MAX_SETTINGS:
        shown = sorted(means, key=lambda name: -mean(budget.choosing[name]))[:MAX_SETTINGS]
    rows = {name: len(shown) - 1 - k for k, name in enumerate(shown)}
    data: list[Figure] = []
    bars: dict[str, list[list[float]]] = {f"{LEVEL:.0%} interval of the mean": [], "standard deviation": []}
    for generator, names in group(shown, budget.generator).items():
        intervals = {name: t_interval(budget.values[name]) for name in names}
        data += [_trials(budget, generator, names, rows), _means(generator, names, rows, means, intervals)]
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
    what = "test top-1" if budget.holdout else "top-1"
    layout = layout_of(f"{what} after the last epoch (%)", "", 120 + 30 * len(shown))
    layout["yaxis"] |= {
        "tickvals": list(rows.values()),
        "ticktext": [f"{name}  (n={means[name].n})" for name in shown],
        "range": [-0.7, len(shown) - 0.3],
    }
    if all(mean.std is None for mean in means.values()):
        choices = []
    return {
        "data": data,
        "layout": layout,
        "choices": choices,
        "label": "Top-1 by setting",
        "note": _note(budget, shown),
    }


def _note(budget: TrialGroup, shown: Sequence[str]) -> str:
    note = "Each mark is a trial; the bars are about the mean over graphs."
    if budget.holdout:
        note += " Top-1 is that of the images that tell; what chose is beside the pointer, and decides what is best."
    if len(shown) < len(budget.values):
        note += f" The best {MAX_SETTINGS} of {len(budget.values):,} settings, best first."
    if any(len(budget.by_setting[name]) > MAX_MARKS for name in shown):
        note += f" Of settings with more than {MAX_MARKS} trials, {MAX_MARKS} evenly from best to worst are drawn."
    return note


def _trials(budget: TrialGroup, generator: str, names: Sequence[str], rows: Mapping[str, int]) -> Figure:
    """A mark for each trial of the settings of a generator."""
    colour, symbol = style(generator)
    marks = [(trial, rows[name] + offset) for name in names for trial, offset in _marks(budget.by_setting[name])]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": title_of(generator),
        "x": [trial.score for trial, _ in marks],
        "y": [y for _, y in marks],
        "text": [_marked(trial) for trial, _ in marks],
        "hovertemplate": "%{text}<br>top-1 %{x:.2f}%<extra></extra>",
        "marker": {"color": colour, "symbol": symbol, "size": 8, "opacity": 0.55},
    }


def _marked(trial: Trial) -> str:
    """The name of a trial, with its top-1 by the images that choose where these are others."""
    return trial.name if trial.test_top1 is None else f"{trial.name}<br>{trial.top1:.2f}% by the images that choose"


def _means(
    generator: str,
    names: Sequence[str],
    rows: Mapping[str, int],
    means: Mapping[str, Description],
    intervals: Mapping[str, Interval | None],
) -> Figure:
    """A mark for the mean of each setting of a generator; the lengths of its bars are filled in later."""
    colour, _ = style(generator)
    return {
        "type": "scatter",
        "mode": "markers",
        "showlegend": False,
        "x": [means[name].mean for name in names],
        "y": [rows[name] for name in names],
        "error_x": {"type": "data", "color": colour, "thickness": 2, "width": 5},
        "text": [mean_text(name, means[name], intervals[name]) for name in names],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"color": "#ffffff", "symbol": "line-ns", "size": 17, "line": {"color": colour, "width": 3}},
    }


def _marks(trials: Sequence[Trial]) -> list[tuple[Trial, float]]:
    """The trials of a setting that are drawn, and how far off their row: a little, in the order of their seeds."""
    if len(trials) == 1:
        return [(trials[0], 0.0)]
    if len(trials) > MAX_MARKS:
        trials = evenly(sorted(trials, key=lambda trial: -trial.score), MAX_MARKS)
        ranks = [k * 7 % len(trials) for k in range(len(trials))]  # neighbours in rank are no neighbours in height
    else:
        ranks = list(range(len(trials)))
    return [(trial, 0.24 * (0.5 - rank / (len(trials) - 1))) for trial, rank in zip(trials, ranks, strict=True)]
