"""The questions of a study as families of tests, each with a correction of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from randwire.report.facts.leaders import Leader
from randwire.statistics.pairs import Pair
from randwire.study.groups import TrialGroup


@dataclass(frozen=True)
class Family:
    """The tests that answer one question; the chance of any false difference among them is held at ALPHA."""

    key: str
    """generators, randomness or hand_made."""
    title: str
    pairs: Sequence[Pair]
    """Those that are shown."""
    tests: int
    """How many the correction is for: more than are shown, where the data chose which to show."""
    note: str


def families(group: TrialGroup, leaders: Sequence[Leader]) -> list[Family]:
    """The families of a group whose settings may be tested: those that have a pair; none of any other group."""
    return []


def may_be_best(group: TrialGroup) -> list[str]:
    """The settings that may be the best (subset selection), from the highest mean down; empty where none is tested."""
    return []


def excluded(pairs: Sequence[Pair]) -> float | None:
    """The smallest difference (points) that no pair has, by equivalence tests; None without pairs."""
    return None
