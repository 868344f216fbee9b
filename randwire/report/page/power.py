"""How many graphs would separate two settings."""

from collections.abc import Sequence
from itertools import combinations
from statistics import mode

from randwire.pages.html import dot, panel, table
from randwire.pages.style import title_of
from randwire.report.facts.study import Section
from randwire.statistics.describe import group
from randwire.statistics.intervals import LEVEL
from randwire.statistics.pairs import ALPHA, MIN_REPLICATES
from randwire.statistics.power import MAX_REPLICATES, POWER, SampleSize, detectable_difference, sample_size
from randwire.statistics.variance import VarianceEstimate, pooled_variance
from randwire.study.groups import TrialGroup

POINTS = (0.25, 0.5, 1.0, 2.0)
"""True differences of top-1, in points, that the table is for."""


def power(section: Section) -> str:
    """How many graphs would separate two settings of two generators; empty where their spread is not known."""
    budget = section.group
    variances = {} if budget.early_stopping else _variances(budget)
    chosen = list(combinations(variances, 2)) or [(name, name) for name in variances]
    if not chosen:
        return ""
    usual, pairs = mode(len(values) for values in budget.values.values()), len(section.pairs)
    tests = {"alone": ALPHA, **({f"one of {pairs} pairs": ALPHA / pairs} if pairs > 1 else {})}
    rows = [
        [
            f"{dot(one)}{title_of(one)} and {dot(two)}{title_of(two)}",
            " and ".join(f"{estimate.variance**0.5:.2f}" for estimate in (variances[one], variances[two])),
            name,
            *_numbers((variances[one], variances[two]), usual, alpha),
        ]
        for one, two in chosen
        for name, alpha in tests.items()
    ]
    seen, enough = f"seen at n={usual}", usual >= MIN_REPLICATES
    heads = ["settings of", "std", "test", *[seen] * enough, *(f"n for {points:g}" for points in POINTS)]
    note = (
        "n is how many graphs of each setting would separate a true difference of so many points with a chance of "
        f"{POWER:.0%}; in brackets, for the ends of the {LEVEL:.0%} interval of the standard deviations, which are "
        f"those between graphs within settings. Settings without random graphs are left out. A test takes at least "
        f"{MIN_REPLICATES} graphs.{f' {seen.capitalize()}: the difference that so many separate.' * enough}"
    )
    return panel("How many graphs would tell", table(heads, rows), note)


def _variances(budget: TrialGroup) -> dict[str, VarianceEstimate]:
    """The variance between graphs within settings by generator, where it can be estimated."""
    estimates = {}
    for generator, names in group(budget.by_setting, budget.generator).items():
        estimate = pooled_variance([budget.values[name] for name in names if not budget.by_setting[name][0].one_graph])
        if estimate is not None:
            estimates[generator] = estimate
    return estimates


def _numbers(variances: tuple[VarianceEstimate, VarianceEstimate], usual: int, alpha: float) -> Sequence[str]:
    """The difference that the usual number of graphs separates, if a test takes so few, and n for each of POINTS."""
    seen = [f"{detectable_difference(usual, variances, alpha):.2f}"] if usual >= MIN_REPLICATES else []
    return [*seen, *(_sizes(sample_size(points, variances, alpha)) for points in POINTS)]


def _sizes(sizes: SampleSize) -> str:
    """The number of graphs, in brackets for the ends of the interval of the variances."""
    n, low, high = (f"{size:,}" if size < MAX_REPLICATES else f"> {MAX_REPLICATES:,}" for size in sizes)
    return f"{n} ({low} to {high})" if low != high else n
