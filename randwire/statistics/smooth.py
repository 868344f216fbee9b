"""A smooth fit over settings: what a setting and those like it say of its true mean, with its luck taken off."""

import math
import warnings
from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar

from randwire.statistics.intervals import Numbers
from randwire.statistics.shrunken import winsorised

MIN_FITTED = 8
"""The fewest settings that are fitted: of fewer, nothing tells how smooth they are."""
MAX_FITTED = 1_000
"""The most: time grows with the third power of their number, from 0.3 s for 300."""
LENGTHS = (0.3, 10.0)
"""How far on an axis, in widths of its domain, means stay alike: at least and at most. Below, a fit follows noise."""
APART = 1e6
"""Between families on an axis of their own: so far that none says anything of another."""
JITTER = 1e-8
"""Variance, in that of the means, that keeps the matrix of two equal points invertible."""


def smooth(
    families: Sequence[str], points: Numbers, means: Sequence[float], variances: Numbers | None = None
) -> Numbers | None:
    """The true means of settings (settings,) by a Gaussian process over their parameters; None if it says nothing.

    `points` (settings, axes) are the parameters in widths of their domains; what is no parameter of a family is equal
    in all of it. Each family has a mean of its own and shares with the others how far means vary, and the noise. That
    is `variances` of the means where these are known, or is estimated as one number. Kernel: Matern 5/2, a length for
    each axis; all numbers maximise the likelihood (Rasmussen and Williams 2006, chapter 5). Low outliers of a family
    are winsorised, or the surface would bend for a setting that hardly trains, and keep their means. The same input
    always gives the same fit.

    None below MIN_FITTED or above MAX_FITTED settings, and where smoothness does not explain the means better than
    none at all (Akaike's criterion).
    """
    if not MIN_FITTED <= len(means) <= MAX_FITTED:
        return None
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    names = sorted(set(families))
    number = np.array([names.index(name) for name in families])
    observed, bounded = np.asarray(means, dtype=np.float64), np.zeros(len(means))
    for k in range(len(names)):
        bounded[number == k] = winsorised(observed[number == k].tolist())
    centres = np.array([bounded[number == k].mean() for k in range(len(names))])[number]
    scale = float((bounded - centres).std())
    axes = points[:, np.ptp(points, axis=0) > 0]
    if not scale or not axes.shape[1]:
        return None
    values = (bounded - centres) / scale
    noise = np.full(len(values), JITTER) if variances is None else variances / scale**2 + JITTER
    located = np.column_stack([axes, APART * number])
    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * Matern([0.5] * located.shape[1], LENGTHS, nu=2.5)
    if variances is None:
        kernel += WhiteKernel(0.1, (1e-3, 1e1))
    process = GaussianProcessRegressor(kernel, alpha=noise)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a length is at its bound is what an axis without effect comes to
            process.fit(located, values)
            fitted = process.predict(located)
    except np.linalg.LinAlgError:
        return None
    gain = float(process.log_marginal_likelihood_value_) - _without(values, noise)
    if not np.isfinite(fitted).all() or gain <= axes.shape[1]:
        return None
    return np.where(observed < bounded, observed, centres + scale * fitted)


def _without(values: Numbers, noise: Numbers) -> float:
    """The highest log likelihood of values that say nothing of each other, with one variance beside their noise."""

    def negative(logarithm: float) -> float:
        variance = noise + math.exp(logarithm)
        return float((np.log(2 * math.pi * variance) + values**2 / variance).sum() / 2)

    return -float(minimize_scalar(negative, bounds=(-20, 5), method="bounded").fun)
