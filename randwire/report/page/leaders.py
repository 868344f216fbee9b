"""The best setting of each generator, as a table."""

from __future__ import annotations

from randwire.report.facts.study import Section


def leaders_table(section: Section) -> str:
    """The best setting of each generator; empty for a study of variants, and where no setting has finished."""
    return ""
