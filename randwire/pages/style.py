"""What the figures of a report have in common: colours, marks, axes, and how much is drawn.

A figure is a plain plotly description that the page's script draws: {"data", "layout", "label", "note"?, "choices"?};
a choice is {"label", "data", "layout"}: what to restyle when it is selected. All of them name the trial under the
pointer. However many trials there are, a figure draws so few marks that it can be read, and its note says which.
"""

import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from randwire import registry

if TYPE_CHECKING:
    from plotly.graph_objects import Figure as PlotlyFigure

Figure = dict[str, Any]
T = TypeVar("T")

MAX_SETTINGS = 40
"""Settings that one figure has rows or lines for."""
MAX_POINTS = 1_500
"""Points of a scatter plot."""

PAPER_STYLES = {"ba": ("#0072b2", "circle"), "er": ("#d55e00", "square"), "ws": ("#007a5a", "diamond")}
"""Colour and symbol of the paper's generators, which can be told apart with the common colour deficiencies."""
COLOURS = ("#b0508f", "#8a6d00", "#3d8fc4", "#7a4fb5", "#a33b2e", "#5f7d1f", "#c48a00", "#1f8f9e", "#6b5344", "#d1477a")
SHAPES = ("triangle-up", "cross", "star", "triangle-down", "pentagon", "hexagram", "hourglass", "bowtie", "hexagon")
SYMBOLS = tuple(f"{shape}{fill}" for shape in SHAPES for fill in ("", "-open"))
"""Of all other generators: each has its own choice of the two, whichever others there are."""
SALT = "25267"
"""Added to names before the choice, so that the networks of `studies/baselines.py` have colours that all differ."""
SAVED = "saved"
"""What the trials with saved graphs have in the place of a generator."""
INK, GRID = "#1f2937", "#e3e7ed"


VARIANTS = ("#4c6a92", "#c0662b", "#4f8a4c", "#a04a7a", "#8a7a2a", "#3f8f98", "#7a5a45", "#6a5fae")
"""Colours of the variants of a study by their place in its order: none is that of a generator of the paper."""


def style(generator: str, number: int | None = None) -> tuple[str, str]:
    """Colour and symbol of a generator, the same in every figure and every report, whichever generators there are.

    With `number` those of the variant at that place in the order of its study.
    """
    if number is not None:
        return VARIANTS[number % len(VARIANTS)], SYMBOLS[2 * number % len(SYMBOLS)]
    if generator == SAVED:
        return INK, "x"
    return PAPER_STYLES.get(generator) or _style_of(generator)


def title_of(generator: str) -> str:
    """How figures and tables call a generator, or a published network: by its own name."""
    return generator.upper() if generator in (SAVED, *registry.names("randwire.graphs")) else generator


@cache
def _style_of(name: str) -> tuple[str, str]:
    """A choice by the name alone."""
    number = int.from_bytes(hashlib.sha256(f"{SALT}{name}".encode()).digest()[:8], "big")
    symbol, colour = divmod(number, len(COLOURS))
    return COLOURS[colour], SYMBOLS[symbol % len(SYMBOLS)]


def evenly(items: Sequence[T], limit: int) -> list[T]:
    """At most so many items, the first and the last among them."""
    if len(items) <= limit:
        return list(items)
    return [items[round(k * (len(items) - 1) / (limit - 1))] for k in range(limit)]


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
        "margin": {"l": 60, "r": 16, "t": 52, "b": 54},  # above: the legend, and over it the buttons
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "font": {"family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", "size": 12, "color": INK},
        "hoverlabel": {"bgcolor": "#ffffff", "font": {"color": INK}},
        "hovermode": "closest",
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
        "xaxis": {"title": {"text": x, "standoff": 12}, **axis},
        "yaxis": {"title": {"text": y, "standoff": 14}, **axis},
    }


def text_width(text: str) -> float:
    """About how many pixels a text takes beside an axis."""
    return sum(8.2 if letter.isupper() else 6.2 for letter in text)


def epoch_ticks(last: int) -> Figure:
    """Ticks at whole epochs, of an axis up to the last one."""
    return {"dtick": 1} if last <= 20 else {"tickformat": "d"}


def as_plotly(figure: Figure) -> "PlotlyFigure":
    """A figure with a menu of what the page offers to select."""
    from plotly.graph_objects import Figure as PlotlyFigure

    buttons = [
        {"label": choice["label"], "method": "update", "args": [choice["data"], choice["layout"]]}
        for choice in figure.get("choices", [])
    ]
    menus = [{"buttons": buttons, "x": 1, "y": 1, "xanchor": "right", "yanchor": "bottom"}] * (len(buttons) > 1)
    return PlotlyFigure(figure["data"], {**figure["layout"], "updatemenus": menus})
