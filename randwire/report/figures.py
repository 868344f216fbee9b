"""The figures of a report, as plain plotly descriptions that the page's script draws.

A figure is {"data", "layout", "label", "note"?, "choices"?}; a choice is {"label", "data", "layout"}: what to restyle
when it is selected. All of them name the trial under the pointer. However many trials there are, a figure draws so few
marks that it can be read, and its note says which.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from randwire import registry
from randwire.statistics.correlation import spearman
from randwire.statistics.describe import Description, describe, group
from randwire.statistics.intervals import LEVEL, Interval, t_interval
from randwire.study.results import Group, Trial, mean, number

Figure = dict[str, Any]
T = TypeVar("T")

MOST_SETTINGS = 40
"""Settings that one figure has rows or lines for."""
MOST_MARKS = 30
"""Trials of a setting that are drawn one by one."""
MOST_POINTS = 1_500
"""Points of a scatter plot."""

COLOURS = ("#0072b2", "#d55e00", "#007a5a", "#b0508f", "#8a6d00", "#3d8fc4")
"""Told apart with the common colour deficiencies, and by symbol as well."""
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star")
INK, GRID = "#1f2937", "#e3e7ed"
MEASURES = {
    "depth": "depth (nodes on the longest path)",
    "clustering": "clustering coefficient",
    "path_length": "mean shortest path",
    "mean_degree": "mean degree",
    "max_in_degree": "largest in-degree",
    "edges": "edges",
    "sources": "source nodes",
    "sinks": "sink nodes",
}


@lru_cache
def style(generator: str) -> tuple[str, str]:
    """Colour and symbol of a generator, the same in every figure and every report."""
    known = registry.names("randwire.graphs")
    if generator not in known:  # saved graphs
        return INK, "x"
    place = known.index(generator)
    return COLOURS[place % len(COLOURS)], SYMBOLS[place % len(SYMBOLS)]


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


def measures(budget: Group) -> Figure | None:
    """Top-1 against a graph measure, to be selected; None below two counted trials with measures."""
    trials = evenly(budget.counted, MOST_POINTS)
    known = columns(trials)
    if len(trials) < 2 or not known:
        return None
    note = "Each mark is a trial. A correlation over few graphs shows where to look, and proves nothing."
    if len(trials) < len(budget.counted):
        note += f" {len(trials):,} of {len(budget.counted):,} trials are drawn, evenly from best to worst."
    graphs = [same for found in budget.graphs.values() for same in found]
    scores, by_graph = [mean([trial.score for trial in same]) for same in graphs], columns([same[0] for same in graphs])
    places = group(range(len(trials)), lambda place: trials[place].generator)
    generators = sorted(places)
    first = next(iter(known))
    data: list[Figure] = []
    choices: list[Figure] = []
    for generator in generators:
        colour, symbol = style(generator)
        found = [trials[place] for place in places[generator]]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": generator.upper(),
                "x": [known[first][place] for place in places[generator]],
                "y": [trial.score for trial in found],
                "text": [trial.name for trial in found],
                "hovertemplate": "%{text}<br>%{x:.4g}<br>top-1 %{y:.2f}%<extra></extra>",
                "marker": {"color": colour, "symbol": symbol, "size": 9, "opacity": 0.8},
            }
        )
    for label, column in known.items():
        rho = spearman(by_graph[label], scores) if label in by_graph else None
        n = f"n = {many(len(scores), 'graph')}"
        below = f"Spearman rank correlation {rho:+.2f}, {n}" if rho is not None else n
        choices.append(
            {
                "label": label,
                "data": {"x": [[column[place] for place in places[name]] for name in generators]},
                "layout": {"xaxis.title.text": f"{label}<br><i>{below}</i>", "xaxis.autorange": True},
            }
        )
    layout = layout_of(choices[0]["layout"]["xaxis.title.text"], "top-1 (%)", 380)
    return {"data": data, "layout": layout, "choices": choices, "label": "Graph measures", "note": note}


def columns(trials: Sequence[Trial]) -> dict[str, list[float]]:
    """The graph measures and the number of parameters of trials by label; without those that not all trials have."""
    found = {label: [trial.measures.get(key) for trial in trials] for key, label in MEASURES.items()}
    found["parameters"] = [number(trial.complexity, "params") for trial in trials]
    known = {label: [value for value in column if value is not None] for label, column in found.items()}
    return {label: column for label, column in known.items() if len(column) == len(trials) > 0}


def interval_text(interval: Interval | None, form: str = ".2f") -> str:
    """An interval in words; a dash if there is none."""
    return "-" if interval is None else f"{interval.low:{form}} to {interval.high:{form}}"


def p_text(value: float) -> str:
    """A p value in words."""
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def many(count: int, noun: str) -> str:
    """A number with its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def short(value: float) -> str:
    """A number in few characters: 0.125, 12.5, 43.2 k, 5.61 M."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if abs(value) >= size:
            return f"{value / min(size, 1e3 if unit == ' k' else size):.4g}{unit}"
    return f"{value:.4g}"


def evenly(items: Sequence[T], most: int) -> list[T]:
    """At most so many items, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(k * (len(items) - 1) / (most - 1))] for k in range(most)]


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


def mean_text(name: str, found: Description, interval: Interval | None) -> str:
    """What is known of a mean, for the text beside the pointer."""
    std = f"std {found.std:.2f}" if found.std is not None else "no std"
    return f"{name}: mean {found.mean:.2f}%, {std}, n = {found.n}<br>interval {interval_text(interval)}"


def faint(colour: str, opacity: float) -> str:
    """A colour such as #0072b2 with an opacity, as plotly writes it."""
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def shade(shape: Figure, edges: Iterable[Sequence[float]], colour: str) -> list[Figure]:
    """The area between a lower and an upper line."""
    return [
        {
            **shape,
            "mode": "lines",
            "y": edge,
            "line": {**shape.get("line", {}), "width": 0, "color": colour},
            "fill": fill,
            "fillcolor": faint(colour, 0.13),
            "hoverinfo": "skip",
            "showlegend": False,
        }
        for edge, fill in zip(edges, ("none", "tonexty"), strict=True)
    ]


def layout_of(x: str, y: str, height: int) -> Figure:
    """What all figures have in common, with the titles of the axes."""
    axis = {"gridcolor": GRID, "zeroline": False, "automargin": True, "ticks": "outside", "tickcolor": GRID}
    return {
        "height": height,
        "margin": {"l": 60, "r": 16, "t": 34, "b": 54},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "font": {"family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", "size": 12, "color": INK},
        "hoverlabel": {"bgcolor": "#ffffff", "font": {"color": INK}},
        "hovermode": "closest",
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
        "xaxis": {"title": {"text": x, "standoff": 12}, **axis},
        "yaxis": {"title": {"text": y, "standoff": 14}, **axis},
    }
