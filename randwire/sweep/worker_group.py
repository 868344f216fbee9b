"""A Ray Train run whose workers train setting after setting, and what passes between it and its driver."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from typing import Any
from uuid import uuid4

import ray
import ray.train
from ray.exceptions import RayError
from ray.train import UserCallback
from ray.train.torch import TorchTrainer
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from randwire.errors import UserError
from randwire.records import Row
from randwire.sweep.channel import CHANNEL_NAME, SETTING_ENDED, USER_ERROR, Channel
from randwire.sweep.group import RanksConfig
from randwire.sweep.job import Job
from randwire.sweep.placement_groups import PlacementGroupCleanup


class RowCallback(UserCallback):
    """Carries what rank 0 reports from Train's controller to the channel."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel

    def after_report(self, run_context: Any, metrics: list[Row], checkpoint: Any) -> None:
        ray.get(self.channel.send_row.remote(metrics[0]))


class WorkerGroup:
    """A Ray Train run whose workers train setting after setting: a start costs them seconds, a setting may not.

    The channel is on this machine, the head: no loss of a machine that trains takes it away.
    """

    def __init__(self, function: Callable[[Mapping[str, Any]], None], job: Job) -> None:
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.channel: Any = (
            ray.remote(Channel)
            .options(name=f"{CHANNEL_NAME}{uuid4().hex}", num_cpus=0, scheduling_strategy=here)
            .remote()
        )
        self.timeouts = job.timeouts
        self.sent = 0
        self.busy = self.closed = False
        self.ended: Future[object] = Future()
        callbacks = [RowCallback(self.channel), PlacementGroupCleanup()]
        trainer = TorchTrainer(
            function,
            train_loop_config={"job": job, "channel": self.channel},
            torch_config=RanksConfig(),
            scaling_config=ray.train.ScalingConfig(
                num_workers=job.workers, use_gpu=job.gpu, resources_per_worker=job.resources
            ),
            run_config=ray.train.RunConfig(  # type: ignore[call-arg] # typed as of the old Train
                name=f"train-{uuid4().hex}",
                storage_path=job.scratch,
                callbacks=callbacks,  # type: ignore[arg-type] # typed as of the old Train
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
        """Train a setting, and yield the rows that rank 0 reports, and those of its checkpoints (SAVED).

        Raises TrainingFailedError or RayError if the group is lost, UserError for an error of the user; both end it.
        """
        number, self.sent = self.sent, self.sent + 1
        self.busy = True
        ray.get(self.channel.send_setting.remote(setting))
        while True:
            ended = self.ended.done()
            row = ray.get(self.channel.receive_row.remote(self.timeouts.row_poll_s))
            if row is None:
                if ended:  # and no row came after that
                    self.ended.result()
                    raise RayError("the worker group has ended before its time")
            elif USER_ERROR in row:
                raise UserError(row[USER_ERROR])
            elif row.get(SETTING_ENDED) == number:
                self.busy = False
                return
            else:
                yield row

    def close(self) -> None:
        """Let the workers end, if they have nothing to train: who is interrupted does not wait for a training."""
        self.closed = True
        if not self.busy and not self.ended.done():
            self.channel.send_setting.remote(None)
            wait([self.ended], timeout=self.timeouts.close_s)  # Ray ends whoever is late
