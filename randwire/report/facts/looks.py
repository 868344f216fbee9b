"""How often the tests of a study were looked at while it grew, and what their level is now."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Mapping, Sequence

from randwire.pages.text import listed
from randwire.report.facts.study import Section, StudyFacts
from randwire.statistics.looks import level
from randwire.statistics.pairs import ALPHA, testable
from randwire.study.looks import Look, add_look, with_look

MAX_NAMED = 6
"""Looks, and days, that are named one by one."""


def look(facts: StudyFacts) -> None:
    """Record that the tests of a study are looked at as it stands; nothing where nothing is tested, or of several.

    Where the folder cannot be written, a line on stderr says so.
    """
    for section in () if facts.others else facts.sections[:1]:
        try:
            add_look(facts.folder, tested(section))
        except OSError as error:
            print(f"{facts.folder}: cannot be written ({error.strerror}); the look is not recorded", file=sys.stderr)


def looks_text(facts: StudyFacts) -> str:
    """What the looks so far have done to the level of the tests, in a sentence or two; empty at the first look.

    Of several studies, that no look is counted.
    """
    if facts.others and any(map(tested, facts.sections)):
        return (
            f"The level of these tests, {ALPHA:.0%}, is that of one look: those at the tests of the single studies, "
            "and at this page before, are not counted."
        )
    return "".join(map(looked_at, facts.sections[:1]))


def looked_at(section: Section) -> str:
    """The same for the tests of a section. Looks are recorded at those of the largest budget."""
    looks = with_look(section.looks, tested(section))
    if len(looks) < 2:
        return ""
    chance = math.ceil(100 * round(level([look.n for look in looks]), 6))
    return (
        f"These tests were looked at {len(looks)} times, at n = {_numbers(looks)} ({_dates(looks)}): the chance of a "
        f"false difference over all looks is now at most {chance}% for each question by itself, not {ALPHA:.0%}. "
        f"Confirm on fresh seeds to have {ALPHA:.0%} again."
    )


def tested(section: Section) -> Mapping[str, int]:
    """The replicates of what is tested, by name: of variants their graphs, or of settings; empty if nothing is."""
    if section.variants is not None:
        names = {name for pair in section.variants.pairs for name in pair.names}
        return {name: len(values) for name, values in section.variants.values.items() if name in names}
    if not section.pairs:
        return {}
    return {name: len(values) for name, values in section.group.values.items() if testable(values)}


def _numbers(looks: Sequence[Look]) -> str:
    """The replicates at each look, and how many settings had them where that changed; their range if looks are many."""
    if len(looks) > MAX_NAMED:
        return _range([count for look in looks for count in look.n.values()])
    grown = len({len(look.n) for look in looks}) > 1
    return listed([_range(look.n.values()) + f" ({len(look.n)} compared)" * grown for look in looks])


def _dates(looks: Sequence[Look]) -> str:
    """The days of the looks, each once; the first and the last if looks are many."""
    days = sorted({look.time[: len("2026-11-28")] for look in looks})
    return " to ".join((days[0], days[-1])) if len(days) > MAX_NAMED else ", ".join(days)


def _range(counts: Collection[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"
