"""Number, mean, standard deviation and extremes of some values, and items by a key."""

import math
import statistics
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Description:
    """Number, mean, sample standard deviation (None below two values) and extremes of some values."""

    n: int
    mean: float
    std: float | None
    minimum: float
    maximum: float


def describe(values: Sequence[float]) -> Description:
    """The statistics of at least one value; the standard deviation divides by n - 1. Raises ValueError for none."""
    if not values:
        raise ValueError("no values to describe")
    std = statistics.stdev(values) if len(values) > 1 else None
    return Description(len(values), math.fsum(values) / len(values), std, min(values), max(values))


def group(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Items by key, in the order in which the keys appear."""
    groups: dict[K, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups
