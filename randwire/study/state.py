"""How the trials of a study stand, from their records alone: no Ray, and from any machine that sees the folder."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from randwire.config import RunConfig
from randwire.ending import ending_of
from randwire.errors import one_line
from randwire.metrics import SECONDS_LOADER, SECONDS_STEP, VAL_TOP1
from randwire.records import CLOCK_SKEW_S, MID_EPOCH_CHECKPOINT, Record
from randwire.study.design import Design
from randwire.study.statuses import StateName

STALL_TIMEOUT_S = 60.0
"""Seconds without a sign of life after which a trial that may run on another machine counts as stalled, at least."""
FIRST_EPOCH_TIMEOUT_S = 1800.0
"""The same while no epoch has ended, and so it is not yet clear how long one takes."""
STALL_EPOCHS = 3
"""The same in epochs of the trial."""
_WRITTEN_WHILE_RUNNING = ("metrics.jsonl", "config.yaml", ".lock", f"checkpoint/{MID_EPOCH_CHECKPOINT}")
"""Files that a running trial writes."""


@dataclass(frozen=True)
class State:
    """How a trial stands.

    `running`: a process holds its record, or its files are recent and the lock of another machine cannot be seen;
    `stalled`: it has begun, and nothing shows that it goes on; `skipped`: its setting was pruned before it began.
    `sign` is the time of the last sign of life (Unix seconds), of a trial that has begun and not ended. `epoch_s` is
    the seconds that an epoch takes, as far as the record shows.
    """

    digest: str
    name: StateName
    epochs: int = 0
    top1: float | None = None
    cause: str | None = None
    sign: float | None = None
    locked: bool | None = None
    epoch_s: float | None = None


def states(design: Design, trials: Iterable[RunConfig], failure: tuple[float, str] | None = None) -> list[State]:
    """The states of all trials of one setting. `failure`: when and why the setting could not be run, if so.

    Such trials are failed until a sweep has begun with them again.
    """
    standing = [_state(Record(design.folder / digest), digest) for digest in (trial.digest for trial in trials)]
    if any(state.name == "pruned" for state in standing):
        return [replace(state, name="skipped") if state.name == "pending" else state for state in standing]
    if failure is not None:
        at, cause = failure
        standing = [
            replace(state, name="failed", cause=cause)
            if state.name in ("pending", "stalled") and (state.sign or 0) <= at + CLOCK_SKEW_S
            else state
            for state in standing
        ]
    return standing


def _state(record: Record, digest: str) -> State:
    try:
        summary = ending_of(record)
        if summary is None:
            return _begun(record, digest)
        name, epochs = summary["status"], summary.get("epochs")
        epochs = len(record.metrics()) if epochs is None else epochs
        seconds = summary.get("seconds")
        epoch_s = seconds / epochs if seconds and epochs else None
        return State(digest, name, epochs, summary.get(VAL_TOP1.key), summary.get("cause"), epoch_s=epoch_s)
    except (ValueError, OSError, KeyError, TypeError, AttributeError) as error:
        return State(digest, "unreadable", cause=one_line(error))


def _begun(record: Record, digest: str) -> State:
    """The state of a trial that has no summary."""
    changed = [at for name in _WRITTEN_WHILE_RUNNING if (at := _changed(record.folder / name))]
    if not changed:
        return State(digest, "pending")
    rows = record.metrics()
    epoch_s = median(row.get(SECONDS_LOADER.key, 0) + row.get(SECONDS_STEP.key, 0) for row in rows) if rows else None
    timeout_s = max(STALL_TIMEOUT_S, STALL_EPOCHS * epoch_s) if epoch_s else FIRST_EPOCH_TIMEOUT_S
    sign, locked = max(changed), record.locked()
    if locked or (locked is None and time.time() - sign < timeout_s):
        name: StateName = "running"
    else:
        name = "stalled" if (record.folder / "config.yaml").exists() else "pending"
    top1 = rows[-1][VAL_TOP1.key] if rows else None
    return State(digest, name, len(rows), top1, None, sign, locked, epoch_s)


def _changed(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None
