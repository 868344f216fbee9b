"""The questions of a study, each with its tests."""

from __future__ import annotations

from randwire.report.facts.study import Section


def families_panel(section: Section) -> str:
    """The families of tests, the settings that may be the best, and which difference is excluded; or why none is."""
    return ""


def all_pairs(section: Section) -> str:
    """All pairs of settings with one correction, for the appendix; empty where none is tested."""
    return ""
