"""Figures of a report as plotly's own objects, to show elsewhere: in a notebook, or with `wandb.log`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from randwire.errors import RecordError
from randwire.pages.style import Figure, as_plotly
from randwire.report.facts.study import Section, StudyFacts

if TYPE_CHECKING:
    from plotly.graph_objects import Figure as PlotlyFigure

Draw = Callable[[Section], Figure | None]
"""Draws a figure of a section; None where there is too little to draw."""


class StudyFigure(Protocol):
    """A figure as a function of a study's folder."""

    draw: Draw

    def __call__(self, study: Path | str, budget: int = 1) -> "PlotlyFigure": ...


def study_figure(needs: str) -> Callable[[Draw], StudyFigure]:
    """Make of a function that draws a section one of a study's folder; the former is its attribute `draw`."""

    def decorate(draw: Draw) -> StudyFigure:
        def figure(study: Path | str, budget: int = 1) -> "PlotlyFigure":
            sections = StudyFacts.load(Path(study)).sections
            if not 1 <= budget <= len(sections):
                raise RecordError(f"{study}: has the budgets 1 to {len(sections)}, not {budget}")
            drawn = draw(sections[budget - 1])
            if drawn is None:
                raise RecordError(
                    f"{study}: this figure needs {needs}, which budget {budget} of {len(sections)} has not"
                )
            return as_plotly(drawn)

        figure.__name__ = figure.__qualname__ = draw.__name__
        figure.__module__ = draw.__module__
        figure.__doc__ = f"""{draw.__doc__}

    `study` is the folder of a study, `budget` a number as in its report: 1 is the budget with most trials. Raises
    RecordError if the folder holds no record, or the budget has not {needs}.
    """
        figure.draw = draw  # type: ignore[attr-defined]
        return cast(StudyFigure, figure)

    return decorate
