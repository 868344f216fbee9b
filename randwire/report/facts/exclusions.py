"""The trials that have no part in any statistic, and why."""

from dataclasses import dataclass

from randwire.report.facts.study import StudyFacts


@dataclass(frozen=True)
class Exclusion:
    """A trial without a part in statistics."""

    folder: str
    name: str
    """The setting and the seeds; empty where the record cannot be read."""
    status: str
    epochs: str
    """How many epochs were trained of how many, such as `3/8`; empty where the record cannot be read."""
    cause: str


def exclusions(facts: StudyFacts) -> list[Exclusion]:
    """All trials that do not count, those that can be read first."""
    readable = [
        Exclusion(trial.folder, trial.name, trial.status, f"{len(trial.rows)}/{trial.config.train.epochs}", trial.cause)
        for trial in facts.trials
        if trial.top1 is None
    ]
    return [*readable, *(Exclusion(record.folder, "", "unreadable", "", record.cause) for record in facts.unreadable)]
