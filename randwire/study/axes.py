"""Where settings lie in the space of a search: their parameters as coordinates that a fit can use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from randwire import graphs
from randwire.config.variant import as_text, values_of_variant
from randwire.errors import ConfigError
from randwire.records import Row
from randwire.statistics.intervals import Numbers
from randwire.study import space
from randwire.study.ranges import Range
from randwire.study.search_space import GRAPH_SEED
from randwire.study.setting import Setting

UNORDERED = (GRAPH_SEED, "train.seed")
"""Searched keys whose neighbours are no more alike than any two values."""


def coordinates(settings: Sequence[Setting], study: Row) -> Numbers | None:
    """Settings as points (settings, axes), in widths of what the search could choose from.

    Each parameter of each generator is an axis, 0 for the settings of other generators. Numbers of a user's range lie
    by their rank in it, as the search suggests them; other values have an axis each. None if seeds were searched, or
    the recorded space cannot be read or does not hold a setting.
    """
    try:
        ranges = {one.key: one for one in map(Range.parse, study.get("space") or ())}
        if not ranges.keys().isdisjoint(UNORDERED):
            return None
        places = [_place(setting, ranges) for setting in settings]
    except (ConfigError, ValueError, KeyError, TypeError, AttributeError):
        return None
    axes = sorted({axis for place in places for axis in place})
    points = [[place.get(axis, 0.0) for axis in axes] for place in places]
    return np.array(points, dtype=np.float64).reshape(len(places), len(axes))


def _place(setting: Setting, ranges: Mapping[str, Range]) -> dict[str, float]:
    """The coordinates of a setting by axis. Raises KeyError or ValueError for one outside of the space."""
    generator = graphs.parse(setting.spec)
    place: dict[str, float] = {}
    for key, value in generator.params().items():
        axis = f"{generator.name()}.{key}"
        if axis in ranges:
            place |= _on(ranges[axis], value)
        else:
            domain = generator.domains[key]
            place[axis] = (value - domain.low) / ((domain.high - domain.low) or 1.0)
    further = values_of_variant(setting.variant)
    if set(further) != {key for key in ranges if key.partition(".")[0] not in space.names()}:
        raise ValueError(f"{setting} has other keys than were searched")
    for key, value in further.items():
        place |= _on(ranges[key], value)
    return place


def _on(one: Range, value: Any) -> dict[str, float]:
    """The coordinates of a value in a range. Raises ValueError if it is none of its values."""
    if one.ordered:
        return {one.key: one.parameter(value) / max(1, len(one.values) - 1)}
    return {f"{one.key}={as_text(value)}": 1.0}
