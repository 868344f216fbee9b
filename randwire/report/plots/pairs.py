"""The differences of all tested pairs of settings, as a matrix."""

from html import escape

import numpy as np

from randwire.pages.style import Figure, layout_of, text_width
from randwire.pages.text import p_text
from randwire.report.facts.study import Section
from randwire.report.plots.study_figure import study_figure

PAIRS_NOTE = (
    "Mean of the row's setting minus the column's (points), both from the highest mean down. Bold: separated, by "
    "Welch's test with Holm's correction for all pairs."
)
SLANT = 0.87
"""The height of a label of the length 1 at 60 degrees."""
MAX_NUMBERED = 32
"""Settings whose differences have room in their cells; of more, those that are separated have a mark."""


@study_figure("three settings of a fixed design, of which two are separated")
def pairs(section: Section) -> Figure | None:
    """Differences of mean top-1 (points) between settings, in bold where corrected tests (Welch, Holm) separate them.

    Not drawn where none are: a sentence says as much.
    """
    names = list(dict.fromkeys(name for pair in section.pairs for name in pair.names))
    if len(names) < 3 or not any(pair.separated for pair in section.pairs):
        return None
    size = len(names)
    values: list[list[float | None]] = [[None] * size for _ in names]
    marks = [[""] * size for _ in names]
    texts = [[""] * size for _ in names]
    for pair in section.pairs:
        i, j = (names.index(name) for name in pair.names)
        values[i][j], values[j][i] = pair.difference, -pair.difference
        marks[i][j], marks[j][i] = (
            _cell(points, pair.separated, size) for points in (pair.difference, -pair.difference)
        )
        texts[i][j] = texts[j][i] = (
            f"{pair}<br>{pair.difference:.2f} points, corrected p {escape(p_text(pair.adjusted))}"
        )
    # One setting that hardly trains would take all the colour.
    limit = float(np.quantile([pair.difference for pair in section.pairs], 0.9)) or 1.0
    data: Figure = {
        "type": "heatmap",
        "x": names,
        "y": names,
        "z": values,
        "text": marks,
        "texttemplate": "%{text}",
        "textfont": {"size": 9, "color": "#111827"},
        "customdata": texts,
        "hovertemplate": "%{customdata}<extra></extra>",
        "hoverongaps": False,
        "colorscale": [[0, "#d9a066"], [0.5, "#f7f7f5"], [1, "#6f9fc8"]],
        "zmin": -limit,
        "zmax": limit,
        "xgap": 1,
        "ygap": 1,
        "colorbar": {"title": {"text": "points", "side": "top"}, "thickness": 12},
    }
    layout = layout_of("", "", round(120 + 20 * size + SLANT * max(map(text_width, names))))
    layout["xaxis"] |= {"tickangle": -60, "showgrid": False, "type": "category", "dtick": 1}
    layout["yaxis"] |= {"autorange": "reversed", "showgrid": False, "type": "category", "dtick": 1}
    return {"data": [data], "layout": layout, "label": "All pairs of settings"}


def _cell(points: float, separated: bool, size: int) -> str:
    if size > MAX_NUMBERED:
        return "●" if separated else ""
    text = f"{round(points, 2) + 0.0:.2f}"  # no -0.00
    return f"<b>{text}</b>" if separated else text
