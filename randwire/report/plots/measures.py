"""Top-1 against the measures of the graphs."""

from collections.abc import Mapping, Sequence

from randwire.pages.style import MAX_POINTS, Figure, evenly, layout_of, style, title_of
from randwire.pages.text import many
from randwire.report.facts.correlations import (
    MEASURES,
    SCOPES,
    Network,
    columns,
    correlate,
    networks,
    paired_with_score,
)
from randwire.report.facts.study import Section
from randwire.report.plots.axes import whole_step
from randwire.report.plots.study_figure import study_figure
from randwire.statistics.describe import group

COUNTED = frozenset(MEASURES[key] for key in ("depth", "shortest_path", "max_in_degree", "edges", "sources", "sinks"))
"""The measures that are counts, and have ticks at whole numbers."""


@study_figure("two finished graphs with measures")
def measures(section: Section) -> Figure | None:
    """Top-1 (%) against a measure of the graph, such as depth or clustering, to be selected."""
    graphs = sorted(networks(section.group), key=lambda graph: -graph.score)
    values = columns(graphs)
    if len(graphs) < 2 or not values:
        return None
    titles = _titles(graphs, values)
    drawn = evenly(range(len(graphs)), MAX_POINTS)
    note = (
        "Each mark is a graph: the mean over what was trained on it. A correlation over few graphs shows where to "
        "look, and proves nothing."
    )
    if any(graph.first.reference for graph in graphs):
        note += " Published networks have parameters, but no measures of graphs."
    if len(drawn) < len(graphs):
        note += f" {len(drawn):,} of {len(graphs):,} graphs are drawn, evenly from best to worst."
    by_generator = group(drawn, lambda index: graphs[index].first.generator)
    generators = sorted(by_generator)
    first = next(iter(values.values()))
    data = [
        _marks(generator, [graphs[k] for k in by_generator[generator]], [first[k] for k in by_generator[generator]])
        for generator in generators
    ]
    choices: list[Figure] = [
        {
            "label": label,
            "data": {"x": [[column[k] for k in by_generator[name]] for name in generators]},
            "layout": {
                "xaxis.title.text": titles[label],
                "xaxis.autorange": True,
                "xaxis.dtick": _dtick(label, column),
            },
        }
        for label, column in values.items()
    ]
    layout = layout_of(choices[0]["layout"]["xaxis.title.text"], "top-1 (%)", 380)
    layout["xaxis"]["dtick"] = choices[0]["layout"]["xaxis.dtick"]
    return {"data": data, "layout": layout, "choices": choices, "label": "Graph measures", "note": note}


def _marks(generator: str, graphs: Sequence[Network], xs: Sequence[float | None]) -> Figure:
    colour, symbol = style(generator)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": title_of(generator),
        "x": xs,
        "y": [graph.score for graph in graphs],
        "text": [graph.name for graph in graphs],
        "hovertemplate": "%{text}<br>%{x:.4g}<br>top-1 %{y:.2f}%<extra></extra>",
        "marker": {"color": colour, "symbol": symbol, "size": 9, "opacity": 0.8},
    }


def _dtick(label: str, column: Sequence[float | None]) -> int | None:
    """The distance of ticks of what is counted, at whole numbers; None: as plotly chooses."""
    known = [value for value in column if value is not None]
    return whole_step(min(known), max(known)) if label in COUNTED else None


def _titles(graphs: Sequence[Network], values: Mapping[str, Sequence[float | None]]) -> dict[str, str]:
    """Each measure with its rank correlations with top-1, between settings and within them."""
    titles = {}
    for label, column in values.items():
        pairs = paired_with_score(graphs, column)
        below = [f"n = {many(len(pairs), 'graph')}"]
        for within, scope in SCOPES.items():
            found = correlate(pairs, within)
            below += [f"{found.rho:+.2f} {scope}"] if found.rho is not None else []
        text = ", ".join(below) if len(below) == 1 else f"Spearman rank correlation {', '.join(below[1:])}, {below[0]}"
        titles[label] = f"{label}<br><i>{text}</i>"
    return titles
