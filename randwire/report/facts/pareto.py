"""The Pareto set of a search for several objectives: the settings that no other one beats in all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from randwire.metrics import TEST_TOP1
from randwire.statistics.pareto import front
from randwire.study.groups import TrialGroup
from randwire.study.objectives import TOP1, Objective
from randwire.study.results import Trial, mean, number, quantity

WORDS = {TOP1: "top-1 (%)", "mult_adds": "multiply-adds", "params": "parameters", "path_length": "mean path"}


@dataclass(frozen=True)
class Candidate:
    """A setting whose trials have all finished, with means over them."""

    setting: str
    generator: str
    n: int
    values: Mapping[str, float]
    """Of top-1, as it was chosen by, and of the other objectives, by name."""
    test: float | None
    """Top-1 on the images that chose nothing; None where there are none."""
    best: bool
    """Whether it is in the Pareto set."""


@dataclass(frozen=True)
class Pareto:
    """The settings of a search for other objectives than top-1 alone, those with the highest top-1 first."""

    objectives: tuple[Objective, ...]
    candidates: list[Candidate]

    @property
    def others(self) -> list[str]:
        """The names of the objectives beside top-1."""
        return [objective.name for objective in self.objectives if objective.name != TOP1]

    @property
    def best(self) -> list[Candidate]:
        """The Pareto set."""
        return [candidate for candidate in self.candidates if candidate.best]

    @property
    def note(self) -> str:
        """What the set is, and what it is not, in sentences."""
        wanted = ", ".join(
            f"{'less' if one.minimised else 'more'} {word(one.name, unit=False)}" for one in self.objectives
        )
        text = (
            f"Each mark is a setting, with means over its trials. No other setting beats {len(self.best)} of the "
            f"{len(self.candidates)} (wanted: {wanted}): they stand out, and a line joins those that lead in the two "
            "that are drawn. As the best of many, their top-1 looks better than it is"
        )
        told = any(candidate.test is not None for candidate in self.best)
        return text + ("; the table has that of the test images, which chose nothing." if told else ".")

    def leading(self, name: str) -> list[Candidate]:
        """Those of the Pareto set that lead in top-1 and another objective, in the order of that one."""
        sign = next(1 if one.minimised else -1 for one in self.objectives if one.name == name)
        inside = front([(sign * one.values[name], -one.values[TOP1]) for one in self.best])
        leading = [one for one, led in zip(self.best, inside, strict=True) if led]
        return sorted(leading, key=lambda one: (one.values[name], one.values[TOP1]))


def word(name: str, unit: bool = True) -> str:
    """The name of an objective for the eye."""
    text = WORDS.get(name, name.replace("_", " "))
    return text if unit else text.removesuffix(" (%)")


def pareto(budget: TrialGroup, objectives: tuple[Objective, ...]) -> Pareto | None:
    """The Pareto set of a budget; None where top-1 is the only objective, or no setting has finished."""
    others = [objective.name for objective in objectives if objective.name != TOP1]
    if not others or budget.origin == "outside":
        return None
    found: list[tuple[str, list[Trial], dict[str, float]]] = []
    begun: dict[str, list[Trial]] = {}
    for trial in budget.trials:
        begun.setdefault(trial.setting, []).append(trial)
    for setting, trials in begun.items():
        values = {name: mean(numbers) for name in (TOP1, *others) if (numbers := _numbers(trials, name))}
        if all(trial.top1 is not None for trial in trials) and len(values) == 1 + len(others):
            found.append((setting, trials, values))
    if not found:
        return None
    found.sort(key=lambda one: (-one[2][TOP1], one[0]))
    signs = [(objective.name, 1 if objective.minimised else -1) for objective in objectives]
    best = front([[sign * values[name] for name, sign in signs] for _, _, values in found])
    return Pareto(
        objectives,
        [
            Candidate(setting, trials[0].generator, len(trials), values, _mean(trials, TEST_TOP1.key), inside)
            for (setting, trials, values), inside in zip(found, best, strict=True)
        ],
    )


def _numbers(trials: Sequence[Trial], name: str) -> list[float]:
    """A quantity of every trial; empty if one lacks it."""
    numbers = [value for trial in trials if (value := quantity(trial, name)) is not None]
    return numbers if len(numbers) == len(trials) else []


def _mean(trials: Sequence[Trial], key: str) -> float | None:
    values = [value for trial in trials if (value := number(trial.summary, key)) is not None]
    return mean(values) if len(values) == len(trials) else None
