"""A sweep as randwire runs it."""

from collections.abc import Iterator, Mapping
from typing import Any
from unittest import mock

from benchmarks.start.marks import Marks, in_worker
from randwire.records import Row
from randwire.study.design import Design
from randwire.sweep import launch, tuning
from randwire.sweep.cluster import Cluster
from randwire.sweep.driver import SettingDriver
from randwire.sweep.worker_group import WorkerGroup
from randwire.tracking import open_tracker


def train_ours(config: Mapping[str, Any]) -> None:
    """`train_settings`, with marks."""
    from randwire.sweep import worker

    with in_worker(config["job"]):
        worker.train_settings(config)


class MarkedDriver(SettingDriver):
    """The driver of a sweep, with marks."""

    def results_of(self, setting: str) -> Iterator[Row]:
        Marks(self.job.design.folder).add("driver", setting)
        yield from super().results_of(setting)

    def start(self) -> WorkerGroup:
        return WorkerGroup(train_ours, self.job)


def sweep_ours(design: Design, workers: int) -> None:
    import ray

    marks = Marks(design.folder)
    with (
        mock.patch.object(tuning, "SettingDriver", MarkedDriver),
        mock.patch.object(ray, "init", marks.after(ray.init, "cluster")),
    ):
        tracker = open_tracker("disabled", "p", "s", design.folder)
        launch.sweep(design, Cluster(workers=workers, concurrent=1), tracker)
