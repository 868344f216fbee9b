"""The settings of a study as Optuna's trials, with the values that were searched as a reader knows them.

A search itself asks Optuna for ranks of values (see `ranges`); here `ws.k` is 4, and `network.channels` 64.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from randwire.config.variant import as_text
from randwire.errors import ConfigError
from randwire.graphs import Domain
from randwire.metrics import TEST_TOP1
from randwire.records import Row
from randwire.statistics.describe import describe
from randwire.study import space
from randwire.study.objectives import Objective
from randwire.study.ranges import Range
from randwire.study.results import Trial, mean, number
from randwire.study.tried import Tried

ON_GRID = 1e-6
"""How far, in steps, a value may be from a multiple of the step."""
_STATES = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


def distributions(tried: Sequence[Tried], study: Row | None) -> dict[str, BaseDistribution]:
    """What each parameter could be, by name: the domain of the recorded design, and whatever was tried beside it."""
    study = study or {}
    ranges = _ranges(study)
    seen: dict[str, list[Any]] = {}
    for one in tried:
        for key, value in one.parameters.items():
            seen.setdefault(key, []).append(value)
    found: dict[str, BaseDistribution] = {}
    for key, values in seen.items():
        domain = _domain(key)
        if key in ranges:
            found[key] = _distribution(ranges[key].values, ranges[key].step, values)
        elif domain is not None:
            found[key] = _distribution(domain.values(), domain.step, values)
        else:
            listed = {"generator": study.get("generators"), "variant": study.get("variants")}.get(key)
            found[key] = _distribution(list(listed or ()), None, values)
    return found


def optuna_trials(tried: Sequence[Tried], objectives: Sequence[Objective], study: Row | None) -> list[FrozenTrial]:
    """A trial for each setting, numbered in order. Only a finished one has values: the means of the objectives.

    Times are local and without a zone as Optuna has them, or None where they were not recorded; a setting that was
    suggested and has not begun is waiting.
    """
    known = distributions(tried, study)
    trials = []
    for count, one in enumerate(tried):
        values = one.values(objectives)
        state = _STATES.get(one.outcome, TrialState.RUNNING if one.trials else TrialState.WAITING)
        if state == TrialState.COMPLETE and values is None:
            state = TrialState.FAIL  # a record that lacks what the search was after
        start, end = _times(one.trials)
        internal = {key: known[key].to_internal_repr(_choice(value)) for key, value in one.parameters.items()}
        trials.append(
            FrozenTrial(
                number=count,
                trial_id=count,
                state=state,
                value=None,
                values=values if state == TrialState.COMPLETE else None,
                datetime_start=start,
                datetime_complete=end if state.is_finished() else None,
                params={key: known[key].to_external_repr(value) for key, value in internal.items()},
                distributions={key: known[key] for key in internal},
                user_attrs=_attributes(one),
                system_attrs={},
                intermediate_values={},
            )
        )
    return trials


def _attributes(one: Tried) -> dict[str, Any]:
    """What else there is to say of a setting, as JSON has it: n and std are over its replicates, as in the report."""
    described = describe(one.scores) if one.scores else None
    told = [value for trial in one.trials if (value := number(trial.summary, TEST_TOP1.key)) is not None]
    causes = sorted({trial.cause for trial in one.trials if trial.cause})
    return {
        "setting": one.name,
        "n": len(one.scores),
        **({"std": described.std} if described and described.std is not None else {}),
        **({"test_top1": mean(told)} if told and len(told) == len(one.trials) else {}),
        **({"digests": [trial.folder for trial in one.trials]} if one.trials else {}),
        **({"cause": "; ".join(causes)} if causes else {}),
        **({"rejected": list(one.violated)} if one.violated else {}),
    }


def _times(trials: Sequence[Trial]) -> tuple[datetime | None, datetime | None]:
    """When the first of some trials began, and when the last would have ended, had none been interrupted."""
    begun, ended = [], []
    for trial in trials:
        try:
            start = datetime.fromisoformat(trial.started).astimezone().replace(tzinfo=None)
        except ValueError:
            continue
        begun.append(start)
        seconds = number(trial.summary, "seconds")
        if seconds is not None:
            ended.append(start + timedelta(seconds=seconds))
    return min(begun, default=None), max(ended, default=None)


def _ranges(study: Row) -> dict[str, Range]:
    """The ranges of a recorded search by key; none if it cannot be read."""
    try:
        found = [Range.parse(str(text)) for text in study.get("space") or ()]
    except ConfigError:
        return {}
    return {one.key: one for one in found}


def _domain(key: str) -> Domain | None:
    """The domain of a generator's parameter; None of any other key."""
    name, _, parameter = key.partition(".")
    return space.kind(name).domains.get(parameter) if name in space.names() else None


def _distribution(domain: Sequence[Any], step: float | None, seen: Iterable[Any]) -> BaseDistribution:
    """The distribution of a domain, widened by what was seen: numbers by low, high and step, anything else by name."""
    ends = [domain[0], domain[-1]] if step is not None else list(domain)
    values = [*ends, *seen]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return CategoricalDistribution(list(dict.fromkeys(map(_choice, values))))
    low, high = min(values), max(values)
    if all(float(value).is_integer() for value in [*values, step or 1]):
        steps = [int(step)] if step is not None else []
        divisor = math.gcd(*steps, *(int(value - low) for value in values))
        return IntDistribution(int(low), int(high), step=divisor or 1)
    regular = step is not None and all(_multiple((value - low) / step) for value in values)
    return FloatDistribution(low, high, step=step if regular else None)


def _multiple(steps: float) -> bool:
    return abs(steps - round(steps)) < ON_GRID


def _choice(value: Any) -> Any:
    """A value as Optuna takes it: what is neither a number nor a text as its text."""
    return value if value is None or isinstance(value, bool | int | float | str) else as_text(value)
