"""The logged learning rates against the closed form of the schedule: a trial that had another schedule is found."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from randwire.config import TrainConfig
from randwire.statistics.describe import group
from randwire.study.results import Group, Trial, number
from randwire.training.optim import learning_rate

TOLERANCE = 1e-9
"""How far a logged rate may be from the closed form, as a share of `train.lr`: rounding, and nothing else."""


@dataclass(frozen=True)
class Wrong:
    """The epoch of a trial whose logged rate is furthest from the closed form, and how many epochs of it disagree."""

    trial: Trial
    epochs: int
    epoch: int
    logged: float
    expected: float


@dataclass(frozen=True)
class Check:
    """How the logged rates of a group compare with the closed form at the first step of their epochs."""

    epochs: int
    trials: int
    unlogged: int
    """Epochs without a rate."""
    largest: float
    wrong: Sequence[Wrong]
    """Trials that disagree by more than TOLERANCE, the worst first."""


def check(found: Group) -> Check:
    """Compare every logged learning rate with the closed form."""
    epochs = trials = unlogged = 0
    largest, wrong = 0.0, list[Wrong]()
    for trial, config, expected in _expected(found):
        worst, count, known, where = 0.0, 0, 0, (0, 0.0, 0.0)
        for row in trial.rows:
            lr, steps = number(row, "lr"), row.get("steps")
            if lr is None or not steps:
                unlogged += 1
                continue
            place = row["epoch"], steps
            if place not in expected:
                expected[place] = learning_rate((row["epoch"] - 1) * steps, steps, config)
            known += 1
            away = abs(lr - expected[place])
            count += away > TOLERANCE * config.lr
            if away > worst:
                worst, where = away, (row["epoch"], lr, expected[place])
        epochs, trials, largest = epochs + known, trials + bool(known), max(largest, worst)
        if count:
            wrong.append(Wrong(trial, count, *where))
    wrong.sort(key=lambda item: -abs(item.logged - item.expected))
    return Check(epochs, trials, unlogged, largest, wrong)


def by_schedule(found: Group) -> dict[str, list[Trial]]:
    """One schedule, unless it is what the variants of a study differ in."""
    return group(found.trials, lambda trial: trial.config.train.model_dump_json(exclude={"seed"}))


def _expected(found: Group) -> Iterator[tuple[Trial, TrainConfig, dict[tuple[int, int], float]]]:
    """Every trial with its schedule, and what is known of its closed form by epoch and steps."""
    for same in by_schedule(found).values():
        known: dict[tuple[int, int], float] = {}
        for trial in same:
            yield trial, trial.config.train, known
