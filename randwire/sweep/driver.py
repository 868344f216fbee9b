"""What happens inside the driver of settings: the Tune trial that launches a Ray Train run."""

from __future__ import annotations

import errno
import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from typing import Any
from uuid import uuid4

import ray
import ray.train
from ray import tune
from ray.exceptions import RayError
from ray.train import UserCallback
from ray.train.torch import TorchConfig, TorchTrainer
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from randwire.errors import UserError
from randwire.records import Row
from randwire.study.setting import Setting
from randwire.sweep.actors import ENDED, MISTAKE, Desk
from randwire.sweep.job import Job
from randwire.sweep.release import Release
from randwire.sweep.retry import retried
from randwire.sweep.watchdog import stalls

METRIC = "setting_top1"
"""Mean final top-1 of a setting's trials."""

HEAD = {"node:__internal_head__": 0.001}
"""What only the head has: it stays when machines that train come and go."""


class Rows(UserCallback):
    """Carries what rank 0 reports from Train's controller to the desk."""

    def __init__(self, desk: Any) -> None:
        self.desk = desk

    def after_report(self, run_context: Any, metrics: list[Row], checkpoint: Any) -> None:
        ray.get(self.desk.add.remote(metrics[0]))


class Group:
    """A Ray Train run whose workers train setting after setting: a start costs them seconds, a setting may not.

    The desk is on this machine, the head: no loss of a machine that trains takes it away.
    """

    def __init__(self, function: Callable[[Mapping[str, Any]], None], job: Job) -> None:
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.desk: Any = ray.remote(Desk).options(num_cpus=0, scheduling_strategy=here).remote()
        self.timeouts = job.timeouts
        self.given = 0
        self.busy = self.closed = False
        self.ended: Future[object] = Future()
        trainer = TorchTrainer(
            function,
            train_loop_config={"job": job, "desk": self.desk},
            torch_config=TorchConfig(backend=None),
            scaling_config=ray.train.ScalingConfig(
                num_workers=job.workers, use_gpu=job.gpu, resources_per_worker=job.resources
            ),
            run_config=ray.train.RunConfig(  # type: ignore[call-arg] # typed as of the old Train
                name=f"train-{uuid4().hex}",
                storage_path=job.scratch,
                callbacks=[Rows(self.desk), Release()],  # type: ignore[list-item] # typed as of the old Train
                # Lost workers are the driver's matter. The wait for machines goes on: spot ones may be long in coming.
                failure_config=ray.train.FailureConfig(max_failures=0, controller_failure_limit=20),  # type: ignore[call-arg]
                logging_config=ray.train.LoggingConfig(log_level="ERROR"),
            ),
        )
        # A thread that no end of the process waits for.
        threading.Thread(target=self._run, args=[trainer], daemon=True).start()

    def _run(self, trainer: TorchTrainer) -> None:
        try:
            self.ended.set_result(trainer.fit())
        except BaseException as error:
            self.ended.set_exception(error)

    def rows(self, setting: str) -> Iterator[Row]:
        """Train a setting, and yield the rows that rank 0 reports.

        Raises TrainingFailedError or RayError if the group is lost, UserError for a mistake of the user; both end it.
        """
        number, self.given = self.given, self.given + 1
        self.busy = True
        ray.get(self.desk.give.remote(setting))
        while True:
            ended = self.ended.done()
            row = ray.get(self.desk.row.remote(self.timeouts.row_poll_s))
            if row is None:
                if ended:  # and no row came after that
                    self.ended.result()
                    raise RayError("the worker group has ended before its time")
            elif MISTAKE in row:
                raise UserError(row[MISTAKE])
            elif row.get(ENDED) == number:
                self.busy = False
                return
            else:
                yield row

    def close(self) -> None:
        """Let the workers end, if they have nothing to train: who is interrupted does not wait for a training."""
        self.closed = True
        if not self.busy and not self.ended.done():
            self.desk.give.remote(None)
            wait([self.ended], timeout=self.timeouts.close_s)  # Ray ends whoever is late


