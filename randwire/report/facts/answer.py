"""The answer of a study, in two or three sentences: what its page opens with."""

from __future__ import annotations

from randwire.report.facts.study import StudyFacts


def answer(facts: StudyFacts) -> list[str]:
    """What came out, and how sure that is, in a sentence each; what is missing where nothing has come out."""
    return []
