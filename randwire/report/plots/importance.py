"""How much each parameter of a search decides."""

from randwire.pages.style import Figure
from randwire.report.facts.study import Section
from randwire.report.plots.study_figure import study_figure


@study_figure("a search of which ten settings have finished")
def importance(section: Section) -> Figure | None:
    """How much each parameter of a search decides."""
    return None
