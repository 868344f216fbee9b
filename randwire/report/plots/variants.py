"""The top-1 of each graph under all variants of a study, and the mean differences of pairs of variants."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from randwire.pages.style import INK, MAX_SETTINGS, Figure, evenly, faint, layout_of, style, title_of
from randwire.pages.text import many, mean_text, short
from randwire.report.facts.paired import Paired
from randwire.report.facts.study import Section
from randwire.report.plots.study_figure import study_figure
from randwire.statistics.describe import describe, group
from randwire.statistics.intervals import LEVEL, t_interval
from randwire.statistics.pairs import Pair
from randwire.study.results import Trial, mean, number

TITLE = "Variants, graph by graph"
COSTS = {"mult_adds": "multiply-adds", "params": "parameters"}
MAX_GRAPHS = 40
"""Graphs that are drawn."""
MAX_PAIRS = 15
"""With more, only the pairs of the best variant are drawn."""
MEAN, OFFSET, SPLIT = 0.24, 0.07, (0.6, 0.65)
"""How far the mean and each generator lie off, as a share of the distance of two names; where the panels end, begin."""


class Axis(NamedTuple):
    """What the horizontal axis can show: its name, where the points of each trace lie, and plotly's own settings."""

    label: str
    xs: Sequence[Sequence[float | None]]
    layout: Figure


@study_figure("a fixed design of variants with a graph that two of them were trained on")
def variants(section: Section) -> Figure | None:
    """Top-1 (%) of every graph under each variant, joined by lines, beside the mean differences of pairs (points).

    The horizontal axis has the names of the variants or, where no two of them cost nearly the same, multiply-adds and
    parameters on a logarithmic scale.
    """
    paired = section.variants
    if paired is None or not paired.shared:
        return None
    drawn = evenly(sorted(paired.graphs, key=lambda graph: -_top1(paired.graphs[graph])), MAX_GRAPHS)
    by_generator = group(sorted(drawn), lambda graph: _first(paired.graphs[graph]).generator)
    shown = [pair for pair in paired.pairs if len(paired.pairs) <= MAX_PAIRS or paired.best in pair.names]
    shown = shown[:MAX_SETTINGS]
    axes = [_named_axis(paired, by_generator)]
    axes[:0] = [axis for key, label in COSTS.items() for axis in _cost_axis(paired, by_generator, key, label)]
    data = [*(_lines(paired, generator, graphs) for generator, graphs in by_generator.items()), _means(paired)]
    for trace, xs in zip(data, axes[0].xs, strict=True):
        trace["x"] = xs
    layout = layout_of("", "top-1 after the last epoch (%)", max(380, 150 + 26 * len(shown)))
    if shown:
        layout |= _panel(layout, shown)
        data.append(_differences(paired, shown))
    layout["xaxis"] |= {"domain": [0, SPLIT[0] if shown else 1], **axes[0].layout}
    choices = [
        {
            "label": axis.label,
            "data": {"x": [*axis.xs, *(trace["x"] for trace in data[len(axis.xs) :])]},
            "layout": {f"xaxis.{key}": value for key, value in axis.layout.items()},
        }
        for axis in axes
    ]
    return {
        "data": data,
        "layout": layout,
        "choices": choices,
        "label": TITLE,
        "note": _note(paired, len(drawn), len(shown)),
        "wide": True,
    }


def _note(paired: Paired, drawn: int, pairs: int) -> str:
    graphs = "one graph" if paired.same_graphs else "the graphs of one seed"
    note = f"Each line is {graphs}, trained with every variant; diamonds are means with their standard deviation."
    if not paired.same_graphs:
        note += " Graphs of one seed need not be the same under all variants, as these may differ in stages and nodes."
    lacking = sum(len(cells) < len(paired.cells) for cells in paired.graphs.values())
    if lacking:
        verbs = "lacks a variant, and has" if lacking == 1 else "lack a variant, and have"
        note += f" {lacking:,} of {many(len(paired.graphs), 'graph')} {verbs} no part in its pairs."
    if drawn < len(paired.graphs):
        note += f" {drawn} of {len(paired.graphs):,} graphs are drawn, evenly from best to worst."
    if pairs:
        note += f" Right: mean differences of pairs with their {LEVEL:.0%} intervals, filled where a pair is separated."
    if pairs < len(paired.pairs):
        note += " Only the pairs of the best variant are drawn."
    return note


def _first(cells: Mapping[str, Sequence[Trial]]) -> Trial:
    return next(iter(cells.values()))[0]


def _top1(cells: Mapping[str, Sequence[Trial]]) -> float:
    return mean([trial.score for same in cells.values() for trial in same])


def _lines(paired: Paired, generator: str, graphs: Sequence[str]) -> Figure:
    """The graphs of a generator: top-1 under each variant, with a gap after each graph and where one lacks."""
    colour, symbol = style(generator)
    ys: list[float | None] = []
    texts: list[str] = []
    for graph in graphs:
        ys += [*(paired.values[name].get(graph) for name in paired.cells), None]
        texts += [*(_text(graph, name, paired.cells[name].get(graph, ())) for name in paired.cells), ""]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": title_of(generator),
        "y": ys,
        "text": texts,
        "hovertemplate": "%{text}<br>top-1 %{y:.2f}%<extra></extra>",
        "line": {"color": faint(colour, 0.4), "width": 1},
        "marker": {"color": colour, "symbol": symbol, "size": 7, "opacity": 0.8},
    }


