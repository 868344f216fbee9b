"""Subset selection: the settings that may be the best."""

from collections.abc import Mapping

from scipy import stats

from randwire.statistics.contrast import Estimate, columns
from randwire.statistics.pairs import ALPHA, welch


def may_be_best(means: Mapping[str, Estimate]) -> list[str]:
    """The settings of which none is shown to be below another one, from the highest mean down.

    After Gupta (1965), with variances that may be unequal: a setting is left out if one-sided Welch tests show that any
    of the k - 1 others is above it, at the level ALPHA / (k - 1). So the setting with the highest true mean is among
    them with a chance of at least 1 - ALPHA, whichever it is, and however many there are.
    """
    names = sorted(means, key=lambda name: -means[name].mean)
    if len(names) < 2:
        return names
    mean, variance, freedom = columns(means[name] for name in names)
    error, free = welch(variance[:, None], variance, freedom[:, None], freedom)
    above = (mean - mean[:, None]) / error > stats.t.isf(ALPHA / (len(names) - 1), free)
    return [name for name, lost in zip(names, above.any(axis=1), strict=True) if not lost]
