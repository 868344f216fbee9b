"""How many ranks of which trainings fit the machines of a cluster, and what each gets of them. Imports no Ray."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from randwire.config import Device
from randwire.errors import ConfigError
from randwire.gpu_share import ranks_of_gpu, share_of, units
from randwire.sweep.cluster import Cluster

RANKS = 2
"""Of a trial, where nothing is said of them, a machine holds them, and the batch can be divided."""


class Machine(NamedTuple):
    """CPUs and GPUs of a machine of a cluster, or of `number` alike that an autoscaler may start."""

    cpus: int
    gpus: int
    number: int = 1

    def ranks(self, cpus_per_worker: int, per_gpu: int | None) -> int:
        """Ranks that fit one of them, see `Machines.ranks`."""
        by_cpus = self.cpus // cpus_per_worker
        return by_cpus if per_gpu is None else min(by_cpus, self.gpus * per_gpu)


class Machines(NamedTuple):
    """Those of a cluster: the ones that are `here`, and all that are there once an autoscaler has started its most."""

    here: Sequence[Machine]
    grown: Sequence[Machine] = ()

    @property
    def every(self) -> Sequence[Machine]:
        return (*self.here, *self.grown)

    @property
    def cpus(self) -> int:
        return self._most(lambda one: one.cpus)

    @property
    def gpus(self) -> int:
        return self._most(lambda one: one.gpus)

    def ranks(self, cpus_per_worker: int, per_gpu: int | None) -> int:
        """Ranks that fit: each is on one machine. `per_gpu`: so many share a GPU; None: they train on CPUs."""
        return self._most(lambda one: one.ranks(cpus_per_worker, per_gpu))

    def ranks_together(self, cpus_per_worker: int, per_gpu: int | None) -> int:
        """Ranks that fit the machine that holds most of them."""
        return max((one.ranks(cpus_per_worker, per_gpu) for one in self.every), default=0)

    def _most(self, of: Callable[[Machine], int]) -> int:
        return max(sum(of(one) * one.number for one in some) for some in (self.here, self.grown))


@dataclass(frozen=True)
class Places:
    """What each rank of a sweep gets, and how many settings are trained at a time."""

    gpu: bool
    """Whether ranks train on GPUs."""
    workers: int
    cpus_per_worker: int
    gpus_per_worker: float
    """In Ray's units; 0 on CPUs."""
    gpu_share: float
    """The share of a GPU that a rank has when as many are on it as there will be; 1 on CPUs."""
    settings: int
    note: str = ""
    """What a user would not expect of the numbers that were not given, in one line."""


def places(
    cluster: Cluster,
    device: Device,
    batch_size: int,
    machines: Machines,
    most: int | None = None,
    left: int | None = None,
) -> Places:
    """The places of a sweep on some machines; numbers that are given stay as they are.

    On GPUs the CPUs of a machine are divided by the ranks that fit its GPUs, for the machine with the fewest for each;
    on CPUs a rank takes one. `most` bounds the settings at a time where nothing is said of them. Where fewer are `left`
    than a GPU holds, the few share it, unless it is one of a cluster, where another sweep may take a part, too. Raises
    ConfigError if not one trial fits.
    """
    gpu = device == "cuda" or (device == "auto" and machines.gpus > 0)
    part = cluster.gpus_per_worker
    if part is not None and not gpu:
        raise ConfigError(no_gpu_to_share(cluster, device))
    per_gpu = ranks_of_gpu(part or 1) if gpu else None
    cpus = cluster.cpus_per_worker or (_cpus_of_rank(machines, per_gpu) if per_gpu else 1)
    ranks = machines.ranks(cpus, per_gpu)
    grows = bool(cluster.concurrent and cluster.address)
    together = machines.ranks_together(cpus, per_gpu) or (RANKS if grows else 0)
    workers = cluster.workers or ranks_of_trial(batch_size, part, together)
    fit = ranks // workers
    # Beyond what fits, settings would wait for each other, on a machine that does not grow.
    settings = (cluster.concurrent or 0) if grows else min(cluster.concurrent or most or fit, fit)
    if not settings:
        raise ConfigError(misfit(cluster, gpu, workers, cpus, machines))
    at_once = min(settings, left or settings)
    share = share_of(part or 1) if gpu else 1.0
    if cluster.address is None:
        share = max(share, 1 / at_once)
    notes = [_note(cluster, workers, cpus, batch_size, machines, per_gpu), _idle(at_once, machines, per_gpu or 1)]
    return Places(
        gpu, workers, cpus, units(part or 1) / units(1) if gpu else 0.0, share, settings, "; ".join(filter(None, notes))
    )


