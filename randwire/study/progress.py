"""Where a study stands, and when it will be done, from its records alone: without Ray, wherever its folder is seen."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

from randwire.config import RunConfig
from randwire.metrics import VAL_TOP1
from randwire.records import Row
from randwire.study.cost import makespan
from randwire.study.design import Design
from randwire.study.folder import failures_of
from randwire.study.planning import Listing, listing
from randwire.study.race import Round
from randwire.study.setting import Setting
from randwire.study.state import State, states
from randwire.study.statuses import ENDED, STATE_NAMES


@dataclass(frozen=True)
class Status:
    """All trials that are foreseeable with their states, and what is still to come.

    `later` is how many further trials depend on results, at most. `finish` is the expected end (Unix seconds), None
    if nothing runs or no rate is known yet.
    """

    trials: Sequence[tuple[RunConfig, State]]
    later: int
    finish: float | None
    rounds: Sequence[Round] = ()
    """Of a race: its rounds so far."""

    @property
    def counts(self) -> Counter[str]:
        counts = Counter(state.name for _, state in self.trials)
        return Counter({name: counts[name] for name in STATE_NAMES if counts[name]})

    @property
    def ended(self) -> bool:
        return not self.later and all(state.name in ENDED for _, state in self.trials)

    def rows(self) -> list[Row]:
        return [
            {
                "digest": state.digest,
                "setting": str(Setting.of(trial)),
                "graph_seed": None if trial.network.reference else trial.graph.seed,
                "train_seed": trial.train.seed,
                "state": state.name,
                "epochs": state.epochs,
                "of": trial.train.epochs,
                VAL_TOP1.key: state.top1,
                "cause": state.cause,
                "last_sign": None if state.sign is None else iso(state.sign),
            }
            for trial, state in self.trials
        ]


def iso(seconds: float) -> str:
    """A time (Unix seconds) as text, in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def status(design: Design) -> Status:
    """Where a study stands now. A trial whose record is damaged has the state `unreadable`, with the cause."""
    listed = listing(design)
    failures = failures_of(design.folder)
    settings = [
        list(zip(trials, states(design, trials, failures.get(setting)), strict=True)) for setting, trials in listed.jobs
    ]
    pairs = [pair for setting in settings for pair in setting]
    return Status(pairs, sum(listed.ahead), _finish(design, settings, listed), listed.rounds)


def _finish(design: Design, settings: Sequence[Sequence[tuple[RunConfig, State]]], listed: Listing) -> float | None:
    """The expected end: what is left of each setting, at the usual speed, on as many slots as train now.

    Of a race further rounds begin when all before have ended.
    """
    running = sum(state.name == "running" for setting in settings for _, state in setting)
    epoch_seconds = [state.epoch_s for setting in settings for _, state in setting if state.epoch_s]
    if not running or not epoch_seconds:
        return None
    epochs = design.base.train.epochs
    left = [
        (
            not any(state.name == "running" for _, state in setting),  # what runs has a slot already
            sum(
                trial.train.epochs - state.epochs
                for trial, state in setting
                if state.name not in (*ENDED, "unreadable")
            ),
        )
        for setting in settings
    ]
    now = [count for _, count in sorted(left, key=lambda job: job[0]) if count]
    jobs = [*now, *(trials * epochs for trials in listed.ahead)]
    waves = [len(now), *listed.waves[len(listed.rounds) :]] if listed.rounds else ()
    return time.time() + makespan((count * median(epoch_seconds) for count in jobs), running, waves)
