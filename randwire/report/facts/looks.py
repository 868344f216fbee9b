"""How often the tests of a study were looked at while it grew, and what their level is now."""

from __future__ import annotations

from randwire.report.facts.study import StudyFacts


def look(facts: StudyFacts) -> None:
    """Record that the tests of a study are looked at as it stands; nothing where nothing is tested."""


def looks_text(facts: StudyFacts) -> str:
    """What the looks so far have done to the level of the tests, in a sentence or two; empty at the first look."""
    return ""
