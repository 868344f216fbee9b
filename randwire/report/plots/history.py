"""The best of a search so far."""

from randwire.pages.style import Figure
from randwire.report.facts.study import Section
from randwire.report.plots.study_figure import study_figure


@study_figure("a search of which two settings have finished")
def history(section: Section) -> Figure | None:
    """The best of a search so far."""
    return None
