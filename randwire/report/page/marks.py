"""The colour of a trial before its name, as in the figures: that of its generator, or of its variant."""

from randwire.pages.html import dot
from randwire.report.facts.study import Section
from randwire.study.results import Trial


def mark(section: Section, trial: Trial) -> str:
    """The mark of a trial in text."""
    kind = section.kinds.of(trial)
    return dot(kind, section.kinds.number(kind)) if kind else dot(trial.generator)
