"""The few statistics of a study, as plain functions of numbers."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Sample:
    """Number, mean, sample standard deviation (None below two values) and extremes of some values."""

    n: int
    mean: float
    std: float | None
    least: float
    most: float


def describe(values: Sequence[float]) -> Sample:
    """The statistics of at least one value; the standard deviation divides by n - 1. Raises ValueError for none."""
    if not values:
        raise ValueError("no values to describe")
    std = statistics.stdev(values) if len(values) > 1 else None
    return Sample(len(values), math.fsum(values) / len(values), std, min(values), max(values))


def group(items: Iterable[T], key: Callable[[T], str]) -> dict[str, list[T]]:
    """Items by key, in the order in which the keys appear."""
    found: dict[str, list[T]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found


def ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1, equal values share the mean of their ranks."""
    order = sorted(values)
    first = {value: k for k, value in reversed(list(enumerate(order)))}
    last = {value: k for k, value in enumerate(order)}
    return [1 + (first[value] + last[value]) / 2 for value in values]


def spearman(xs: Sequence[float], ys: Sequence[float]) -> float | None:
    """Spearman's rank correlation of pairs; None below three pairs or if one side does not vary."""
    if len(xs) < 3 or len(set(xs)) < 2 or len(set(ys)) < 2:
        return None
    return statistics.correlation(ranks(xs), ranks(ys))
