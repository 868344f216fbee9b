"""The figures of a report, as plain plotly descriptions that the page's script draws.

A figure is {"data", "layout", "label", "choices"?}; a choice is {"label", "data", "layout"}: what to restyle when it is
selected. All of them name the trial under the pointer.
"""

from collections.abc import Sequence
from typing import Any

from randwire import registry
from randwire.study._report_trials import Group, Trial, number
from randwire.study.statistics import describe, spearman

Figure = dict[str, Any]

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


def style(generator: str) -> tuple[str, str]:
    """Colour and symbol of a generator, the same in every figure and every report."""
    known = registry.names("randwire.graphs")
    if generator not in known:  # saved graphs
        return INK, "x"
    place = known.index(generator)
    return COLOURS[place % len(COLOURS)], SYMBOLS[place % len(SYMBOLS)]


def scores(budget: Group) -> Figure:
    """Top-1 of every counted trial by setting, with mean and standard deviation."""
    by_setting = budget.by_setting
    order = list(reversed(by_setting))
    data: list[Figure] = []
    for generator in sorted({trial.generator for trial in budget.counted}):
        colour, symbol = style(generator)
        trials = [trial for trial in budget.counted if trial.generator == generator]
        means = {
            name: describe([trial.score for trial in found])
            for name, found in by_setting.items()
            if found[0].generator == generator
        }
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": generator.upper(),
                "x": [trial.score for trial in trials],
                "y": [order.index(trial.setting) + _offset(trial, by_setting) for trial in trials],
                "text": [trial.name for trial in trials],
                "hovertemplate": "%{text}<br>top-1 %{x:.2f}%<extra></extra>",
                "marker": {"color": colour, "symbol": symbol, "size": 8, "opacity": 0.55},
            }
        )
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "showlegend": False,
                "x": [found.mean for found in means.values()],
                "y": [order.index(name) for name in means],
                "error_x": {
                    "type": "data",
                    "array": [found.std or 0 for found in means.values()],
                    "color": colour,
                    "thickness": 2,
                    "width": 5,
                },
                "text": [
                    f"{name}: mean {found.mean:.2f}%, "
                    + (f"std {found.std:.2f}" if found.std is not None else "no std")
                    + f", n = {found.n}"
                    for name, found in means.items()
                ],
                "hovertemplate": "%{text}<extra></extra>",
                "marker": {"color": "#ffffff", "symbol": "line-ns", "size": 17, "line": {"color": colour, "width": 3}},
            }
        )
    layout = layout_of("top-1 after the last epoch (%)", "", 120 + 30 * len(order))
    layout["yaxis"] |= {
        "tickvals": list(range(len(order))),
        "ticktext": [f"{name}  (n={len(by_setting[name])})" for name in order],
        "range": [-0.7, len(order) - 0.3],
    }
    return {"data": data, "layout": layout, "label": "Top-1 by setting"}


def measures(budget: Group) -> Figure | None:
    """Top-1 against a graph measure, to be selected; None below two counted trials with measures."""
    trials = budget.counted
    columns = {
        label: [trial.measures.get(key) for trial in trials]
        for key, label in MEASURES.items()
        if all(key in trial.measures for trial in trials)
    }
    columns["parameters"] = [number(trial.complexity, "params") for trial in trials]
    columns = {label: column for label, column in columns.items() if None not in column}
    if len(trials) < 2 or not columns:
        return None
    generators = sorted({trial.generator for trial in trials})
    first = next(iter(columns))
    data: list[Figure] = []
    choices: list[Figure] = []
    for generator in generators:
        colour, symbol = style(generator)
        found = [trial for trial in trials if trial.generator == generator]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": generator.upper(),
                "x": _of(generator, trials, columns[first]),
                "y": [trial.score for trial in found],
                "text": [trial.name for trial in found],
                "hovertemplate": "%{text}<br>%{x:.4g}<br>top-1 %{y:.2f}%<extra></extra>",
                "marker": {"color": colour, "symbol": symbol, "size": 9, "opacity": 0.8},
            }
        )
    for label, column in columns.items():
        rho = spearman([value for value in column if value is not None], [trial.score for trial in trials])
        note = f"Spearman rank correlation {rho:+.2f}, n = {len(trials)}" if rho is not None else f"n = {len(trials)}"
        choices.append(
            {
                "label": label,
                "data": {"x": [_of(generator, trials, column) for generator in generators]},
                "layout": {"xaxis.title.text": f"{label}<br><i>{note}</i>", "xaxis.autorange": True},
            }
        )
    layout = layout_of(choices[0]["layout"]["xaxis.title.text"], "top-1 (%)", 380)
    return {"data": data, "layout": layout, "choices": choices, "label": "Graph measures"}


