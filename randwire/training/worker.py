"""One rank of a training: the interface that a training loop needs, and the rank of a plain process or of torchrun.

That of a Ray Train worker is in `randwire.sweep.worker`, so that a training never depends on Ray.
"""

import gc
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, Protocol

import torch
from torch import distributed

from randwire import machine
from randwire.config import Device
from randwire.errors import ConfigError, UserError, one_line
from randwire.training import gpus


class Worker(Protocol):
    """One of `world_size` processes that train one network together."""

    rank: int
    world_size: int
    device: torch.device
    cpus: int
    """CPUs that this rank may use."""
    gpu_share: float
    """The share of its GPU that this rank may use, 1 if it has a GPU of its own or none."""

    def step(self, epoch: int, step: int, steps: int) -> None:
        """Called by every rank after each training step (1-based)."""

    def asked_to_save(self) -> bool:
        """Whether the training should be saved at once; True once for each reason. Looked at after training steps."""
        ...

    def saved(self, epoch: int, step: int) -> None:
        """Called by the first rank after each checkpoint in the middle of an epoch."""

    def report(self, row: Mapping[str, Any]) -> bool:
        """Called by every rank after each epoch with equal rows. True, on all ranks, asks the training to stop."""
        ...


class ProcessWorker:
    """A plain process: alone, or one rank of `torchrun`."""

    def __init__(
        self,
        device: torch.device,
        rank: int = 0,
        world_size: int = 1,
        on_step: Callable[[int, int, int], None] | None = None,
        on_report: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> None:
        self.device, self.rank, self.world_size = device, rank, world_size
        self.cpus = beside_launching(machine.cpus_per_rank(), device)
        self.gpu_share = 1.0
        self._on_step, self._on_report = on_step, on_report

    def step(self, epoch: int, step: int, steps: int) -> None:
        if self._on_step and self.rank == 0:
            self._on_step(epoch, step, steps)

    def asked_to_save(self) -> bool:
        return False

    def saved(self, epoch: int, step: int) -> None:
        pass

    def report(self, row: Mapping[str, Any]) -> bool:
        if self._on_report and self.rank == 0:
            self._on_report(row)
        return False


def beside_launching(cpus: int, device: torch.device) -> int:
    """The CPUs of a rank, at least 1, but for the one that launches what its GPU computes."""
    return max(1, cpus - 1) if device.type == "cuda" else cpus


def pick_device(choice: Device, local_rank: int = 0) -> torch.device:
    """The device of a rank. Raises ConfigError if CUDA is asked for and absent, or has no GPU for this rank.

    Under auto a GPU that PyTorch cannot use is told on stderr, once by each machine, and the rank is on the CPU.
    PyTorch takes a thread for each CPU of the affinity: where a quota or SLURM gives fewer, it gets as many as these.
    """
    if "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > (cpus := machine.cpus_per_rank()):
        torch.set_num_threads(cpus)
    if choice == "cpu":
        return torch.device("cpu")
    if not gpus.usable():
        if choice == "cuda":
            raise ConfigError(gpus.absent())
        if local_rank == 0 and (line := gpus.left_out()):
            _tell(line)
        return torch.device("cpu")
    if local_rank >= (count := torch.cuda.device_count()):
        raise ConfigError(
            f"--nproc-per-node: rank {local_rank} of this machine has no GPU, for PyTorch finds {count}; start at most "
            f"{count} ranks here, or use --runtime.device cpu"
        )
    device = torch.device("cuda", local_rank)
    torch.cuda.set_device(device)
    return device


@cache
def _tell(line: str) -> None:
    """Tell something once in this process."""
    print(line, file=sys.stderr)


@contextmanager
def process_group(choice: Device) -> Iterator[tuple[torch.device, int, int]]:
    """The device, rank and world size of this process; joins torchrun's group if it was started by torchrun.

    A mistake of the user that one rank finds alone ends the others, too, with its line: they would wait for it, or
    fail as the connection to it is lost.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield pick_device(choice), 0, 1
        return
    device = pick_device(choice, int(os.environ["LOCAL_RANK"]))
    gpu = device.type == "cuda"
    distributed.init_process_group("nccl" if gpu else "gloo", device_id=device if gpu else None)
    failed = False
    try:
        with _told_to_all():
            yield device, distributed.get_rank(), distributed.get_world_size()
    except Exception:
        failed = True
        raise
    finally:
        # What is left of a distributed network, in cycles, keeps the group and its threads beyond its destruction, and
        # an interpreter that ends while one of them frees a Python object aborts now and then.
        gc.collect()
        if not (
            failed and gpu
        ):  # NCCL may wait for ranks that wait for this one; so the line comes, and the process ends
            distributed.destroy_process_group()


_MISTAKE = "randwire/mistake"
"""What the ranks have in their common store once one of them has found a mistake of the user."""


@contextmanager
def _told_to_all() -> Iterator[None]:
    """Tell other ranks of a UserError, and raise it for the error that the loss of its rank has been here."""
    store = distributed.distributed_c10d._get_default_store()
    try:
        yield
    except UserError as error:
        store.set(_MISTAKE, f"rank {distributed.get_rank()}: {one_line(error)}")
        raise
    except RuntimeError:
        if (told := _mistake(store)) is None:
            raise
        raise UserError(told) from None


def _mistake(store: Any) -> str | None:
    """What another rank has told; None also where the store is lost, with its rank."""
    try:
        return str(store.get(_MISTAKE).decode()) if store.check([_MISTAKE]) else None
    except RuntimeError:
        return None
