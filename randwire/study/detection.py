"""What the tests of a planned study would find: their power, and the graphs that it takes, before anything is spent."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import mode
from typing import NamedTuple

from randwire.dag import graph_key
from randwire.errors import ConfigError, RecordError
from randwire.statistics.describe import group
from randwire.statistics.pairs import ALPHA, MIN_REPLICATES, differences, testable
from randwire.statistics.power import SampleSize, fewest, paired_power, power
from randwire.statistics.variance import VarianceEstimate, independent, pooled_variance, variance_interval
from randwire.study.design import Design
from randwire.study.fixed import FIXED, Family
from randwire.study.groups import TrialGroup, groups
from randwire.study.planning import Planned
from randwire.study.results import design_of, load, mean

FIGURE_4_STD = 0.31
"""Points of top-1 (ImageNet, small regime): root mean square of the standard deviations of the 27 settings of Figure 4
that have one, each over 5 networks, read off its bars (+-0.02, A-)."""

MAX_NAMED = 4
"""Settings that a source names one by one."""


class Spread(NamedTuple):
    """The standard deviation that power is computed with, in points of top-1.

    Between graphs of a setting, or of variants between graphs of their difference; `source` says where it is from.
    """

    std: float
    source: str
    interval: tuple[float, float] | None = None
    """Where it was estimated."""


@dataclass(frozen=True)
class Detection:
    """What the tests find of a true difference of two of their settings or variants.

    `power` is that of `n` graphs of each, with Bonferroni's correction. Holm's never finds less, whatever the means of
    all others are. Simulated with the tests of the report: of three settings 1 to 5 points more, of 29 less than one.
    """

    difference: float
    spread: Spread
    family: Family
    compared: int
    """Settings or variants that are tested against each other."""
    paired: bool
    """Whether they are variants, which are compared graph by graph."""
    n: int
    power: float
    needed: SampleSize
    """Graphs of each that find it with the chance POWER; for the ends of the interval of an estimated spread."""
    trainings: int
    """That so many graphs take, of all that are compared."""
    chosen_here: bool
    """Whether the best of each generator would be chosen by the very trials that test them."""

    @property
    def tests(self) -> int:
        return math.comb(self.compared, 2)


def untested(design: Design) -> str | None:
    """Why nothing of a design is tested, in one line; None if it is."""
    if design.search not in FIXED:
        return (
            f"--detect: a {'race' if design.search == 'race' else 'search'} has no test, since its results choose what "
            "it tries; a grid, a list (--only) or a confirmation (--confirm) has"
        )
    return "--detect: nothing is tested with --early-stopping, which ends the weak" if design.early_stopping else None


def detection(
    design: Design, trials: Sequence[Planned], difference: float, std: float | None, family: Family
) -> Detection:
    """The power of a design that is tested, for a true difference in points of top-1.

    Without `std` it is estimated from the records of the study, or of the one that it confirms: of the settings that
    are planned where these have MIN_REPLICATES graphs, or else of all; without any record it is FIGURE_4_STD.
    Raises ConfigError, in one line, for a family that the design does not have, and for variants without a spread.
    """
    paired = bool(design.variants)
    if paired and family == "best":
        raise ConfigError("--family: this study compares variants, of which all pairs are tested; must be all or pair")
    replicates = _replicates(trials, paired)
    if len(replicates) < 2:
        raise ConfigError("--detect: this study has nothing to compare")
    families = {trial.config.family for trial in trials}
    compared = {"pair": 2, "best": len(families), "all": len(replicates)}[family]
    if compared < 2:
        raise ConfigError("--family: the settings of this study have one generator; must be all or pair")
    spread, n = _spread(design, set(replicates), std), mode(replicates.values())
    alpha = ALPHA / math.comb(compared, 2)

    def chance(std: float) -> Callable[[int], float]:
        if paired:
            return lambda n: paired_power(difference, n, std**2, alpha)
        return lambda n: power(difference, n, (std**2, std**2), alpha)

    needed = SampleSize(*(fewest(chance(one)) for one in (spread.std, *(spread.interval or [spread.std] * 2))))
    # Variants are trained on graphs of several generators, each with as many seeds.
    step = len({trial.setting.spec for trial in trials}) if paired else 1
    graphs = step * math.ceil(needed.n / step)
    return Detection(
        difference,
        spread,
        family,
        compared,
        paired,
        n,
        chance(spread.std)(n) if n >= MIN_REPLICATES else 0.0,
        needed,
        compared * graphs * design.train_seeds,
        family == "best" and compared < len(replicates),
    )


def _replicates(trials: Sequence[Planned], paired: bool) -> dict[str, int]:
    """The replicates of each setting, or variant, as a report counts them: of one network its trainings."""
    counts = {}
    for name, same in group(trials, lambda trial: trial.setting.variant if paired else trial.label).items():
        counts[name] = len(
            {
                f"{trial.label} {number}" if trial.setting.one_network and not paired else _graph(trial)
                for number, trial in enumerate(same)
            }
        )
    return counts


def _graph(trial: Planned) -> str:
    """What names the graphs of a planned trial: the same of two seeds that make the same graphs."""
    from randwire.wiring import dags_of, sample_graphs  # here: they take seconds to import, and plans seldom ask

    dags = dags_of(sample_graphs(trial.config))
    return graph_key(dags) if dags else trial.setting.spec


def _spread(design: Design, planned: Collection[str], std: float | None) -> Spread:
    if std is not None:
        return Spread(std, "given")
    for folder in (design.folder, *([design.folder.parent / design.confirm.study] if design.confirm else [])):
        if found := _estimate(folder, planned, bool(design.variants)):
            estimate, source = found
            low, high = variance_interval(estimate)
            ends = math.sqrt(low), math.sqrt(high)
            return Spread(math.sqrt(estimate.variance), f"of the records{source} in {folder}", ends)
    if design.variants:
        raise ConfigError(
            "--std: missing: variants are tested graph by graph, and no records of this study tell how their "
            "differences vary; give the standard deviation of the difference of two variants on one graph"
        )
    return Spread(FIGURE_4_STD, "of the paper's Figure 4, read off its bars: A-")


def _estimate(folder: Path, planned: Collection[str], paired: bool) -> tuple[VarianceEstimate, str] | None:
    """The variance that the records of a study show, and of which settings; None if they show none."""
    try:
        trials, _ = load(folder)
    except RecordError:
        return None
    own = [budget for budget in groups(trials, design_of(folder)) if budget.origin != "outside"]
    if not own:
        return None
    if paired:
        differing = _of_differences(own[0])
        return differing and (differing, "")
    random = [name for name, same in own[0].by_setting.items() if not same[0].one_graph]
    enough = [name for name in random if name in planned and testable(own[0].values[name])]
    estimate = pooled_variance([own[0].values[name] for name in enough or random])
    if estimate is None:
        return None
    shared = independent([own[0].graphs_of(name) for name in enough or random])
    estimate = estimate._replace(freedom=max(1, min(estimate.freedom, shared)))
    named = ", ".join(enough) if len(enough) <= MAX_NAMED else f"{len(enough)} planned settings"
    return estimate, f" of {named}" if enough else " of all settings, since the planned ones have too few,"


def _of_differences(budget: TrialGroup) -> VarianceEstimate | None:
    """The variance of differences of variants between graphs."""
    cells = {
        variant: {graph: mean([trial.score for trial in same]) for graph, same in graphs.items()}
        for variant, graphs in budget.by_variant.items()
    }
    estimate = pooled_variance([differences(one, two) for one, two in combinations(cells.values(), 2)])
    if estimate is None:
        return None
    # Of all pairs of v variants v - 1 are independent.
    return VarianceEstimate(estimate.variance, max(1, round(2 * estimate.freedom / len(cells))))
