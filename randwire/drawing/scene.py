"""What a picture shows, whichever way it is drawn: the stages side by side, their captions, colours and legend."""

from collections.abc import Mapping
from dataclasses import dataclass

from randwire.dag import DAG
from randwire.drawing.layout import Layout, Strand, lay_out

INK, MUTED, PAPER = "#1f2937", "#5b6472", "#ffffff"
NODE, ACCENT, ACCENT_EDGE = "#26456e", "#e8710a", "#f0b27a"
SPANS = ((1, "1", "#9aa5b4"), (3, "2-3", "#4a90c2"), (7, "4-7", "#7d5fb2"), (10**9, "8+", "#c03a72"))
"""Edge colours by levels from source to target: their maximum, label and colour. Legible without hue too."""
SHADES = (*(colour for _, _, colour in SPANS), ACCENT_EDGE)

MAX_LINE_EDGES = 8
"""Lines do not become wider beyond this many shared edges."""
MAX_EDGES = 4_000
"""Beyond this many edges a picture shows nothing, so only the captions are drawn."""
HEAD_PX, FOOT_PX, GAP_PX = 40.0, 30.0, 22.0
TITLE_PX = 30.0
MIN_PANEL_WIDTH_PX = 190.0
"""Width of the narrowest panel: its caption needs it."""


@dataclass(frozen=True)
class Panel:
    """One DAG of the picture, with its label, caption, position and drawing (None if it is too large to draw)."""

    label: str
    caption: str
    left: float
    width: float
    layout: Layout | None

    @property
    def shift(self) -> float:
        """Where the drawing starts, so that it is in the middle of the panel."""
        return self.left + (self.width - self.layout.width) / 2 if self.layout else self.left


@dataclass(frozen=True)
class Scene:
    """A whole picture: its size in pixels, its panels and where they start below the title."""

    title: str
    width: float
    height: float
    top: float
    panels: tuple[Panel, ...]


def scene(dags: Mapping[str, DAG], title: str) -> Scene:
    """The picture of stages. Stages that share one DAG are drawn once, under all their names."""
    names: dict[DAG, list[str]] = {}
    for name, dag in dags.items():
        names.setdefault(dag, []).append(name)
    panels: list[Panel] = []
    left, height = GAP_PX, 40.0
    for dag, stages in names.items():
        layout = lay_out(dag) if len(dag.edges) <= MAX_EDGES else None
        size = f"{dag.nodes} node{'s' * (dag.nodes != 1)}, {len(dag.edges)} edge{'s' * (len(dag.edges) != 1)}"
        caption = f"{size}, depth {dag.depth}" + ("" if layout else ": too large to draw")
        label = " = ".join(stages)
        width = max(MIN_PANEL_WIDTH_PX, layout.width if layout else 0.0, 7.5 * len(label), 6.2 * len(caption))
        panels.append(Panel(label, caption, left, width, layout))
        left += width + GAP_PX
        height = max(height, layout.height if layout else 0.0)
    top = TITLE_PX * bool(title) + HEAD_PX + 8
    width = max(left, 8.6 * len(title) + 2 * GAP_PX, 300.0)
    extra = (width - left) / 2
    panels = [Panel(p.label, p.caption, p.left + extra, p.width, p.layout) for p in panels]
    return Scene(title, width, top + height + FOOT_PX, top, tuple(panels))


def shade(strand: Strand, layout: Layout) -> int:
    """Which of SHADES a strand has: that of its shortest edge, or that of the input and output node."""
    if strand.source == layout.nodes or strand.targets == (layout.nodes + 1,):
        return len(SPANS)
    return next(k for k, (max_levels, _, _) in enumerate(SPANS) if strand.span <= max_levels)


def thickness(edges: int) -> float:
    """The width of a line that this many edges share."""
    return 1.2 + 0.12 * (min(edges, MAX_LINE_EDGES) - 1)