class SettingDriver(tune.Trainable):
    """The Tune trial of a setting: has it trained by a Ray Train run, and reports the outcome that the records show.

    A training that is lost, with its machine or for whatever reason, goes on from its records on what the cluster has
    left, as often as it makes progress between two losses. A mistake of the user ends the setting. The worker group
    stays for the settings that Tune gives to this actor next, but for a while only: another driver may want its place.
    """

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        """Of the head, and of no CPU: a driver only waits, and must never take the CPU that its own workers need."""
        return tune.PlacementGroupFactory([HEAD])

    def setup(self, config: dict[str, Any], job: Job) -> None:  # type: ignore[override] # with_parameters
        self.job = job
        self.group: Group | None = None
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.results = self.trained(new_config["setting"])
        return True

    def step(self) -> Row:
        return {METRIC: math.nan, **next(self.results)}

    def cleanup(self) -> None:
        if self.group is not None and not self.job.local:
            self.group.close()

    def trained(self, setting: str) -> Iterator[Row]:
        """What Tune is told, until a result is `done`."""
        design, timeouts = self.job.design, self.job.timeouts
        losses, known = 0, set()
        while True:
            started = time.time()
            retried(design, timeouts, lambda: None)
            try:
                if self.group is None or self.group.closed or self.group.ended.done():
                    self.group = self.start()
                for row in self.group.rows(setting):
                    if (progress := (row["digest"], row.get("epoch"))) not in known:
                        known.add(progress)
                        losses = 0
                    yield row
                break
            except UserError as error:
                self.group = None
                yield {"setting": setting, "error": str(error), "done": True}
                return
            except (ray.train.TrainingFailedError, RayError) as error:
                self.group = None
                cause = cause_of(error, self.job, setting, started)
                losses += 1
                if losses == self.job.losses:
                    yield {"setting": setting, "error": cause, "done": True}
                    return
                yield {"setting": setting, "lost": cause}
                time.sleep(timeouts.retry_delays_s[min(losses, len(timeouts.retry_delays_s)) - 1])
        outcome, value = retried(design, timeouts, lambda: design.outcome(Setting.parse(setting)))
        idle = threading.Timer(timeouts.idle_s, self.group.close)
        idle.daemon = True
        idle.start()
        try:
            yield {METRIC: math.nan if value is None else value, "outcome": outcome, "setting": setting, "done": True}
        finally:
            idle.cancel()  # this course is dropped for the next setting's

    def start(self) -> Group:
        """A worker group that has nothing to train yet."""
        from randwire.sweep.worker import train_settings

        return Group(train_settings, self.job)


def cause_of(error: Exception, job: Job, setting: str, started: float) -> str:
    """What has ended a training, in one line. The loss of a process explains the errors of the ones beside it."""
    if isinstance(error, ray.train.WorkerGroupError):
        failures = [str(failure) for failure in error.worker_failures.values()]
    else:
        failures = [str(error)]
    text = "\n".join(failures)
    for trial in job.design.trials(Setting.parse(setting)):
        if found := stalls(job.design.record(trial).folder, started):
            return f"no step for {job.timeouts.stall_s / 60:g} minutes; where its threads were: {found[-1]}"
    for pattern, cause in _CAUSES:
        if re.search(pattern, text):
            return cause
    lines = [failure.strip().splitlines()[-1] for failure in failures if failure.strip()]
    return next(iter(lines), "unknown cause").strip()


_CAUSES = (
    ("CUDA out of memory", "the memory of a GPU is too small"),
    (
        "running low on memory|OutOfMemory|can't allocate memory|MemoryError",
        "a worker was ended because its machine ran out of memory",
    ),
    ("local object store is full", "the object store of a machine is full, and its disk too"),
    ("node (has died|was preempted|.* preempt)|NodeDied|owner's node", "a machine was lost"),
    (f"Errno {errno.ENOSPC}\\b", "no space is left for the records"),
    ("Connection (closed by peer|reset)|NCCL error|ncclInternal", "the connection to another worker was lost"),
    ("worker process has died|ActorDiedError|actor died|died unexpectedly", "a worker process was lost"),
)
