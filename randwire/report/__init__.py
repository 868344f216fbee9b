"""The report of a study, as a page, a table, a W&B report, and figures of plotly's own for elsewhere.

    from randwire import report

    report.write_report("runs/generators")  # report.html, which needs nothing but itself
    report.scores("runs/generators").show()

Importing this package imports nothing else; plotly and pandas come with the first use of a function.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from randwire.report.page.study_page import figures, write_report
    from randwire.report.plots.early_epochs import early_epochs
    from randwire.report.plots.error_distributions import error_distributions
    from randwire.report.plots.history import history
    from randwire.report.plots.importance import importance
    from randwire.report.plots.learning_curves import learning_curves
    from randwire.report.plots.learning_rates import learning_rates
    from randwire.report.plots.measures import measures
    from randwire.report.plots.pairs import pairs
    from randwire.report.plots.parallel_coordinates import parallel_coordinates
    from randwire.report.plots.pareto import pareto
    from randwire.report.plots.rounds import rounds
    from randwire.report.plots.scores import scores
    from randwire.report.plots.variants import variants
    from randwire.report.publishing.publisher import publish
    from randwire.report.table import write_table

__all__ = [
    "early_epochs",
    "error_distributions",
    "figures",
    "history",
    "importance",
    "learning_curves",
    "learning_rates",
    "measures",
    "pairs",
    "parallel_coordinates",
    "pareto",
    "publish",
    "rounds",
    "scores",
    "variants",
    "write_report",
    "write_table",
]

_HOMES = {
    "figures": "page.study_page",
    "publish": "publishing.publisher",
    "write_report": "page.study_page",
    "write_table": "table",
}
"""Where functions live that have no file of their own name in plots."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES.get(name, f'plots.{name}')}"), name)
