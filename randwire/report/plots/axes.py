"""The axes of parallel coordinates: names, numbers, and parameters that only some trials have."""

import math
from collections.abc import Mapping, Sequence
from operator import sub
from typing import Any

from randwire.config.variant import as_text, values_of_variant
from randwire.pages.style import Figure
from randwire.study.results import NUMBER_TYPES, Trial
from randwire.study.search_space import GRAPH_SEED

NONE = "-"
"""Where the lines of trials run that do not have a parameter."""
GAP = 0.16
"""How far below the numbers that is, as a share of their range."""
MAX_TICKS = 9
APART = 0.07
"""The least distance of ticks that can be read, as a share of the range."""


def named(label: str, names: Sequence[str], values: Sequence[str]) -> Figure:
    """An axis of names, the first on top."""
    heights = {name: -k for k, name in enumerate(names)}
    axis: Figure = {"label": label, "values": [heights[value] for value in values]}
    if len(names) > 1:
        axis["range"] = [1 - len(names), 0]
    return axis | {"tickvals": list(heights.values()), "ticktext": list(names)}


def numbers(label: str, values: Sequence[float | None], form: str = "") -> list[Figure]:
    """An axis of numbers, or none if a trial lacks its own."""
    if None in values:
        return []
    return [{"label": label, "values": list(values), **({"tickformat": form} if form else {})}]


def whole(label: str, values: Sequence[float | None]) -> list[Figure]:
    """An axis of what is counted, with ticks at whole numbers; its values are means over stages, and may lie between.

    None if a trial lacks its value.
    """
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return []
    low, high = math.floor(min(known)), math.ceil(max(known))
    ticks = _whole_ticks(low, high)
    axis: Figure = {"label": label, "values": known, "tickvals": ticks, "ticktext": [f"{tick:,}" for tick in ticks]}
    return [axis | ({"range": [low, high]} if low < high else {})]


def parameters(trials: Sequence[Trial], taken: Sequence[str]) -> list[Figure]:
    """An axis for each parameter of the generators by its letter, such as k, and each further key that was searched.

    Trials without it run at NONE, below its numbers. What has one value alone has no axis. `taken` are labels of other
    axes.
    """
    rows = [_parameters(trial) for trial in trials]
    keys = sorted({key for row in rows for key in row}, key=lambda key: ("." in key, key))
    labels = {key: key.rpartition(".")[2] for key in keys}
    repeated = [*taken, *labels.values()]
    labels = {key: label if repeated.count(label) == 1 else key for key, label in labels.items()}
    return [axis for key in keys for axis in _partial(labels[key], [row.get(key) for row in rows])]


def further(trial: Trial) -> Mapping[str, Any]:
    """The dotted keys that a search suggested, and their values; not the seed of a graph, which is no quantity."""
    suggested = values_of_variant(trial.config.runtime.variant)
    return {key: value for key, value in suggested.items() if key != GRAPH_SEED}


def _parameters(trial: Trial) -> Mapping[str, Any]:
    """The parameters of the generator by their letters, and further keys."""
    drawn = trial.graph_seed is not None
    return {**(trial.config.generator.params() if drawn else {}), **further(trial)}


def _partial(label: str, values: Sequence[Any]) -> list[Figure]:
    """An axis of a parameter that some trials do not have."""
    known = [value for value in values if value is not None]
    distinct = list(dict.fromkeys(map(as_text, known)))
    if len(distinct) < 2:
        return []
    if not all(isinstance(value, NUMBER_TYPES) and not isinstance(value, bool) for value in known):
        names = [*distinct, *([NONE] if len(known) < len(values) else [])]
        return [named(label, names, [NONE if value is None else as_text(value) for value in values])]
    low, high = min(known), max(known)
    ticks = _ticks(sorted(set(known)))
    texts = [as_text(tick) for tick in ticks]
    below = low - GAP * (high - low)
    if len(known) < len(values):
        ticks, texts = [below, *ticks], [NONE, *texts]
    heights = [below if value is None else value for value in values]
    return [{"label": label, "values": heights, "range": [min(heights), high], "tickvals": ticks, "ticktext": texts}]


def _ticks(distinct: Sequence[float]) -> list[float]:
    """The values themselves where they are few and apart, else round numbers between them."""
    low, high = distinct[0], distinct[-1]
    if len(distinct) <= MAX_TICKS and min(map(sub, distinct[1:], distinct)) >= APART * (high - low):
        return list(distinct)
    if all(float(value).is_integer() for value in distinct):
        return list(_whole_ticks(int(low), int(high)))
    step = _step((high - low) / MAX_TICKS)
    return [round(k * step, 10) for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _whole_ticks(low: int, high: int) -> list[int]:
    """Whole numbers from low to high, so few that they can be read."""
    step = whole_step(low, high)
    return list(range(-(-low // step) * step, high + 1, step))


def whole_step(low: float, high: float) -> int:
    """The distance of ticks at whole numbers from low to high, so few that they can be read."""
    return max(1, round(_step((high - low) / MAX_TICKS)))


def _step(least: float) -> float:
    """The smallest of 1, 2 and 5, times a power of ten, that is no less than this; 1 for 0."""
    if least <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - 1e-9))
