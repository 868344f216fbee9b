"""How much each parameter of a search decides, by PED-ANOVA (Watanabe, Bansal and Hutter 2023), as Optuna has it.

PED-ANOVA looks at the best of all settings, and asks how their values of a parameter differ from those of all settings
that were tried. What it computes is the variance, over the values of the parameter, of the chance to be among the best.
Divided by the variance of being among them at all, it is a share: 0 if the parameter has no part in it, and 1 if it
decides alone.

Optuna smooths what it compares. For numbers that is what lets neighbours speak for each other. For categories it goes
so far that one generator of three, if it decided alone, would show 15 %, and for few numbers on a fine grid it gives
more than all: of these the share is taken as it is, which is chi-squared of the table of values by being among the
best, over the number of settings.
"""

from __future__ import annotations

import math
import random
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import create_trial
from scipy.stats import chi2_contingency

from randwire.records import Row
from randwire.statistics.describe import group
from randwire.study.objectives import TOP1, Objective
from randwire.study.optuna_trials import optuna_trials
from randwire.study.search_space import GRAPH_SEED
from randwire.study.tried import Tried

MIN_SETTINGS = 10
"""Settings that must have finished before an importance is told."""
BEST_SHARE = 0.25
"""Of the settings, how many are the best, at least MIN_BEST: Optuna's tenth is too few of a small search."""
MIN_BEST = 5
MIN_OF_A_VALUE = 5
"""Numbers that have been tried so often, on average, speak for themselves, and are not smoothed."""
SHUFFLES = 99
"""How often top-1 is shuffled over the settings."""
CHANCE = 5
"""Of the SHUFFLES and what was found, so many may be as large as `Importance.chance` or larger: 5 in 100."""


@dataclass(frozen=True)
class Importance:
    """What a parameter decides among the settings that have it."""

    parameter: str
    """`generator`, a parameter of one such as `ws.k`, or a further key that was searched."""
    generator: str
    """The generator whose parameter it is; empty for what all settings have."""
    n: int
    """Settings that it is told from."""
    best: int
    """How many of them are the best."""
    share: float
    """Of the variance of being among the best, from 0 to 1, what the parameter explains alone."""
    chance: float
    """What the share is without any effect in 5 of 100 cases, or more: top-1 was shuffled over the settings."""

    @property
    def told(self) -> bool:
        """Whether the share is above what chance gives."""
        return self.share > self.chance


def importances(tried: Sequence[Tried], study: Row | None) -> list[Importance]:
    """The importance of each parameter for top-1, the generator first; empty below MIN_SETTINGS that have finished.

    The generator and further keys are judged among all settings, the parameters of a generator among its own, if these
    are MIN_SETTINGS. A parameter with one value has no importance, nor has the seed of a graph. `study` is the recorded
    design. The same settings always give the same numbers.
    """
    finished = [one for one in tried if one.value(TOP1) is not None]
    shared = [key for key in _varying(finished) if key != GRAPH_SEED and not _own(key, finished)]
    found = _among(finished, shared, "", study)
    for generator, own in sorted(group(finished, lambda one: one.generator).items()):
        found += _among(own, [key for key in _varying(own) if _own(key, own)], generator, study)
    return found


def _own(key: str, settings: Sequence[Tried]) -> bool:
    """Whether a parameter is one of a generator."""
    return key.partition(".")[0] in {one.generator for one in settings}


def _varying(settings: Sequence[Tried]) -> list[str]:
    """The parameters of some settings that have more than one value, in order."""
    values: dict[str, set[str]] = {}
    for one in settings:
        for key, value in one.parameters.items():
            values.setdefault(key, set()).add(repr(value))
    return [key for key, own in values.items() if len(own) > 1]


def _among(settings: Sequence[Tried], keys: Sequence[str], generator: str, study: Row | None) -> list[Importance]:
    """The importance of parameters that all of these settings have."""
    if len(settings) < MIN_SETTINGS or not keys:
        return []
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    made = optuna.create_study(direction="maximize")
    for trial in optuna_trials(settings, Objective.all_of([TOP1]), study):
        made.add_trial(create_trial(params=trial.params, distributions=trial.distributions, value=trial.value))
    top1 = [trial.values[0] for trial in made.trials]
    quantile = max(BEST_SHARE, MIN_BEST / len(top1))
    worst = sorted(top1, reverse=True)[math.ceil(quantile * len(top1)) - 1]
    best = sum(value >= worst for value in top1)  # with those that tie
    if best == len(top1):
        return []  # nothing sets the best apart
    shares = _shares(made, keys, top1, quantile, worst)
    stream = random.Random(0)
    shuffled = []
    for _ in range(SHUFFLES):
        stream.shuffle(top1)
        shuffled.append(_shares(made, keys, top1, quantile, worst))
    chance = {key: sorted((one[key] for one in shuffled), reverse=True)[CHANCE - 1] for key in keys}
    return [Importance(key, generator, len(top1), best, shares[key], chance[key]) for key in keys]


def _shares(
    study: optuna.Study, keys: Sequence[str], top1: Sequence[float], quantile: float, worst: float
) -> dict[str, float]:
    """The share of each parameter, if this is the top-1 of the trials of a study by their number.

    `worst` is the lowest top-1 among the best, which are this quantile of the trials, and those that tie.
    """
    best = [value >= worst for value in top1]
    trials = study.get_trials(deepcopy=False)
    values = {key: [trial.params[key] for trial in trials] for key in keys}
    numbers = [
        key
        for key in keys
        if len(set(values[key])) * MIN_OF_A_VALUE > len(trials)
        and not isinstance(trials[0].distributions[key], CategoricalDistribution)
    ]
    shares = {key: _of_values(values[key], best) for key in keys if key not in numbers}
    if numbers:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an experimental argument, and that less is better: it is negated
            found = get_param_importances(
                study,
                evaluator=PedAnovaImportanceEvaluator(target_quantile=quantile),
                params=numbers,
                target=lambda trial: -top1[trial.number],
                normalize=False,
            )
        chance = sum(best) / len(best)
        shares |= {key: min(1.0, found[key] / (chance * (1 - chance))) for key in numbers}
    return shares


def _of_values(values: Sequence[object], best: Sequence[bool]) -> float:
    """The share of the variance of being among the best that lies between values."""
    counts = [Counter(value for value, inside in zip(values, best, strict=True) if inside == row) for row in (0, 1)]
    table = [[count[value] for value in dict.fromkeys(values)] for count in counts]
    return float(chi2_contingency(table, correction=False).statistic) / len(values)