def _cpus_of_rank(machines: Machines, per_gpu: int) -> int:
    """CPUs of a rank on a GPU, at least 1: of each machine so that all of its GPUs can be used."""
    with_gpus = [one for one in machines.every if one.gpus and one.cpus]
    return max(1, min((one.cpus // (one.gpus * per_gpu) for one in with_gpus), default=1))


def ranks_of_trial(batch_size: int, part: float | None, together: int) -> int:
    """Ranks of a trial that is told of none, where a machine holds so many together.

    Between machines the exchange of gradients would take longer than the step of a small network; and those of a part
    of a GPU cannot be several.
    """
    return RANKS if part in (None, 1) and together >= RANKS and batch_size % RANKS == 0 else 1


def _note(cluster: Cluster, workers: int, cpus: int, batch_size: int, machines: Machines, per_gpu: int | None) -> str:
    notes = []
    ranks = machines.ranks(cpus, per_gpu)
    if cluster.workers is None and workers != RANKS and cluster.gpus_per_worker in (None, 1):
        room = f"this machine has room for {ranks}" if cluster.address is None else "no machine has room for more"
        cause = f"train.batch_size is {batch_size}" if batch_size % RANKS else room
        notes.append(f"{workers} rank a trial: {cause}; --workers decides otherwise")
    if per_gpu and not machines.gpus and cluster.cpus_per_worker is None:
        notes.append(f"{cpus} CPU a rank: no machine with a GPU is known yet; --cpus-per-worker decides otherwise")
    if per_gpu and 0 < ranks < machines.gpus * per_gpu:
        notes.append(f"there are GPUs for {machines.gpus * per_gpu} ranks, and CPUs for {ranks}")
    return "; ".join(notes)


def _idle(at_once: int, machines: Machines, per_gpu: int) -> str:
    """Of parts of GPUs: that some stay without one, since Ray gives the parts of one before it takes the next."""
    room = machines.gpus * per_gpu
    if per_gpu == 1 or at_once > room - per_gpu:
        return ""
    settings = "1 setting at a time leaves" if at_once == 1 else f"{at_once} settings at a time leave"
    filled = f"there are parts for {room}, and one GPU is filled after the other"
    return f"{settings} GPUs idle: {filled}; raise --gpus-per-worker"


def check(cluster: Cluster, device: Device, batch_size: int) -> None:
    """Raises ConfigError for what no machine could change."""
    part = cluster.gpus_per_worker
    if part is not None:
        try:
            units(part)
        except ValueError as error:
            raise ConfigError(f"--gpus-per-worker: {error}") from None
        if part < 1 and (cluster.workers or 1) > 1:
            raise ConfigError(
                f"--gpus-per-worker: {part:g} is for trials of one rank, and --workers is {cluster.workers}: ranks of "
                "a trial cannot share a GPU; leave one of them out"
            )
        if device == "cpu":
            raise ConfigError(no_gpu_to_share(cluster, device))
    if cluster.workers is not None and batch_size % cluster.workers:
        raise ConfigError(f"train.batch_size: {batch_size} is not divisible by {cluster.workers} ranks (--workers)")


def no_gpu_to_share(cluster: Cluster, device: Device) -> str:
    """Why there is nothing that `gpus_per_worker` could divide, in one line."""
    cause = "runtime.device is cpu" if device == "cpu" else f"{cluster.where} has no GPU"
    return f"--gpus-per-worker: {cause}, so ranks train on CPUs; leave it out"


def misfit(cluster: Cluster, gpu: bool, workers: int, cpus_per_worker: int, machines: Machines) -> str:
    """Why not one trial fits the machines, in one line; `gpu`: whether ranks train on GPUs."""
    grows = "" if cluster.address is None else ", or set --concurrent for a cluster that grows"
    if gpu and not machines.gpus:
        return f"runtime.device: is cuda, and {cluster.where} has no GPU; use auto or cpu{grows}"
    if gpu and machines.gpus < workers:
        has = f"{cluster.where} has {machines.gpus}"
        return f"--workers: a trial of {workers} takes a GPU each, and {has}; lower it{grows}"
    each = f"{cpus_per_worker} CPU{'s' * (cpus_per_worker != 1)}{' each' * (workers != 1)}"
    has = f"{cluster.where} has {machines.cpus}"
    if workers * cpus_per_worker <= machines.cpus:
        with_gpus = [one.cpus for one in machines.every if one.gpus or not gpu]
        has = f"of {cluster.where} no machine{' with a GPU' * gpu} has more than {max(with_gpus, default=0)}"
    return f"--workers: a trial of {workers} takes {each} (--cpus-per-worker), and {has}; lower one of them{grows}"
