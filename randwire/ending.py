"""How a trial ends: what its summary says, and from a record, once that has been checked, how it has ended."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple, get_args

from randwire.config.recorded import check_config
from randwire.errors import RecordError
from randwire.metrics import BEST_TOP1, SECONDS_LOADER, SECONDS_STEP, VAL_TOP1, VAL_TOP5
from randwire.records import REMEDIES, Record, Row

EndStatus = Literal["finished", "pruned", "failed"]
"""How a trial has ended, as its summary.json says.

finished: trained for all its epochs; pruned: stopped early by successive halving; failed: ended by its cause.
"""
END_STATUSES: tuple[EndStatus, ...] = get_args(EndStatus)


class Ending(NamedTuple):
    """How a training ends, and why unless it is finished."""

    status: str
    cause: str | None = None
    test: Mapping[str, float] = MappingProxyType({})
    """With a holdout, of a finished training: the metrics of TEST by key, and the number of images."""


def ending_of(record: Record) -> Row | None:
    """The summary of a trial that has ended; None of one that has not.

    Raises RecordError, in one line with the remedy, if it is damaged, or the record is that of another training.
    """
    summary = record.summary()
    if summary is None:
        return None
    cause, top1 = "", summary.get(VAL_TOP1.key)
    if summary["status"] not in END_STATUSES:
        cause = f"unknown status {summary['status']!r}"
    elif summary["status"] == "finished" and not (isinstance(top1, int | float) and math.isfinite(top1)):
        cause = f"{VAL_TOP1.key} of a finished trial is {top1!r}"
    if cause:
        raise RecordError(f"{record.folder / 'summary.json'}: damaged: {cause}; {REMEDIES['summary.json']}")
    check_config(record.folder)
    return summary


def ended(record: Record) -> Row | None:
    """The same; None also of a record that cannot be read: it is not known how it has ended."""
    try:
        return ending_of(record)
    except RecordError:
        return None


def summarise(record: Record, ending: Ending, seconds: float) -> Row:
    """The summary of a trial from its rows.

    `seconds` is the time of this process. Of earlier ones what counts is the training that their rows tell of.
    """
    rows = record.metrics()
    last = rows[-1] if rows else {}
    trained = sum(row.get(SECONDS_LOADER.key, 0) + row.get(SECONDS_STEP.key, 0) for row in rows)
    return {
        "status": ending.status,
        "cause": ending.cause,
        "epochs": len(rows),
        VAL_TOP1.key: last.get(VAL_TOP1.key),
        VAL_TOP5.key: last.get(VAL_TOP5.key),
        BEST_TOP1.key: max((row[VAL_TOP1.key] for row in rows), default=None),
        **ending.test,
        "seconds": round(max(seconds, trained), 3),
    }
