"""Figures of a report as plotly's own objects, to show elsewhere: in a notebook, or with `wandb.log`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from randwire.errors import RecordError
from randwire.report.facts.study import Section, StudyFacts
from randwire.report.style import Figure

if TYPE_CHECKING:
    from plotly.graph_objects import Figure as PlotlyFigure

Draw = Callable[[Section], Figure | None]
"""Draws a figure of a section; None where there is too little to draw."""


def plotly_figure(study: Path | str, budget: int, draw: Draw, needs: str) -> "PlotlyFigure":
    """What `draw` makes of a budget of the study in a folder; 1 is the budget with most trials.

    Raises RecordError if the folder holds no record, or the budget lacks what the figure `needs`.
    """
    sections = StudyFacts.load(Path(study)).sections
    if not 1 <= budget <= len(sections):
        raise RecordError(f"{study}: has the budgets 1 to {len(sections)}, not {budget}")
    figure = draw(sections[budget - 1])
    if figure is None:
        raise RecordError(f"{study}: this figure needs {needs}, which budget {budget} of {len(sections)} has not")
    return as_plotly(figure)


def as_plotly(figure: Figure) -> "PlotlyFigure":
    """A figure with a menu of what the page offers to select."""
    from plotly.graph_objects import Figure as PlotlyFigure

    buttons = [
        {"label": choice["label"], "method": "update", "args": [choice["data"], choice["layout"]]}
        for choice in figure.get("choices", [])
    ]
    menus = [{"buttons": buttons, "x": 1, "y": 1, "xanchor": "right", "yanchor": "bottom"}] * (len(buttons) > 1)
    return PlotlyFigure(figure["data"], {**figure["layout"], "updatemenus": menus})
