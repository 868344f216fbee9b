"""The looks at the tests of a study: when, and at how many replicates of each setting.

Whoever looks again while seeds are added, and stops at a difference, finds one that is not there more often than the
tests say. So each look is recorded, in looks.jsonl of the study's folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from randwire.errors import RecordError
from randwire.records import Record
from randwire.statistics.pairs import MIN_REPLICATES

FILE = "looks.jsonl"


@dataclass(frozen=True)
class Look:
    """A report that has tested settings: the first of those at the same numbers."""

    time: str
    """ISO 8601, UTC."""
    n: Mapping[str, int]
    """Replicates of each setting that was tested, or of each variant, by its name."""


def looks_of(folder: Path) -> Sequence[Look]:
    """The looks of the study in a folder, in order; none where none was recorded, or the file cannot be read.

    Lines that are no look are left out, and so is a look at the numbers of the one before: two reports at once.
    """
    try:
        rows = Record(folder).rows(FILE)
    except (OSError, RecordError):
        return []
    looks: list[Look] = []
    for row in rows:
        look = _look(row)
        if look is not None and (not looks or look.n != looks[-1].n):
            looks.append(look)
    return looks


def with_look(looks: Sequence[Look], n: Mapping[str, int]) -> Sequence[Look]:
    """The looks after one at these numbers now: the same ones where nothing is tested, or the last was at these."""
    if not n or (looks and looks[-1].n == n):
        return looks
    return [*looks, Look(datetime.now(UTC).isoformat(timespec="seconds"), dict(n))]


def add_look(folder: Path, n: Mapping[str, int]) -> None:
    """Record a look now, unless the last was at these numbers. Raises OSError if the folder cannot be written."""
    looks = looks_of(folder)
    added = with_look(looks, n)
    if added is not looks:
        Record(folder).append(FILE, asdict(added[-1]))


def _look(row: Any) -> Look | None:
    if not isinstance(row, dict) or not isinstance(row.get("time"), str) or not isinstance(row.get("n"), dict):
        return None
    counts = row["n"].values()
    known = len(counts) > 1 and all(isinstance(count, int) and count >= MIN_REPLICATES for count in counts)
    return Look(row["time"], row["n"]) if known else None