def _text(graph: str, name: str, same: Sequence[Trial]) -> str:
    return f"{graph}, {name}" + (f", mean of {len(same)} trainings" if len(same) > 1 else "")


def _means(paired: Paired) -> Figure:
    means = {name: describe(list(values.values())) for name, values in paired.values.items()}
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "mean ± std",
        "y": [mean.mean for mean in means.values()],
        "text": [
            mean_text(name, means[name], t_interval(list(values.values()))) for name, values in paired.values.items()
        ],
        "hovertemplate": "%{text}<extra></extra>",
        "error_y": {
            "type": "data",
            "array": [mean.std or 0.0 for mean in means.values()],
            "color": INK,
            "width": 5,
        },
        "marker": {"color": INK, "symbol": "diamond", "size": 10, "line": {"color": "#ffffff", "width": 1}},
    }


def _differences(paired: Paired, shown: Sequence[Pair]) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "showlegend": False,
        "xaxis": "x2",
        "yaxis": "y2",
        "x": [pair.difference for pair in shown],
        "y": list(range(len(shown)))[::-1],
        "text": [escape(paired.sentence(pair)) for pair in shown],
        "hovertemplate": "%{text}<extra></extra>",
        "error_x": {
            "type": "data",
            "array": [pair.interval.high - pair.difference for pair in shown],
            "color": INK,
            "thickness": 1.5,
            "width": 4,
        },
        "marker": {
            "color": [INK if pair.separated else "#ffffff" for pair in shown],
            "size": 9,
            "line": {"color": INK, "width": 1.5},
        },
    }


def _panel(layout: Figure, shown: Sequence[Pair]) -> Figure:
    """The axes of the differences. Names stand at the right, where the page makes room for them."""
    ends = [0.0, *(end for pair in shown for end in pair.interval)]
    room = 0.06 * (max(ends) - min(ends))
    return {
        "xaxis2": {
            **layout["xaxis"],
            "domain": [SPLIT[1], 1],
            "anchor": "y2",
            "title": {"text": "difference (points)", "standoff": 12},
            "range": [min(ends) - room, max(ends) + room],
            "zeroline": True,
            "zerolinecolor": "#8892a0",
            "zerolinewidth": 1.5,
        },
        "yaxis2": {
            **layout["yaxis"],
            "anchor": "x2",
            "side": "right",
            "title": {"text": ""},
            "tickvals": list(range(len(shown)))[::-1],
            "ticktext": [" over ".join(pair.names) for pair in shown],
            "range": [-0.7, len(shown) - 0.3],
        },
    }


def _named_axis(paired: Paired, by_generator: Mapping[str, Sequence[str]]) -> Axis:
    """Variants at equal distances; generators lie a little beside each other."""
    names = range(len(paired.cells))
    xs: list[list[float | None]] = []
    for index, graphs in enumerate(by_generator.values()):
        offset = (index - (len(by_generator) - 1) / 2) * OFFSET
        xs.append([*(k + offset for k in names), None] * len(graphs))
    ticks = [f"{name}<br>{paired.described(name)}" for name in paired.cells]
    return _axis("by name", "", [*xs, [k + MEAN for k in names]], "linear", names, ticks, (-0.4, len(names) - 0.5))


def _cost_axis(paired: Paired, by_generator: Mapping[str, Sequence[str]], key: str, label: str) -> list[Axis]:
    """Each trial at its own cost, with ticks at the means; none where costs do not tell the variants apart."""
    costs = paired.costs(key)
    if not costs:
        return []
    xs: list[list[float | None]] = [
        [x for graph in graphs for x in (*(_cost(cells.get(graph), key) for cells in paired.cells.values()), None)]
        for graphs in by_generator.values()
    ]
    own = [[_cost(same, key) or costs[name] for same in cells.values()] for name, cells in paired.cells.items()]
    ends = [math.log10(end) for trials in own for end in (min(trials), max(trials))]
    room = (max(ends) - min(ends)) / 6
    means = [max(trials) * 10 ** (room * MEAN) for trials in own]
    ticks = [f"{name}<br>{short(cost)}<br>{paired.described(name)}" for name, cost in costs.items()]
    values = list(costs.values())
    return [_axis(f"by {label}", label, [*xs, means], "log", values, ticks, (min(ends) - room, max(ends) + room))]


def _axis(
    label: str,
    title: str,
    xs: Sequence[Sequence[float | None]],
    kind: str,
    values: Sequence[float],
    ticks: Sequence[str],
    ends: tuple[float, float],
) -> Axis:
    layout = {"title": {"text": title, "standoff": 12}, "type": kind, "range": list(ends)}
    return Axis(label, xs, {**layout, "tickvals": list(values), "ticktext": ticks})


def _cost(same: Sequence[Trial] | None, key: str) -> float | None:
    return number(same[0].complexity, key) if same else None
