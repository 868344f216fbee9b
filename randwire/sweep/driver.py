"""What happens inside the driver of settings: the Tune trial that launches a Ray Train run."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from typing import Any

import ray
import ray.train
from ray import tune
from ray.exceptions import RayError

from randwire.errors import UserError
from randwire.records import Row
from randwire.study.setting import Setting
from randwire.sweep.channel import SAVED, TOLD
from randwire.sweep.job import Job
from randwire.sweep.losses import cause_of
from randwire.sweep.retry import retried
from randwire.sweep.worker_group import WorkerGroup

SETTING_TOP1 = "setting_top1"
"""Mean final top-1 of a setting's trials."""

HEAD_RESOURCES = {"node:__internal_head__": 0.001}
"""What only the head has: it stays when machines that train come and go."""


class SettingDriver(tune.Trainable):
    """The Tune trial of a setting: has it trained by a Ray Train run, and reports the outcome that the records show.

    A training that is lost, with its machine or for whatever reason, goes on from its records on what the cluster has
    left, as often as a checkpoint is written between two losses. An error of the user ends the setting. The worker
    group stays for the settings that Tune gives to this actor next, but for a while only: another driver may want its
    resources.
    """

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        """Of the head, and of no CPU: a driver only waits, and must never take the CPU that its own workers need."""
        return tune.PlacementGroupFactory([HEAD_RESOURCES])

    def setup(self, config: dict[str, Any], job: Job) -> None:  # type: ignore[override] # with_parameters
        self.job = job
        self.group: WorkerGroup | None = None
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.results = self.results_of(new_config["setting"])
        return True

    def step(self) -> Row:
        return {SETTING_TOP1: math.nan, **next(self.results)}

    def cleanup(self) -> None:
        if self.group is not None and not self.job.local:
            self.group.close()

    def results_of(self, setting: str) -> Iterator[Row]:
        """The results that Tune gets of a setting; the last one is `done`."""
        design, timeouts = self.job.design, self.job.timeouts
        losses, reported = 0, set()
        while True:
            started = time.time()
            retried(design, timeouts, lambda: None)
            try:
                if self.group is None or self.group.closed or self.group.ended.done():
                    self.group = self.start()
                for row in self.group.rows(setting):
                    if TOLD in row:
                        yield row
                        continue
                    if (progress := (row["digest"], row.get("epoch"), row.get(SAVED))) not in reported:
                        reported.add(progress)
                        losses = 0
                    if SAVED not in row:
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
        outcome, top1 = retried(design, timeouts, lambda: design.outcome(Setting.parse(setting)))
        idle = threading.Timer(timeouts.idle_s, self.group.close)
        idle.daemon = True
        idle.start()
        try:
            value = math.nan if top1 is None else top1
            yield {SETTING_TOP1: value, "outcome": outcome, "setting": setting, "done": True}
        finally:
            idle.cancel()  # this generator is dropped for that of the next setting

    def start(self) -> WorkerGroup:
        """A worker group that has nothing to train yet."""
        from randwire.sweep.worker import train_settings

        return WorkerGroup(train_settings, self.job)
