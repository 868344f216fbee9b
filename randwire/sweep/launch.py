"""The sweep: Ray Tune asks Optuna for settings, and trains each by a Ray Train run of several workers.

Tune never ends a setting that holds a Train run (that would leak its placement group): early stopping is cooperative.
The sweep keeps no state of its own beside the records and the list of suggestions; running it again goes on.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray import tune
from ray.exceptions import ObjectStoreFullError, OutOfDiskError

from randwire import data, storage
from randwire.errors import ConfigError
from randwire.records import find_records
from randwire.run import tracker_of
from randwire.study import race
from randwire.study.design import Design
from randwire.study.folder import StudyFolder
from randwire.study.planning import holdout_advice, listing, rejected
from randwire.study.pruner import Pruner
from randwire.study.search import SettingSearch
from randwire.study.setting import Setting
from randwire.sweep.callback import TrackingCallback
from randwire.sweep.channel import PRUNER_NAME
from randwire.sweep.cluster import Cluster
from randwire.sweep.connection import capacity, connected
from randwire.sweep.driver import HEAD_RESOURCES, SettingDriver
from randwire.sweep.job import Job
from randwire.sweep.progress import Progress, note
from randwire.sweep.searcher import StudySearch
from randwire.tracking import Tracker, check_variables
from randwire.wiring import check_reference, sample_graphs


def sweep(design: Design, cluster: Cluster, tracker: Tracker | None = None) -> int:
    """Run what is left of a study. Returns how many of its trials failed or could not be run.

    `check` must have passed. Without a tracker, the one that the study asks for is opened, and closed in the end.
    Raises ConfigError if a trial does not fit the cluster, and KeyboardInterrupt after a clean stop.
    """
    if tracker is not None:
        return _train(design, cluster, tracker)
    tracker = tracker_of(design.base, several=True)
    try:
        return _train(design, cluster, tracker)
    finally:
        tracker.close()


def _train(design: Design, cluster: Cluster, tracker: Tracker) -> int:
    coming = parts(design)
    part = next(coming, None)
    if part is None:
        _note_exhaustion(design)
        print(f"{design.folder}: all settings have ended, nothing to run", file=sys.stderr)
        return _failures(design)
    if advice := holdout_advice(design):
        note(advice)
    with Progress(_epochs_left(design, part), lambda trial: Setting.of(trial).label) as progress:
        callback = TrackingCallback(design, tracker, progress, cluster.timeouts)
        try:
            with connected(cluster, storage.credentials(design.base.data.path)):
                while part is not None:
                    if design.search == "race":
                        callback.begin_round(part.design)
                    _run_tune(part.design, cluster, len(part.settings), callback)
                    part = next(coming, None)
        except (ObjectStoreFullError, OutOfDiskError):
            raise ConfigError(
                "the object store of the cluster's head is full, and so is its disk; `ray memory` tells of what"
            ) from None
    _note_exhaustion(design)
    return _failures(design) + len(callback.errors)


class Part(NamedTuple):
    """What is trained before the next decision on which settings go on: a study, or one round of a race."""

    design: Design
    settings: list[Setting]


def parts(design: Design) -> Iterator[Part]:
    """The parts of a study that are left, each when what was before it has ended.

    Of a race also the rounds that were decided without a setting that could not be run: it is tried again.
    """
    if design.search != "race":
        search = SettingSearch(design)
        if design.fixed and (out := rejected(design, search)).number:
            note(str(out))
        settings = list(iter(search.next, None))
        if search.exhausted:
            note(f"the space holds {len(search.suggested)} settings of the {design.settings} asked for")
        if settings:
            yield Part(design, settings)
        return
    number = 0
    while number < len(rounds := race.rounds(design)):
        of_round = race.of_round(design, rounds[number])
        if settings := list(iter(SettingSearch(of_round).next, None)):
            note(str(rounds[number]))
            yield Part(of_round, settings)
        number += 1


def _epochs_left(design: Design, part: Part) -> int:
    """The epochs of trials that have not ended, of a part and at most of those after it."""
    trials = (trial for setting in part.settings for trial in part.design.trials(setting))
    left = sum(trial.train.epochs for trial in trials if not design.record(trial).summary())
    return left + (sum(listing(design).ahead) * design.base.train.epochs if design.search == "race" else 0)


def _note_exhaustion(design: Design) -> None:
    """Note what else was rejected if the space is exhausted: then `status` knows that nothing more will come."""
    search = SettingSearch(design)
    for _ in iter(search.next, None):
        pass  # what could not be run
    StudyFolder(design.folder).add_suggestion(None, search.rejected)


def check(design: Design, cluster: Cluster) -> None:
    """Find a mistake before anything is started or written.

    Raises ConfigError for settings, folders or ranks that are impossible, DataError for unusable data.
    """
    check_variables(design.base.runtime.wandb)
    batch = design.base.train.batch_size
    if batch % cluster.workers:
        raise ConfigError(f"train.batch_size: {batch} is not divisible by {cluster.workers} ranks (--workers)")
    search = SettingSearch(design)
    for setting in iter(search.next, None):
        for trial in design.trials(setting)[:1]:
            sample_graphs(trial)
            check_reference(trial)
    if not search.suggested:
        if not design.require:
            raise ConfigError("--space: holds no setting that is possible; widen a range")
        raise ConfigError(f"--require: no setting meets {', '.join(map(str, design.require))}; loosen a bound")
    data.check(design.base.data, batch)
    design.open()


def _run_tune(design: Design, cluster: Cluster, remaining: int, callback: TrackingCallback) -> None:
    """Train the remaining settings on the cluster that this process is connected to."""
    gpu, concurrent = capacity(design, cluster)
    # Of this machine: what Ray keeps of a sweep is worth nothing to the next, and shared storage may be away.
    scratch = Path(tempfile.gettempdir(), f"randwire-{os.getuid()}-{_short(str(design.folder.absolute()))}")
    shutil.rmtree(scratch, ignore_errors=True)
    pruner = _start_pruner(design) if design.early_stopping else None
    driver = tune.with_parameters(SettingDriver, job=_job(design, cluster, gpu, scratch))
    driver.__qualname__ = SettingDriver.__qualname__  # the name of its processes
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the lines of progress say it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tune.Tuner(
            driver,
            tune_config=tune.TuneConfig(
                search_alg=StudySearch(design, cluster.timeouts),
                num_samples=remaining,
                max_concurrent_trials=concurrent,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(scratch),
                callbacks=[callback],
                verbose=0,
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # the records are the state
                failure_config=tune.FailureConfig(max_failures=3),
            ),
        ).fit()
    del pruner  # without a reference Ray ends the actor
    shutil.rmtree(scratch, ignore_errors=True)
    suggested = [setting for setting, violated in design.entries().items() if not violated]
    unfinished = {setting for setting in suggested if design.outcome(setting)[0] == "unfinished"}
    if unfinished - set(callback.errors):
        # Tune takes an interrupt for itself, and returns as if all had been done.
        raise KeyboardInterrupt


def _job(design: Design, cluster: Cluster, gpu: bool, scratch: Path) -> Job:
    absolute = design.base.runtime.model_copy(update={"output": design.base.runtime.output.absolute()})
    return Job(
        design=replace(design, base=design.base.model_copy(update={"runtime": absolute})),
        workers=cluster.workers,
        scratch=str(scratch),
        command=" ".join(sys.argv),
        gpu=gpu,
        cpus_per_worker=cluster.cpus_per_worker,
        losses=cluster.losses,
        local=cluster.address is None,
        timeouts=cluster.timeouts,
    )


def _start_pruner(design: Design) -> Any:
    """The actor that decides which trials stop early, with the rows of the trials that have ended."""
    records = [design.record(design.trials(setting)[0]) for setting in StudyFolder(design.folder).suggestions()]
    history = {record.folder.name: record.metrics() for record in records if record.summary()}
    return ray.remote(Pruner).options(name=PRUNER_NAME, num_cpus=0, resources=HEAD_RESOURCES).remote(history)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _failures(design: Design) -> int:
    summaries = (record.summary() for record in find_records(design.folder))
    return sum(1 for summary in summaries if summary and summary["status"] == "failed")
