"""The words for how trials and settings stand: those of records, of reports, of `plan` and of `status`."""

from typing import Literal, get_args

from randwire.ending import END_STATUSES, EndStatus

RecordStatus = Literal[EndStatus, "unfinished", "unreadable"]
"""How a report counts the record of a trial.

unfinished: has no summary, or one that does not count; unreadable: its files are damaged.
"""
RECORD_STATUSES: tuple[RecordStatus, ...] = get_args(RecordStatus)

Outcome = Literal[EndStatus, "unfinished"]
"""How a setting has ended, over all its trials."""

StateName = Literal["finished", "pruned", "skipped", "failed", "unreadable", "running", "stalled", "pending"]
"""How a trial stands now, in the order in which `status` counts.

skipped: its setting was pruned before it began; running: a process trains it; stalled: it has begun, and nothing shows
that it goes on; pending: it has not begun.
"""
STATE_NAMES: tuple[StateName, ...] = get_args(StateName)
ENDED: frozenset[StateName] = frozenset({*END_STATUSES, "skipped"})
"""States in which nothing more comes of a trial."""