def parallel(budget: Group) -> Figure | None:
    """Parallel coordinates from setting to top-1; None below three counted trials with measures."""
    trials = [trial for trial in reversed(budget.counted) if trial.measures]
    if len(trials) < 3:
        return None
    settings = [name for name, same in budget.by_setting.items() if any(trial.measures for trial in same)]
    columns: list[tuple[str, list[float], list[str]]] = [
        ("setting", [float(-settings.index(trial.setting)) for trial in trials], list(reversed(settings)))
    ]
    columns += [
        (key.replace("_", " "), [trial.measures[key] for trial in trials], [])
        for key in ("depth", "clustering", "path_length", "edges")
        if all(key in trial.measures for trial in trials)
    ]
    counts = [number(trial.complexity, "params") for trial in trials]
    if None not in counts:
        columns.append(("params", [count for count in counts if count is not None], []))
    columns.append(("top-1 (%)", [trial.score for trial in trials], []))

    notes: list[Figure] = []
    scaled = []
    for k, (title, values, names) in enumerate(columns):
        low, high = min(values), max(values)
        scaled.append([(value - low) / (high - low) if high > low else 0.5 for value in values])
        notes.append(_note(k, 1.09, f"<b>{title}</b>", "center"))
        ticks = names or [short(low + (high - low) * step / 4) for step in range(5 if high > low else 1)]
        for place, text in enumerate(ticks):
            y = place / (len(ticks) - 1) if len(ticks) > 1 else 0.5
            notes.append(_note(k, y, text, "right" if k == 0 else "left"))
    data = [line(trial, list(range(len(columns))), [column[n] for column in scaled]) for n, trial in enumerate(trials)]
    for n, trace in enumerate(data):
        lines = [f"{title}: {short(values[n])}" for title, values, names in columns if not names]
        trace |= {"mode": "lines", "hoverinfo": "text", "text": "<br>".join([trials[n].name, *lines])}
        trace["opacity"] = 0.25 + 0.65 * (n + 1) / len(data)
        del trace["hovertemplate"]
    one_legend(data)
    layout = layout_of("", "", max(420, 120 + 20 * len(settings)))
    layout["xaxis"] |= {
        "showticklabels": False,
        "range": [-0.85, len(columns) - 0.45],
        "showgrid": False,
        "ticks": "",
        "fixedrange": True,
    }
    layout["yaxis"] |= {"visible": False, "range": [-0.06, 1.14], "fixedrange": True}
    layout["margin"] |= {"l": 10, "b": 20}
    layout["annotations"] = notes
    layout["shapes"] = [
        {"type": "line", "x0": k, "x1": k, "y0": 0, "y1": 1, "line": {"color": "#8892a0", "width": 1}, "layer": "below"}
        for k in range(len(columns))
    ]
    return {"data": data, "layout": layout, "label": "Parallel coordinates", "wide": True}


def short(value: float) -> str:
    """A number in few characters: 0.125, 12.5, 43.2 k, 5.61 M."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if abs(value) >= size:
            return f"{value / min(size, 1e3 if unit == ' k' else size):.4g}{unit}"
    return f"{value:.4g}"


def _offset(trial: Trial, by_setting: dict[str, list[Trial]]) -> float:
    """Spreads the trials of a setting a little, in the order of their seeds."""
    found = by_setting[trial.setting]
    return 0.0 if len(found) == 1 else 0.24 * (0.5 - found.index(trial) / (len(found) - 1))


def _of(generator: str, trials: Sequence[Trial], column: Sequence[float | None]) -> list[float | None]:
    return [value for trial, value in zip(trials, column, strict=True) if trial.generator == generator]


def line(trial: Trial, xs: Sequence[float], ys: Sequence[float | None]) -> Figure:
    """The line of a trial, dotted if it is excluded."""
    colour, symbol = style(trial.generator)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": trial.generator.upper(),
        "legendgroup": trial.generator,
        "x": xs,
        "y": ys,
        "text": trial.name + ("" if trial.top1 is not None else f" ({trial.status})"),
        "hovertemplate": "",
        "line": {"color": colour, "width": 1.6, "dash": "solid" if trial.top1 is not None else "dot"},
        "marker": {"symbol": symbol, "size": 4},
        "opacity": 0.75,
    }


def one_legend(data: Sequence[Figure]) -> None:
    """One entry of the legend for each generator: the last line, a solid one if there is any."""
    shown = {trace["name"]: trace for trace in sorted(data, key=lambda trace: trace["line"]["dash"] == "solid")}
    for trace in data:
        trace["showlegend"] = trace is shown[trace["name"]]


def _note(x: float, y: float, text: str, anchor: str) -> Figure:
    return {
        "x": x,
        "y": y,
        "text": text,
        "xanchor": anchor,
        "xshift": {"left": 5, "right": -5, "center": 0}[anchor],
        "showarrow": False,
        "font": {"size": 11, "color": INK},
        "bgcolor": "rgba(255,255,255,0.8)",
    }


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
        "xaxis": {"title": {"text": x}, **axis},
        "yaxis": {"title": {"text": y}, **axis},
    }
