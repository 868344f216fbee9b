"""The trainings of a sweep: Ray Tune asks Optuna for settings, and trains each by a Ray Train run of several workers.

Tune never ends a setting that holds a Train run (that would leak its placement group): early stopping is cooperative.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shlex
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import ObjectStoreFullError, OutOfDiskError

from randwire.ending import ended
from randwire.errors import ConfigError, RecordError
from randwire.records import Row
from randwire.study.design import Design
from randwire.study.folder import StudyFolder
from randwire.study.pruner import Pruner
from randwire.study.setting import Setting
from randwire.sweep.callback import TrackingCallback
from randwire.sweep.channel import PRUNER_NAME
from randwire.sweep.cluster import Cluster
from randwire.sweep.connection import capacity, connected
from randwire.sweep.driver import HEAD_RESOURCES, SettingDriver
from randwire.sweep.job import Job
from randwire.sweep.places import Places
from randwire.sweep.progress import Progress, note
from randwire.sweep.ray_internals import quiet
from randwire.sweep.searcher import StudySearch
from randwire.sweep.share import local_options
from randwire.sweep.steering import Start
from randwire.sweep.steps import watched
from randwire.tracking import Tracker


def train(
    design: Design,
    cluster: Cluster,
    start: Start,
    parts: Iterable[tuple[Design, list[Setting]]],
    tracker: Tracker,
    progress: Progress,
    secrets: tuple[str, ...],
) -> int:
    """Train the parts of a study, each when the one before it has ended. Returns how many settings could not be run.

    `secrets` are those that reading the data needs. Raises ConfigError if the cluster cannot be used, a trial does not
    fit it, or it is full, and KeyboardInterrupt after a clean stop.
    """
    callback = TrackingCallback(design, tracker, progress, cluster.timeouts)
    try:
        with (
            _scratch(design, start) as scratch,
            quiet(),
            connected(start, cluster, secrets, local_options(cluster, design) if cluster.address is None else {}),
            watched(callback.on_steps),
        ):
            told = False
            for of_part, settings in parts:
                if design.search == "race":
                    callback.begin_round(of_part)
                each = capacity(of_part, cluster, len(settings))
                if each.note and not told:
                    note(each.note)
                    told = True
                _run_tune(of_part, _job(of_part, cluster, each, scratch), each.settings, len(settings), callback)
    except (ObjectStoreFullError, OutOfDiskError):
        raise ConfigError(
            "the object store of the cluster's head is full, and so is its disk; `ray memory` tells of what"
        ) from None
    return len(callback.errors)


@contextmanager
def _scratch(design: Design, start: Start) -> Iterator[Path]:
    """A folder of this machine: what Ray keeps of a sweep is worth nothing to the next, and shared storage may be away.

    On a cluster its name is that of the study: other machines use it too, and there it stays.
    """
    name = f"randwire-{os.getuid()}-{_short(str(design.folder.absolute()))}"
    scratch = start.folder / "tune" if start.folder else Path(tempfile.gettempdir(), name)
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _run_tune(design: Design, job: Job, concurrent: int, remaining: int, callback: TrackingCallback) -> None:
    """Train the remaining settings on the cluster that this process is connected to, so many at a time."""
    pruner = _start_pruner(design) if design.early_stopping else None
    driver = tune.with_parameters(SettingDriver, job=job)
    driver.__qualname__ = SettingDriver.__qualname__  # the name of its processes
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the lines of progress say it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tune.Tuner(
            driver,
            tune_config=tune.TuneConfig(
                search_alg=StudySearch(design, job.timeouts),
                num_samples=remaining,
                max_concurrent_trials=concurrent,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=job.scratch,
                callbacks=[callback],
                verbose=0,
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # the records are the state
                failure_config=tune.FailureConfig(max_failures=3),
            ),
        ).fit()
    del pruner  # without a reference Ray ends the actor
    suggested = [setting for setting, violated in design.entries().items() if not violated]
    unfinished = {setting for setting in suggested if design.outcome(setting)[0] == "unfinished"}
    if unfinished - set(callback.errors):
        # Tune takes an interrupt for itself, and returns as if all had been done.
        raise KeyboardInterrupt


def _job(design: Design, cluster: Cluster, each: Places, scratch: Path) -> Job:
    absolute = design.base.runtime.model_copy(update={"output": design.base.runtime.output.absolute()})
    return Job(
        design=replace(design, base=design.base.model_copy(update={"runtime": absolute})),
        workers=each.workers,
        scratch=str(scratch),
        command=shlex.join(sys.argv),
        cpus_per_worker=each.cpus_per_worker,
        gpus_per_worker=each.gpus_per_worker,
        gpu_share=each.gpu_share,
        losses=cluster.losses,
        local=cluster.address is None,
        timeouts=cluster.timeouts,
    )


def _start_pruner(design: Design) -> Any:
    """The actor that decides which trials stop early, with the rows of the trials that have ended."""
    records = [design.record(design.trials(setting)[0]) for setting in StudyFolder(design.folder).suggestions()]
    history: dict[str, list[Row]] = {}
    for record in filter(ended, records):
        with suppress(RecordError):  # of a damaged record `status` tells
            history[record.folder.name] = record.metrics()
    return ray.remote(Pruner).options(name=PRUNER_NAME, num_cpus=0, resources=HEAD_RESOURCES).remote(history)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
