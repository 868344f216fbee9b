"""How a trial has ended, from its record, once that has been checked."""

from __future__ import annotations

import math
from typing import Literal, get_args

from randwire.config.recorded import check_config
from randwire.errors import RecordError
from randwire.metrics import VAL_TOP1
from randwire.records import REMEDIES, Record, Row

EndStatus = Literal["finished", "pruned", "failed"]
"""How a trial has ended, as its summary.json says.

finished: trained for all its epochs; pruned: stopped early by successive halving; failed: ended by its cause.
"""
END_STATUSES: tuple[EndStatus, ...] = get_args(EndStatus)


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
