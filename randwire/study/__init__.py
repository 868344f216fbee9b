"""A study: which networks are compared, what is planned, and how it stands. No Ray: `randwire.sweep` trains it.

    from randwire import report, study, sweep

    design = study.Design.load("digits", {"train.epochs": 3}, name="mine", search="grid", generators=("er",), seeds=3)
    study.plan(design)  # the trials, with their graphs and sizes; nothing runs
    sweep.run(design, sweep.Cluster(workers=1))
    study.status(design).counts
    report.write_report(design.folder)

Importing this package imports nothing else.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from randwire.study.design import Design
    from randwire.study.planning import plan
    from randwire.study.progress import status
    from randwire.study.setting import Setting

__all__ = ["Design", "Setting", "plan", "status"]

_HOMES = {"Design": "design", "Setting": "setting", "plan": "planning", "status": "progress"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"randwire.study.{_HOMES[name]}"), name)
