"""Trainings in processes of their own that are killed at a given step.

A server that has imported torch forks them: a process that imports it takes seconds.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing import connection, forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import commands
import pytest
import torch
from torch import distributed

from randwire import arguments, run
from randwire import config as configuration
from randwire.config import RunConfig
from randwire.records import Record
from randwire.training import checks
from randwire.training.worker import ProcessWorker

TIMES = ("images_per_s", "seconds_loader", "seconds_step")
CONTEXT = multiprocessing.get_context("forkserver")


@cache
def start_server() -> None:
    CONTEXT.set_forkserver_preload(["killed_ranks_server"])
    with pytest.MonkeyPatch.context() as patch:  # it does not get sys.path, and passes over what it does not find
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        forkserver.ensure_running()


class Strike(NamedTuple):
    """A signal that a rank gets after a step; with `all_ranks` each of them."""

    number: signal.Signals
    epoch: int
    step: int
    rank: int = 0
    all_ranks: bool = False


class Tried(NamedTuple):
    """What came of an attempt: exit codes by rank, and the steps that were trained: (epoch, step), in order."""

    codes: Sequence[int | None]
    steps: Sequence[tuple[int, int]]


class _Worker(ProcessWorker):
    """Writes down each step, by which its clock goes, and strikes."""

    def __init__(self, rank: int, ranks: int, steps: Path, strike: Strike | None) -> None:
        super().__init__(torch.device("cpu"), rank, ranks)
        self.steps, self.strike, self.clock = steps, strike, 0

    def step(self, epoch: int, step: int, steps: int) -> None:
        self.clock += 1
        if self.rank == 0:
            with open(self.steps, "a") as file:
                file.write(f"{epoch} {step}\n")
        strike = self.strike
        if strike and (strike.epoch, strike.step) == (epoch, step) and (strike.all_ranks or strike.rank == self.rank):
            os.kill(os.getpid(), strike.number)


def _rank(config: RunConfig, rank: int, ranks: int, folder: Path, strike: Strike | None) -> None:
    torch.set_num_threads(1)
    os.dup2(os.open(folder / f"rank{rank}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    worker = _Worker(rank, ranks, folder / "steps", strike)
    cast(Any, checks).time = SimpleNamespace(monotonic=lambda: worker.clock)

    def main() -> int:
        run.run(config, worker)
        return 0

    if ranks > 1:
        distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=ranks)
    try:
        code = arguments.guarded(main)
    except BaseException:
        traceback.print_exc()
        code = 1
    os._exit(code)


def attempt(config: RunConfig, ranks: int, folder: Path, strike: Strike | None = None) -> Tried:
    """Train, or go on, on so many ranks. When one has been killed, the others are too, as torchrun does it."""
    folder.mkdir(parents=True)
    start_server()
    processes: list[BaseProcess] = [
        CONTEXT.Process(target=_rank, args=(config, rank, ranks, folder, strike)) for rank in range(ranks)
    ]
    for process in processes:
        process.start()
    try:
        waiting = list(processes)
        while waiting:
            connection.wait([process.sentinel for process in waiting], commands.PATIENCE)
            waiting = [process for process in waiting if process.exitcode is None]
            if any(process.exitcode == -signal.SIGKILL for process in processes):
                break
    finally:
        for process in processes:
            process.kill()
            process.join()
    with contextlib.suppress(FileNotFoundError):
        lines = (folder / "steps").read_text().splitlines()
        return Tried([process.exitcode for process in processes], [_pair(line) for line in lines])
    return Tried([process.exitcode for process in processes], [])


def _pair(line: str) -> tuple[int, int]:
    epoch, step = line.split()
    return int(epoch), int(step)


def settings(folder: Path, keys: Mapping[str, object] = {}) -> RunConfig:
    small: Mapping[str, object] = {
        "graph.nodes": 6,
        "network.channels": 4,
        "network.head": 16,
        "data.resolution": 16,
        "train.epochs": 2,
        "train.batch_size": 120,
        "runtime.wandb": "disabled",
        "runtime.checkpoint_minutes": 2 / 60,
        "runtime.output": str(folder),
    }
    return configuration.load("digits", {**small, **keys})


def numbers(record: Record) -> list[dict[str, Any]]:
    """The rows without what depends on the clock."""
    return [{key: value for key, value in row.items() if key not in TIMES} for row in record.metrics()]
