"""PNG pictures with the geometry of the SVG, through matplotlib's object-oriented interface (no global state)."""

import io
from collections.abc import Mapping

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PatchCollection, PathCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.path import Path

from randwire.dag import DAG
from randwire.drawing.layout import Strand
from randwire.drawing.scene import (
    ACCENT,
    FOOT_PX,
    GAP_PX,
    INK,
    MUTED,
    NODE,
    PAPER,
    SHADES,
    SPANS,
    scene,
    shade,
    thickness,
)

MAX_ENLARGEMENT = 2.0
"""Largest enlargement: a narrow picture gets margins rather than huge nodes."""
MAX_ASPECT = 1.9
"""Largest height of the picture in widths."""


def png(dags: Mapping[str, DAG], title: str, width: int) -> bytes:
    """The picture as a PNG of `width` pixels, without date or software in its metadata."""
    picture = scene(dags, title)
    scale = min(width / picture.width, MAX_ENLARGEMENT * max(1.0, width / 900), MAX_ASPECT * width / picture.height)
    height = round(picture.height * scale)
    dpi = 72 * scale  # one point is one pixel of the SVG
    figure = Figure(figsize=(width / dpi, height / dpi), dpi=dpi, facecolor=PAPER)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    margin = (width / scale - picture.width) / 2
    axes.set_xlim(-margin, picture.width + margin)
    axes.set_ylim(height / scale, 0)

    def write(x: float, y: float, text: str, size: float, colour: str, **style: str) -> None:
        axes.text(x, y, text, fontsize=size, color=colour, family="DejaVu Sans", parse_math=False, **style)  # type: ignore[arg-type]

    if title:
        write(picture.width / 2, 28, title, 14.5, INK, ha="center", weight="bold")
    for panel in picture.panels:
        middle = panel.left + panel.width / 2
        write(middle, picture.top - 26, panel.label, 11.5, INK, ha="center", weight="bold")
        write(middle, picture.top - 9, panel.caption, 9.5, MUTED, ha="center")
        layout = panel.layout
        if layout is None:
            continue
        axes.add_collection(
            PathCollection(
                [_path(strand, panel.shift, picture.top) for strand in layout.strands],
                facecolors="none",
                edgecolors=[SHADES[shade(strand, layout)] for strand in layout.strands],
                linewidths=[thickness(len(strand.targets)) for strand in layout.strands],
                zorder=1,
            )
        )
        circles = [
            Circle((x + panel.shift, y + picture.top), radius)
            for (x, y), radius in zip(layout.centres, layout.radii, strict=True)
        ]
        fills = [ACCENT if vertex >= layout.nodes else NODE for vertex in range(len(circles))]
        axes.add_collection(PatchCollection(circles, facecolors=fills, edgecolors=PAPER, linewidths=1.2, zorder=2))

    y = picture.height - FOOT_PX / 2
    x = max(GAP_PX, (picture.width - 272) / 2)
    write(x, y, "levels down an edge", 9.5, MUTED, va="center")
    x += 122
    for _, label, colour in SPANS:
        axes.plot([x, x + 14], [y, y], color=colour, linewidth=2.4)
        write(x + 18, y, label, 9.5, MUTED, va="center")
        x += 40

    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi, metadata={"Software": None})
    return file.getvalue()


def _path(strand: Strand, dx: float, dy: float) -> Path:
    points = [strand.start, *(point for piece in strand.pieces for point in piece)]
    codes = [Path.MOVETO, *([Path.CURVE4] * (len(points) - 1))]
    return Path([(x + dx, y + dy) for x, y in points], codes)
