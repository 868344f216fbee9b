"""The sweep: what is left of a study, in which parts, and what must be right before any of it starts.

Importing this module imports no Ray: its environment is chosen first (`steering`), and `tuning` trains.
The sweep keeps no state of its own beside the records and the list of suggestions; running it again goes on.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from typing import NamedTuple

import torch

from randwire import attempts, data, machine, storage
from randwire.ending import ended
from randwire.errors import ConfigError, RecordError
from randwire.pages.text import many
from randwire.records import Record, find_records
from randwire.run import tracker_of
from randwire.study import race
from randwire.study.design import Design
from randwire.study.folder import StudyFolder
from randwire.study.planning import holdout_advice, listing, rejected
from randwire.study.search import SettingSearch
from randwire.study.setting import Setting
from randwire.sweep import places
from randwire.sweep.cluster import Cluster
from randwire.sweep.head import check_address, reach
from randwire.sweep.places import Machine, Machines
from randwire.sweep.progress import Progress, note
from randwire.sweep.steering import steered
from randwire.tracking import Tracker, check_variables
from randwire.training import gpus
from randwire.training.precision import refusal
from randwire.wiring import check_reference, sample_graphs


def sweep(design: Design, cluster: Cluster, tracker: Tracker | None = None, retry: bool = False) -> int:
    """Run what is left of a study. Returns how many of its trials failed or could not be run.

    With `retry` trials that have failed are begun again, each in its record, which keeps what they have left.

    `check` must have passed. Without a tracker, the one that the study asks for is opened, and closed in the end.
    Raises ConfigError if a trial does not fit the cluster, RecordLockedError if another process sweeps the study, and
    KeyboardInterrupt after a clean stop.
    """
    with StudyFolder(design.folder).lock():
        if retry:
            again = attempts.retry(design.record(trial) for trial in listing(design).trials)
            note(
                f"{many(len(again), 'failed trial')} begun again" if again else "no trial has failed, none begins again"
            )
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
    if cluster.address is None and design.base.runtime.device == "auto" and (left_out := gpus.left_out()):
        note(left_out)
    with (
        Progress(_epochs_left(design, part), lambda trial: Setting.of(trial).label) as progress,
        steered(cluster) as start,
    ):
        from randwire.sweep.tuning import train  # imports Ray, which is steered by now

        secrets = storage.credentials(design.base.data.path)
        errors = train(design, cluster, start, itertools.chain([part], coming), tracker, progress, secrets)
    _note_exhaustion(design)
    return _failures(design) + errors


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
    """The epochs that are left of trials that have not ended, of a part and at most of those after it."""
    trials = (trial for setting in part.settings for trial in part.design.trials(setting))
    begun = ((trial.train.epochs, design.record(trial)) for trial in trials)
    left = sum(max(0, epochs - _trained(record)) for epochs, record in begun if not ended(record))
    return left + (sum(listing(design).ahead) * design.base.train.epochs if design.search == "race" else 0)


def _trained(record: Record) -> int:
    """The epochs that a trial has been trained for; 0 where that cannot be read."""
    try:
        return len(record.metrics())
    except RecordError:
        return 0


def _note_exhaustion(design: Design) -> None:
    """Note what else was rejected if the space is exhausted: then `status` knows that nothing more will come."""
    search = SettingSearch(design)
    for _ in iter(search.next, None):
        pass  # what could not be run
    StudyFolder(design.folder).add_suggestion(None, search.rejected)


def check(design: Design, cluster: Cluster) -> None:
    """Find a mistake before anything is started or written.

    Raises ConfigError for settings, folders, ranks or addresses that are impossible, DataError for unusable data, and
    RecordLockedError if another process sweeps the study.
    """
    StudyFolder(design.folder).check_free()
    if cluster.address is not None:
        check_address(cluster.address)
    elif design.base.runtime.device == "cuda" and not gpus.usable():
        if gpus.unusable():
            raise ConfigError(gpus.absent())
        none = Machines([Machine(machine.cpus(), 0)])
        raise ConfigError(places.misfit(cluster, True, cluster.workers or 1, 1, none))
    elif cluster.gpus_per_worker is not None and not gpus.usable():
        raise ConfigError(places.no_gpu_to_share(cluster, design.base.runtime.device))
    storage.check_lasting("runtime.output", design.base.runtime.output)
    if design.base.data.path:
        storage.check_lasting("data.path", design.base.data.path)
    check_variables(design.base.runtime.wandb)
    batch = design.base.train.batch_size
    places.check(cluster, design.base.runtime.device, batch)
    search, on_cpus = SettingSearch(design), _on_cpus(design, cluster)
    for setting in iter(search.next, None):
        for trial in design.trials(setting)[:1]:
            if on_cpus and (told := refusal(trial.train.precision, torch.device("cpu"))):
                raise ConfigError(told)
            sample_graphs(trial)
            check_reference(trial)
    if not search.suggested:
        if not design.require:
            raise ConfigError("--space: holds no setting that is possible; widen a range")
        raise ConfigError(f"--require: no setting meets {', '.join(map(str, design.require))}; loosen a bound")
    data.check(design.base.data, batch)
    if cluster.address is not None and StudyFolder(design.folder).read() is None:
        reach(cluster.address)
    design.open()


def _on_cpus(design: Design, cluster: Cluster) -> bool:
    """Whether trials train on CPUs; that of a cluster is known when it is reached."""
    return design.base.runtime.device == "cpu" or (cluster.address is None and not gpus.usable())


def _failures(design: Design) -> int:
    summaries = map(ended, find_records(design.folder))
    return sum(1 for summary in summaries if summary and summary["status"] == "failed")
