"""The figure of graph damage, as the paper's Figure 5: drop in top-1 against degree, a column for each generator."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from randwire.damage.removal import Kind
from randwire.damage.results import KINDS, Drop, count_parts, read, sections_of, select
from randwire.errors import RecordError
from randwire.pages.style import INK, Figure, as_plotly, layout_of, style
from randwire.pages.text import many
from randwire.statistics.correlation import spearman
from randwire.statistics.describe import describe

if TYPE_CHECKING:
    from plotly.graph_objects import Figure as PlotlyFigure

AXES: dict[Kind, str] = {"node": "out-degree of the removed node", "edge": "in-degree of the removed edge's target"}
RECALIBRATED_COLOUR = "#6b7280"
GAP_X, GAP_Y, TITLE_HEIGHT = 0.025, 0.13, 0.05
"""Space between panels and above each, as a share of the figure."""


def drops(folder: Path | str, section: int = 1) -> "PlotlyFigure":
    """Drop in top-1 (points) against degree, as plotly's own figure, of the results in a folder.

    `section` is that of the report, where results that cannot be compared have one each. Raises RecordError if there
    is no such section, or no damaged network in it.
    """
    sections = [section_drops for _, _, section_drops in sections_of(read(Path(folder)))]
    if not 1 <= section <= len(sections):
        raise RecordError(f"{folder}: has {len(sections)} sections of damaged networks, not a section {section}")
    return as_plotly(draw(sections[section - 1]))


def draw(drops: Sequence[Drop]) -> Figure:
    """A row of panels for nodes and one for edges, a column for each generator."""
    generators = sorted({drop.result.subject.generator for drop in drops})
    kinds = [kind for kind in KINDS if select(drops, kind=kind)]
    layout = layout_of("", "", 130 + 330 * len(kinds))
    x, y = layout.pop("xaxis"), layout.pop("yaxis")
    layout |= {"annotations": [], "boxmode": "overlay"}
    layout["margin"] |= {"t": 50}
    data: list[Figure] = []
    for row, kind in enumerate(kinds):
        for column, generator in enumerate(generators):
            panel_drops = select(drops, kind=kind, generator=generator)
            axis, first = (_axis(row * len(generators) + index) for index in (column, 0))
            width, bottom = 1 / len(generators), 1 - (row + 1) / len(kinds)
            right = [column * width + (GAP_X if column else 0), (column + 1) * width]
            up = [bottom + (0 if row == len(kinds) - 1 else GAP_Y), 1 - row / len(kinds) - TITLE_HEIGHT]
            layout[f"xaxis{axis}"] = x | _degree_axis(panel_drops, kind) | {"anchor": f"y{axis}", "domain": right}
            layout[f"yaxis{axis}"] = y | {"anchor": f"x{axis}", "domain": up, **_ZERO_LINE}
            layout[f"yaxis{axis}"] |= {"matches": f"y{first}", "showticklabels": False} if column else _DROP_TITLE
            layout["annotations"].append(_title(axis, f"<b>{escape(generator.upper())}</b>  {_summary(panel_drops)}"))
            data += _traces(panel_drops, generator, axis)
    shown: set[str] = set()
    for trace in data:  # one entry of the legend for each name
        trace["showlegend"] = trace["name"] not in shown
        shown.add(trace["name"])
    return {"data": data, "layout": layout, "label": "Drop in top-1 against degree"}


_ZERO_LINE = {"zeroline": True, "zerolinecolor": "#8892a0"}
_DROP_TITLE = {"title": {"text": "drop in top-1 (points)"}}


def _degree_axis(drops: Sequence[Drop], kind: Kind) -> Figure:
    """Degrees, with the number of parts that have each below it."""
    parts = {drop.degree: count_parts(select(drops, degree=drop.degree)) for drop in drops}
    degrees = sorted(parts)
    return {
        "title": {"text": f"{AXES[kind]}<br><i>below it: how many</i>", "font": {"size": 11.5}},
        "tickvals": degrees,
        "ticktext": [f"{degree}<br><i>{parts[degree]}</i>" for degree in degrees],
        "range": [min(degrees, default=0) - 0.7, max(degrees, default=0) + 0.7],
        "showgrid": False,
    }


def _axis(index: int) -> str:
    """What plotly adds to the name of an axis: nothing for the first, 2 for the second."""
    return str(index + 1) if index else ""


def _traces(drops: Sequence[Drop], generator: str, axis: str) -> list[Figure]:
    both = len({drop.recalibrated for drop in drops}) > 1
    traces: list[Figure] = []
    for recalibrated, name in ((False, "BN statistics as trained"), (True, "recalibrated")):
        shown = select(drops, recalibrated=recalibrated)
        if not shown:
            continue
        shift = (0.21 if recalibrated else -0.21) if both else 0.0
        colour = RECALIBRATED_COLOUR if recalibrated else style(generator)[0]
        degrees = sorted({drop.degree for drop in shown})
        means = [describe([drop.points for drop in select(shown, degree=degree)]).mean for degree in degrees]
        axes = {"xaxis": f"x{axis}", "yaxis": f"y{axis}", "legendgroup": name}
        traces.append(
            {
                "type": "box",
                "name": name,
                "x": [drop.degree + shift for drop in shown],
                "y": [drop.points for drop in shown],
                "text": [_hover_text(drop) for drop in shown],
                "hoverinfo": "text",
                "hoveron": "points",
                "boxpoints": "all",
                "jitter": 0.5,
                "pointpos": 0,
                "width": 0.38 if both else 0.6,
                "line": {"color": colour, "width": 1.2},
                "fillcolor": "rgba(0,0,0,0)" if recalibrated else f"{colour}2e",
                "marker": {"color": colour, "size": 3.5, "opacity": 0.5},
                **axes,
            }
        )
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": f"mean, {name}",
                "x": [degree + shift for degree in degrees],
                "y": means,
                "text": [f"mean {mean:.2f} points" for mean in means],
                "hoverinfo": "text",
                "line": {"color": colour, "width": 1, "dash": "dot"},
                "marker": {"symbol": "diamond", "size": 8, "color": colour, "line": {"color": "#ffffff", "width": 1}},
                **axes,
            }
        )
    return traces


def _hover_text(drop: Drop) -> str:
    damage = drop.damage
    part = (
        f"{escape(drop.result.subject.setting)}<br>{damage.stage}, {damage.kind} {' to '.join(map(str, damage.part))}"
    )
    return f"{part}<br>{drop.points:+.2f} points lost, top-1 {drop.result.top1:.2f}%"


def _title(axis: str, text: str) -> Figure:
    position = {"xref": f"x{axis} domain", "x": 0, "xanchor": "left", "yref": f"y{axis} domain", "y": 1.01}
    return position | {"yanchor": "bottom", "showarrow": False, "text": text, "font": {"size": 12, "color": INK}}


def _summary(drops: Sequence[Drop]) -> str:
    """How many were removed of how many networks, and whether the drop goes with the degree."""
    plain = select(drops, recalibrated=False)
    rho = spearman([drop.degree for drop in plain], [drop.points for drop in plain])
    networks = many(len({drop.result.subject.network for drop in drops}), "network")
    return f"n = {count_parts(drops)} of {networks}" + ("" if rho is None else f", rank correlation {rho:+.2f}")
