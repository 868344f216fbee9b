"""Estimated means, of a setting or over several settings, whose variances need not be equal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from randwire.statistics.intervals import Numbers


@dataclass(frozen=True)
class Estimate:
    """A mean with what a test of it takes."""

    mean: float
    variance: float
    """The square of its standard error."""
    freedom: float
    """Degrees of freedom of that variance (Satterthwaite 1946)."""
    n: int
    """Replicates, of all settings together."""

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """The mean of the replicates of a setting, of which there must be two at least."""
        n = len(values)
        return cls(math.fsum(values) / n, float(np.var(values, ddof=1)) / n, n - 1, n)

    @classmethod
    def average(cls, means: Sequence[Estimate]) -> Estimate:
        """The mean of independent means, in which each counts alike, whatever its n."""
        parts = [one.variance / len(means) ** 2 for one in means]
        freedom = sum(parts) ** 2 / sum(part**2 / one.freedom for part, one in zip(parts, means, strict=True))
        return cls(math.fsum(one.mean for one in means) / len(means), sum(parts), freedom, sum(one.n for one in means))

    def __neg__(self) -> Estimate:
        """The same of values where less is better."""
        return replace(self, mean=-self.mean)


def columns(estimates: Iterable[Estimate]) -> tuple[Numbers, Numbers, Numbers]:
    """Means, variances and degrees of freedom, an array each."""
    mean, variance, freedom = np.array([(one.mean, one.variance, one.freedom) for one in estimates]).T
    return mean, variance, freedom
