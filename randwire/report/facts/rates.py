"""The logged learning rates against the closed form of the schedule: a trial that had another schedule is found."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from randwire.config import TrainConfig
from randwire.metrics import LR, STEPS
from randwire.records import Row
from randwire.statistics.describe import group
from randwire.study.groups import TrialGroup
from randwire.study.results import Trial, number
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


def check(budget: TrialGroup) -> Check:
    """Compare every logged learning rate with the closed form."""
    epochs = trials = unlogged = 0
    largest, wrong = 0.0, list[Wrong]()
    for trial, form in _forms(budget):
        rates = [(row["epoch"], lr, form(row["epoch"], row[STEPS.key])) for row, lr in _logged(trial)]
        epochs, trials = epochs + len(rates), trials + bool(rates)
        unlogged += len(trial.rows) - len(rates)
        errors = [abs(logged - expected) for _, logged, expected in rates]
        largest = max(largest, *errors) if errors else largest
        count = sum(error > TOLERANCE * trial.config.train.lr for error in errors)
        if count:
            wrong.append(Wrong(trial, count, *rates[errors.index(max(errors))]))
    wrong.sort(key=lambda item: -abs(item.logged - item.expected))
    return Check(epochs, trials, unlogged, largest, wrong)


def by_schedule(budget: TrialGroup) -> dict[str, list[Trial]]:
    """One schedule, unless it is what the variants of a study differ in."""
    return group(budget.trials, lambda trial: trial.config.train.model_dump_json(exclude={"seed"}))


def _logged(trial: Trial) -> Iterator[tuple[Row, float]]:
    """The epochs whose rate and number of steps were logged, with the rate."""
    for row in trial.rows:
        lr = number(row, LR.key)
        if lr is not None and row.get(STEPS.key):
            yield row, lr


def _forms(budget: TrialGroup) -> Iterator[tuple[Trial, Callable[[int, int], float]]]:
    """Every trial with the closed form of its schedule: the rate at the first step of an epoch of so many steps."""
    for same in by_schedule(budget).values():
        config = same[0].config.train

        @cache  # trials of a schedule ask for the same rates
        def form(epoch: int, steps: int, config: TrainConfig = config) -> float:
            return learning_rate((epoch - 1) * steps, steps, config)

        for trial in same:
            yield trial, form
