"""When a stage of a setting ended."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from randwire.study.setting import Setting
from randwire.sweep.job import Job

MARKS = "marks.jsonl"
STAGES = {
    "cluster": "Ray cluster",
    "driver": "driver",
    "workers": "workers",
    "data": "data",
    "network": "network",
    "step": "first step",
    "trained": "training",
}
"""What ends with each mark of a setting. The end of one setting is the beginning of the next."""


class Marks:
    """When a stage of a setting ended, in a file; written by rank 0 and the driver."""

    def __init__(self, folder: Path) -> None:
        self.path, self.setting = folder / MARKS, ""

    def add(self, stage: str, setting: str | None = None) -> None:
        with open(self.path, "a") as file:
            file.write(json.dumps([self.setting if setting is None else setting, stage, time.time()]) + "\n")

    def after(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        """The function, with a mark when it returns."""

        def marked(*arguments: Any, **keywords: Any) -> Any:
            result = function(*arguments, **keywords)
            self.add(stage)
            return result

        return marked


@contextmanager
def in_worker(job: Job) -> Iterator[None]:
    """Marks of what a train worker does with each setting; the first of a stage counts."""
    import ray.train

    from randwire import data, run
    from randwire.sweep import worker

    marks, train = Marks(job.design.folder), worker.train_setting

    def marked(setting: Setting, *arguments: Any) -> None:
        marks.setting = str(setting)
        marks.add("workers")
        train(setting, *arguments)
        marks.add("trained")

    with ExitStack() as patches:
        if ray.train.get_context().get_world_rank() == 0:
            for owner, name, stage in (
                (data, "prepare", "data"), (run, "build", "network"), (worker.RayWorker, "step", "step")
            ):  # fmt: skip
                patches.enter_context(mock.patch.object(owner, name, marks.after(getattr(owner, name), stage)))
            patches.enter_context(mock.patch.object(worker, "train_setting", marked))
        yield


def spans_of(path: Path, began: float) -> list[dict[str, float]]:
    first: dict[str, dict[str, float]] = {}
    for setting, stage, at in sorted(map(json.loads, path.read_text().splitlines()), key=lambda mark: mark[2]):
        marks = first.setdefault(setting, {})
        marks[stage] = at if stage == "trained" else marks.get(stage, at)
    spans: list[dict[str, float]] = []
    last = began
    cluster = first.pop("")["cluster"]
    for marks in first.values():
        span = {"cluster": 0.0 if spans else cluster - began}
        last = last if spans else cluster
        for stage in list(STAGES)[1:]:
            span[stage] = marks[stage] - last
            last = marks[stage]
        spans.append(span)
    return spans
