"""Top-1 by setting, with the mean over graphs."""

from collections.abc import Mapping, Sequence

import numpy as np

from randwire.pages.style import MAX_SETTINGS, Figure, evenly, layout_of, style, title_of
from randwire.pages.text import mean_text
from randwire.report.facts.images import worth_of_an_image
from randwire.report.facts.study import Section
from randwire.report.plots.study_figure import study_figure
from randwire.statistics.describe import Description, describe, group
from randwire.statistics.intervals import LEVEL, MIN_VALUES, Interval, t_interval
from randwire.study.groups import TrialGroup
from randwire.study.results import Trial, mean

MAX_MARKS = 30
"""Trials of a setting that are drawn one by one."""
OUTLYING = 3.0
"""The worst setting is far below if it is so many times as far from the best as all but the worst seventh."""
BARS = (f"{LEVEL:.0%} interval of the mean", "standard deviation")
_Bars = tuple[list[float], list[float]]
"""Lengths to the right and to the left of each mark of a trace."""
_NONE: _Bars = ([], [])


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
    by_kind = _by_kind(section, shown)
    shown = [name for names in by_kind.values() for name in names]
    rows = {name: len(shown) - 1 - k for k, name in enumerate(shown)}
    data: list[Figure] = []
    bars: list[tuple[_Bars, _Bars]] = []
    for kind, names in by_kind.items():
        intervals = {name: t_interval(budget.values[name]) for name in names}
        look = style(kind, section.kinds.number(kind))
        data += [_trials(budget, kind, look, names, rows), _means(look, names, rows, means, intervals)]
        bars += [(_NONE, _NONE), (_interval_bars(means, intervals), _std_bars(means, names))]
    choices: list[Figure] = [
        {
            "label": label,
            "data": {
                "error_x.array": [right for right, _ in lengths],
                "error_x.arrayminus": [left for _, left in lengths],
            },
            "layout": {},
        }
        for label, lengths in zip(BARS, zip(*bars, strict=True), strict=True)
    ]
    if not budget.tested:
        choices.reverse()  # an interval of the mean says little where the best of many are looked at
    for k, trace in enumerate(data):
        if "error_x" in trace:
            trace["error_x"] |= {key.removeprefix("error_x."): ends[k] for key, ends in choices[0]["data"].items()}
    what = "test top-1" if budget.holdout else "top-1"
    layout = layout_of(f"{what} after the last epoch (%)", "", 120 + 30 * len(shown))
    layout["yaxis"] |= {
        "tickvals": list(rows.values()),
        "ticktext": [f"{name}  (n={means[name].n})" for name in shown],
        "range": [-0.7, len(shown) - 0.3],
    }
    layout |= _without_outliers(layout, {name: means[name].mean for name in shown}, rows)
    if all(mean.n < MIN_VALUES for mean in means.values()):
        choices = []
    return {
        "data": data,
        "layout": layout,
        "choices": choices,
        "label": "Top-1 by setting",
        "note": _note(budget, shown, bool(layout.get("annotations"))),
    }


def _by_kind(section: Section, shown: Sequence[str]) -> dict[str, list[str]]:
    """The settings that are shown by kind, variants in their order; of those of one kind the order stays."""
    kinds = section.kinds
    by_kind = group(shown, lambda name: kinds.of(section.group.by_setting[name][0]))
    return dict(
        sorted(by_kind.items(), key=lambda item: kinds.names.index(item[0]) if kinds.variants and item[0] else 0)
    )


def _without_outliers(layout: Figure, means: Mapping[str, float], rows: Mapping[str, int]) -> Figure:
    """The horizontal axis without settings far below all others, which leave no room; they are named at its end."""
    best, worst, low = max(means.values()), min(means.values()), float(np.quantile(list(means.values()), 0.15))
    if best - worst <= OUTLYING * (best - low):
        return {}
    start = low - 0.25 * (best - low)
    return {
        "xaxis": {**layout["xaxis"], "range": [start, best + 0.25 * (best - low)]},
        "annotations": [
            {
                "x": 0,
                "xref": "paper",
                "xanchor": "left",
                "y": rows[name],
                "text": f"\u2190 {mean:.2f}",
                "showarrow": False,
                "font": {"size": 11},
            }
            for name, mean in means.items()
            if mean < start
        ],
    }


def _note(budget: TrialGroup, shown: Sequence[str], outlying: bool) -> str:
    note = f"Each mark is a trial; the bars are about the mean over graphs, from n = {MIN_VALUES} on."
    if budget.holdout:
        note += " Top-1 is that of the images that tell; what chose is beside the pointer, and decides what is best."
    if outlying:
        note += " Settings far below all others have their mean at the left edge."
    if len(shown) < len(budget.values):
        note += f" The best {MAX_SETTINGS} of {len(budget.values):,} settings, best first."
    if any(len(budget.by_setting[name]) > MAX_MARKS for name in shown):
        note += f" Of settings with more than {MAX_MARKS} trials, {MAX_MARKS} evenly from best to worst are drawn."
    return " ".join(filter(None, [note, worth_of_an_image(budget)]))


def _interval_bars(means: Mapping[str, Description], intervals: Mapping[str, Interval | None]) -> _Bars:
    """The lengths of the bars from the means to the ends of their intervals; 0, which is not seen, without one."""
    ends = [(means[name].mean, interval or (means[name].mean,) * 2) for name, interval in intervals.items()]
    return [high - mean for mean, (_, high) in ends], [mean - low for mean, (low, _) in ends]


def _std_bars(means: Mapping[str, Description], names: Sequence[str]) -> _Bars:
    """The same for standard deviations."""
    lengths = [std if (std := means[name].std) and means[name].n >= MIN_VALUES else 0.0 for name in names]
    return lengths, lengths


def _trials(
    budget: TrialGroup, kind: str, look: tuple[str, str], names: Sequence[str], rows: Mapping[str, int]
) -> Figure:
    """A mark for each trial of the settings of a kind."""
    colour, symbol = look
    marks = [(trial, rows[name] + offset) for name in names for trial, offset in _marks(budget.by_setting[name])]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": title_of(kind),
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
    look: tuple[str, str],
    names: Sequence[str],
    rows: Mapping[str, int],
    means: Mapping[str, Description],
    intervals: Mapping[str, Interval | None],
) -> Figure:
    """A mark for the mean of each setting of a kind; the lengths of its bars are filled in later."""
    colour, _ = look
    return {
        "type": "scatter",
        "mode": "markers",
        "showlegend": False,
        "x": [means[name].mean for name in names],
        "y": [rows[name] for name in names],
        "error_x": {"type": "data", "symmetric": False, "color": colour, "thickness": 2, "width": 5},
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
