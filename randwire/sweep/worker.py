"""What happens inside a train worker: one rank of a Ray Train run that trains setting after setting."""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Mapping
from typing import Any

import ray
import ray.train
import torch
from ray.train.torch import get_device
from torch import distributed

from randwire.ending import ending_of
from randwire.errors import ConfigError, RecordError, RecordLockedError, UserError, one_line
from randwire.metrics import VAL_TOP1, choosing
from randwire.run import run
from randwire.study.setting import Setting
from randwire.sweep.channel import PRUNER_NAME, SAVED, SETTING_ENDED, TOLD, USER_ERROR
from randwire.sweep.job import Job
from randwire.sweep.ray_internals import machines_going
from randwire.sweep.watchdog import Watchdog, stall_path
from randwire.training import gpus
from randwire.training.worker import beside_launching

TELL_S = 1.0
"""Seconds between two messages about steps."""
CONTEXT = 512 << 20
"""Bytes that the context of CUDA may take on a GPU for a process: its size depends on GPU and driver."""


class RayWorker:
    """One rank of a Ray Train worker group, with a GPU or, where others use it too, a share of one."""

    def __init__(
        self, digest: str, early_stopping: bool, watchdog: Watchdog, channel: Any, gpu_share: float = 1.0
    ) -> None:
        context = ray.train.get_context()
        self.rank, self.world_size = context.get_world_rank(), context.get_world_size()
        self.device = device_of_rank()
        resources = ray.get_runtime_context().get_assigned_resources()  # type: ignore[no-untyped-call]
        self.cpus = beside_launching(max(1, int(resources.get("CPU", 1))), self.device)
        self.gpu_share = gpu_share if self.device.type == "cuda" else 1.0
        if self.device.type == "cuda":
            self._share_gpu()
        self.digest = digest
        self.pruner = ray.get_actor(PRUNER_NAME) if early_stopping and self.rank == 0 else None
        self.early_stopping = early_stopping
        self.watchdog = watchdog
        self.going: frozenset[str] = frozenset()
        self.channel = channel
        self.told_at = 0.0

    def _share_gpu(self) -> None:
        """One thread launches what the GPU computes, where Ray gives PyTorch one for each CPU.

        Of a shared GPU's memory this process takes its part: more would be taken from the others.
        """
        torch.set_num_threads(1)
        if self.gpu_share < 1:
            memory = torch.cuda.get_device_properties(self.device).total_memory
            torch.cuda.set_per_process_memory_fraction(memory_fraction(self.gpu_share, memory), self.device)

    def step(self, epoch: int, step: int, steps: int) -> None:
        """A sign of life; what the sweep shows of it is not waited for."""
        self.watchdog.feed()
        if self.rank == 0 and (now := time.monotonic()) - self.told_at >= TELL_S:
            self.told_at = now
            self.channel.send_step.remote(self.digest, (epoch, step, steps))

    def asked_to_save(self) -> bool:
        """Whether one more machine is announced to go: it trains on until it is lost."""
        before, self.going = self.going, machines_going()
        return not self.going <= before

    def saved(self, epoch: int, step: int) -> None:
        self.channel.send_row.remote({"digest": self.digest, SAVED: (epoch, step)})

    def report(self, row: Mapping[str, Any]) -> bool:
        """Send the row to Tune, and ask the pruner; all ranks get the answer of rank 0."""
        self.watchdog.feed()
        ray.train.report({**row, "digest": self.digest})
        if not self.early_stopping:
            return False
        stop = torch.zeros(1, device=self.device)
        if self.pruner is not None:
            answer: Any = ray.get(self.pruner.should_stop.remote(self.digest, row["epoch"], row[VAL_TOP1.key]))
            stop += float(answer)
        if self.world_size > 1:
            distributed.broadcast(stop, 0)
        return bool(stop.item())


def device_of_rank() -> torch.device:
    """The GPU that Ray has given this rank; the CPU, for all ranks, if one of them cannot use its GPU (`group`)."""
    if distributed.is_initialized() and distributed.get_backend() == "gloo":
        return torch.device("cpu")
    device: torch.device = get_device()
    return device


def _tell_of_gpu(job: Job, channel: Any) -> None:
    """Tell of the GPU that Ray has given this rank, and PyTorch cannot use. Raises ConfigError if it is asked for."""
    if not job.gpu or not (seen := gpus.of_rank()):
        return
    if job.design.base.runtime.device == "cuda":
        raise ConfigError(f"runtime.device: is cuda, but {seen}; mend that machine, or use auto or cpu")
    line = f"runtime.device: auto is cpu there: {seen}; mend that machine, or use --runtime.device cpu"
    ray.get(channel.send_row.remote({TOLD: line}))


def memory_fraction(share: float, memory: int) -> float:
    """The part of a GPU's memory, in bytes, that PyTorch may take for tensors in a process with a share of the GPU.

    The context of CUDA, which PyTorch does not count, comes out of the same share.
    """
    return max(share / 2, share - CONTEXT / memory)


def train_settings(config: Mapping[str, Any]) -> None:
    """Train the settings that the driver gives, one after the other, in one worker group; called by every rank.

    `config`, Ray Train's word for it, holds a `job` and the `channel` that hands out the settings.
    """
    job, channel = config["job"], config["channel"]
    for number in itertools.count():
        setting = ray.get(channel.receive_setting.remote(number))
        if setting is None:
            return
        train_setting(Setting.parse(setting), job, channel)
        ray.train.report({SETTING_ENDED: number})  # by every rank: when rank 0 has reported it, all have ended
        gc.collect()  # what the wrapper of the last network holds in a circle, on the GPU too


def train_setting(setting: Setting, job: Job, channel: Any) -> None:
    """Train the trials of a setting, one after the other.

    An error of the user ends the worker group, and goes through the channel: that of a damaged record only once the
    other trials have been trained.
    """
    design = job.design
    damaged: list[RecordError] = []
    rank = ray.train.get_context().get_world_rank()
    try:
        _tell_of_gpu(job, channel)
        for number, trial in enumerate(design.trials(setting)):
            # The first one speaks for its setting: trials of one setting that compete with each other would end most.
            stopping = design.early_stopping and number == 0
            try:
                ending_of(design.record(trial))
            except RecordError as error:  # on all ranks, before they wait for each other
                damaged.append(error)
                continue
            stacks = stall_path(design.record(trial).folder, rank)
            watchdog = Watchdog(stacks, job.timeouts.stall_s, job.timeouts.first_step_s)
            with watchdog.watching():
                worker = RayWorker(trial.digest, stopping, watchdog, channel, job.gpu_share)
                summary = run(trial, worker, command=job.command)
                # It passes Tune, whose searcher is told every result: what only tells stays in the record.
                ray.train.report({"digest": trial.digest, "summary": choosing(summary)})
            if summary["status"] == "pruned":
                break  # the setting has lost: its other trials would change nothing
        if damaged:
            raise damaged[0]
    except RecordLockedError:
        raise  # by a process that was lost, and is about to end
    except UserError as error:
        ray.get(channel.send_row.remote({USER_ERROR: one_line(error)}))
        raise
