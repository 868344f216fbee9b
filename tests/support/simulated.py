"""Rates over simulations, and how far they may lie off."""

import math
from collections.abc import Sequence

from randwire.statistics.intervals import Interval


def error(rate: float, count: int) -> float:
    """Four standard errors of a rate over `count` simulations."""
    return 4 * math.sqrt(rate * (1 - rate) / count)


def covered(intervals: Sequence[Interval | None], truth: float) -> float:
    """The share of intervals that hold the truth; each must be there."""
    usable = [interval for interval in intervals if interval is not None]
    assert len(usable) == len(intervals)
    return sum(low <= truth <= high for low, high in usable) / len(usable)
