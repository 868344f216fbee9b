"""The best of a search so far."""

from itertools import accumulate
from statistics import quantiles

from randwire.pages.style import INK, MAX_POINTS, Figure, epoch_ticks, evenly, layout_of, style, title_of
from randwire.pages.text import many
from randwire.report.facts.study import Section
from randwire.report.plots.study_figure import study_figure
from randwire.statistics.describe import group
from randwire.study.objectives import TOP1
from randwire.study.tried import Tried

FENCE = 3.0
"""Marks lie further below the first quartile than so many interquartile ranges: then they would squeeze all others."""
_Point = tuple[int, float, Tried]
"""A setting with its number in the order of suggestion and its mean top-1."""


@study_figure("a search of which two settings have finished")
def history(section: Section) -> Figure | None:
    """Mean top-1 (%) of each setting of a search in the order of suggestion, and the best so far."""
    tried = section.tried
    points = [(k, top1, one) for k, one in enumerate(tried, 1) if (top1 := one.value(TOP1)) is not None]
    if len(points) < 2 or TOP1 not in (objective.name for objective in section.objectives):
        return None
    shown = evenly(points, MAX_POINTS)
    by_generator = group(shown, lambda point: point[2].generator)
    data = [_line(points, len(tried)), *(_marks(name, by_generator[name]) for name in sorted(by_generator))]
    what = "top-1 on the images held out" if section.group.holdout else "top-1"
    layout = layout_of("settings, in the order of suggestion", f"mean {what} (%)", 380)
    layout["xaxis"] |= epoch_ticks(len(tried))
    note = _note(section, len(points), len(tried))
    heights = [top1 for _, top1, _ in points]
    low = _fence(heights)
    if low > min(heights):
        margin = 0.06 * (max(heights) - low)
        layout["yaxis"]["range"] = [low - margin, max(heights) + margin]
        below = sum(height < low for height in heights)
        note += f" {many(below, 'setting')} far below the others {'is' if below == 1 else 'are'} not in the picture."
    if len(shown) < len(points):
        note += f" {len(shown):,} of {len(points):,} are drawn as marks."
    return {"data": data, "layout": layout, "label": "The best so far", "note": note}


def _note(section: Section, finished: int, begun: int) -> str:
    order = "in the order of suggestion" if section.suggested else "in the order in which their trainings began"
    alone = " (the search was after more than that)" if len(section.objectives) > 1 else ""
    text = f"Each mark is a setting, {order}, with its mean top-1{alone}; the line is the highest so far."
    if finished < begun:
        text += f" {finished:,} of {begun:,} settings have finished: the others have no mark."
    return f"{text} The highest of many means is too high on average; a confirmation on fresh seeds is not."


def _line(points: list[_Point], last: int) -> Figure:
    """The highest mean so far, up to the last setting; its text names the setting that it belongs to."""
    best: list[_Point] = list(accumulate(points, _better))
    numbers = [number for number, _, _ in points]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "best so far",
        "x": [*numbers, last],
        "y": [top1 for _, top1, _ in (*best, best[-1])],
        "text": [one.name for _, _, one in (*best, best[-1])],
        "hovertemplate": "best so far: %{text}, %{y:.2f}%<extra></extra>",
        "line": {"color": INK, "width": 1.5, "shape": "hv"},
    }


def _better(held: _Point, new: _Point) -> _Point:
    return new if new[1] > held[1] else held


def _marks(generator: str, points: list[_Point]) -> Figure:
    colour, symbol = style(generator)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": title_of(generator),
        "x": [number for number, _, _ in points],
        "y": [top1 for _, top1, _ in points],
        "text": [f"{one.name}, {many(len(one.trials), 'trial')}" for _, _, one in points],
        "hovertemplate": "%{text}<br>number %{x}<br>top-1 %{y:.2f}%<extra></extra>",
        "marker": {"color": colour, "symbol": symbol, "size": 9, "opacity": 0.8},
    }


def _fence(values: list[float]) -> float:
    """What no value lies below, but for those far from the others."""
    first, _, third = quantiles(values, n=4, method="inclusive")
    inside = [value for value in values if value >= first - FENCE * (third - first)]
    return min(inside)
