"""Means of many settings with the luck of the best taken off: each drawn towards all of them by its own noise."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq

from randwire.statistics.intervals import Numbers

MIN_SETTINGS = 4
"""The fewest settings whose spread says how far their true means are apart."""
PRIOR_FREEDOM = 4
"""Degrees of freedom that the variance of all settings has beside the own one of each."""
OUTLIER = 3.0
"""How far below the median of all a mean counts, at most, in standard deviations by the median deviation."""
MAD_OF_NORMAL = 0.6744897501960817
"""Median deviation from the median, in standard deviations of normal values."""


def variances_of_means(settings: Sequence[Sequence[float]]) -> Numbers | None:
    """The variance of the mean of each setting (settings,), from its replicates; None where none is known.

    The own variance of a setting with two or three graphs is hardly known: it is averaged with that of all settings,
    which counts as PRIOR_FREEDOM degrees of freedom (Smyth 2004, with a fixed prior). One replicate has that of all.
    """
    n = np.array([len(values) for values in settings])
    squares = np.array([((np.asarray(values) - np.mean(values)) ** 2).sum() for values in settings])
    freedom = int((n - 1).sum())
    if not freedom or not squares.sum():
        return None
    pooled = squares.sum() / freedom
    return np.asarray((PRIOR_FREEDOM * pooled + squares) / (PRIOR_FREEDOM + n - 1) / n)


def winsorised(means: Sequence[float]) -> Numbers:
    """The means, with low outliers raised to OUTLIER standard deviations below the median.

    A setting that hardly trains, such as WS(2,0) with its path of nodes, says nothing about the spread of good ones.
    """
    values = np.asarray(means, dtype=np.float64)
    median = np.median(values)
    deviation = np.median(np.abs(values - median)) / MAD_OF_NORMAL
    return np.maximum(values, median - OUTLIER * deviation) if deviation else values


def shrunken(means: Sequence[float], variances: Sequence[float] | Numbers) -> Numbers | None:
    """The true means of settings (settings,) by empirical Bayes; None below MIN_SETTINGS.

    `means` are measured with the given variances; the true ones are taken to be normal. Their mean and variance are
    estimated from all (Paule and Mandel 1982), without the pull of low outliers, which stay as they are. The expected
    true mean of a setting given what was measured does not depend on why one looks at it (Efron 2011), so that of the
    best has none of its luck; the tests measure what is left.
    """
    if len(means) < MIN_SETTINGS:
        return None
    observed, noise = np.asarray(means, dtype=np.float64), np.asarray(variances, dtype=np.float64)
    bounded = winsorised(means)
    centre, spread = _normal(bounded, noise)
    weight = np.divide(spread, spread + noise, out=np.ones_like(noise), where=noise > 0)
    return np.where(observed < bounded, observed, centre + weight * (observed - centre))


def _normal(means: Numbers, noise: Numbers) -> tuple[float, float]:
    """Mean and variance of the true means: the weighted squares are what their degrees of freedom expect."""
    floor = 1e-9 * (float(noise.max()) + float(np.var(means))) or 1.0  # or equal means would divide by zero

    def centre(spread: float) -> float:
        return float(np.average(means, weights=1 / (noise + spread + floor)))

    def excess(spread: float) -> float:
        return float(((means - centre(spread)) ** 2 / (noise + spread + floor)).sum()) - (len(means) - 1)

    high = float(((means - means.mean()) ** 2).sum())
    spread = float(brentq(excess, 0.0, high)) if excess(0.0) > 0 > excess(high) else 0.0
    return centre(spread), spread
