"""Where a sweep runs, what of it a trial takes, and how long the sweep waits for what. Imports no Ray."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timeouts:
    """How long a sweep waits, in seconds."""

    stall_s: float = 600.0
    """For a step of a training, before it is ended, and started again from its checkpoint."""
    first_step_s: float = 3600.0
    """For the first step, if that is longer: copying ImageNet to the machine is part of it."""
    retry_delays_s: tuple[float, ...] = (1.0, 15.0, 60.0)
    """Before a lost training is started again: after the first loss without progress, the second, and later ones."""
    idle_s: float = 60.0
    """For the next setting of a worker group, before it gives its resources back."""
    close_s: float = 20.0
    """For the end of a worker group; Ray ends one that is late."""
    storage_s: float = 180.0
    """For shared storage that cannot be reached while records are read or written."""
    storage_poll_s: float = 2.0
    """Between two looks at storage that cannot be reached."""
    head_s: float = 30.0
    """For an answer of the cluster's head. Ray would end the process after 60, with lines of its own."""
    head_poll_s: float = 2.0
    """Between two looks at the head, and for one answer."""
    worker_start_s: float = 900.0
    """For workers on a cluster that grows: a machine may be booting, and install what it needs."""
    row_poll_s: float = 0.25
    """Between two looks at whether a worker group has ended."""


@dataclass(frozen=True)
class Cluster:
    """Where a sweep runs: `address` of a Ray cluster (None: one is started here), and what a trial takes of it.

    What is None follows the machines, see `places`: `workers`, the ranks of a trial; `cpus_per_worker`;
    `gpus_per_worker`, 1 or the part of a GPU that the only rank of a trial takes; `concurrent` settings at a time.
    A training that is lost `losses` times without a checkpoint in between is given up.
    """

    address: str | None = None
    workers: int | None = None
    cpus_per_worker: int | None = None
    concurrent: int | None = None
    losses: int = 4
    timeouts: Timeouts = Timeouts()
    gpus_per_worker: float | None = None

    @property
    def where(self) -> str:
        """What the cluster is called in messages."""
        return "this machine" if self.address is None else "the cluster"
