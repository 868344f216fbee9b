"""Where a sweep runs, and what of it a trial takes. Imports no Ray."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cluster:
    """Where a sweep runs: `address` of a Ray cluster (None: one is started here), and what a trial takes of it.

    A training that makes no step for `stall_minutes` is ended, and goes on from its checkpoint; one that is lost
    `losses` times without an epoch in between is given up.
    """

    address: str | None = None
    workers: int = 2
    cpus_per_worker: int = 1
    concurrent: int | None = None
    stall_minutes: float = 10.0
    losses: int = 4
