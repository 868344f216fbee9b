"""What a search recommends, and by what."""

from __future__ import annotations

from randwire.report.facts.study import Section


def recommendation(section: Section) -> str:
    """The settings that a search recommends, with the mean that it saw and the one to expect; empty for any other."""
    return ""
