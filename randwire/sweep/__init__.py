"""The sweep: settings of a study, trained on a Ray cluster.

    from randwire import study, sweep

    sweep.run(study.Design.load("digits", {"train.epochs": 3}), sweep.Cluster(workers=1))

Importing this package imports no Ray; that comes with the first training, after its environment has been chosen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from randwire.stdio import surviving
from randwire.sweep.cluster import Cluster, Timeouts

if TYPE_CHECKING:
    from randwire.study.design import Design

__all__ = ["Cluster", "Timeouts", "run"]


def run(design: Design, cluster: Cluster | None = None) -> int:
    """Train what is left of a study, as `studies/NAME.py sweep` does; without `cluster`, on one of this machine.

    Returns the number of trials that failed or could not be run. Raises ConfigError for what is impossible, DataError
    for unusable data, and KeyboardInterrupt after a clean stop. The study goes on when it is called again.
    """
    from randwire.sweep.launch import check, sweep

    cluster = cluster or Cluster()
    check(design, cluster)
    with surviving(output=False):
        return sweep(design, cluster)
