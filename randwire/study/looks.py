"""The looks at the tests of a study: when, and at how many replicates of each setting.

Whoever looks again while seeds are added, and stops at a difference, finds one that is not there more often than the
tests say. So each look is recorded, in looks.jsonl of the study's folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FILE = "looks.jsonl"


@dataclass(frozen=True)
class Look:
    """A report that has tested settings: the first of those at the same numbers."""

    time: str
    """ISO 8601, UTC."""
    n: Mapping[str, int]
    """Replicates of each setting that was tested, by its name."""


def looks_of(folder: Path) -> Sequence[Look]:
    """The looks of the study in a folder, in order; none where none was recorded."""
    return []


def add_look(folder: Path, n: Mapping[str, int]) -> bool:
    """Record a look now, unless one at these numbers is recorded; whether that could be done."""
    return True
