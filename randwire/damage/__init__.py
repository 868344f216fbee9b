"""Graph damage: what trained networks lose with one node or one edge of their graphs.

    from randwire import damage

    damage.run(["runs/local/0ff78b188587"], damage.Options(nodes=8, edges=8), "runs/damage")
    damage.write_report("runs/damage")  # report.html, which needs nothing but itself
    damage.drops("runs/damage").show()

Importing this package imports nothing else.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from randwire.damage.figure import drops
    from randwire.damage.measure import Options, run
    from randwire.damage.page import write_report

__all__ = ["Options", "drops", "run", "write_report"]

_HOMES = {"Options": "measure", "drops": "figure", "run": "measure", "write_report": "page"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"randwire.damage.{_HOMES[name]}"), name)
