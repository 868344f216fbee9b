"""The settings of a study, best first: what a confirmation takes, and what a report leads with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from randwire.records import Row
from randwire.statistics.describe import group as grouped
from randwire.statistics.intervals import Numbers
from randwire.statistics.shrunken import shrunken, variances_of_means
from randwire.statistics.smooth import smooth
from randwire.study.axes import coordinates
from randwire.study.fixed import RACE_GROWTH
from randwire.study.groups import TrialGroup
from randwire.study.results import Trial, mean
from randwire.study.setting import Setting
from randwire.study.tried import SEARCHES


@dataclass(frozen=True)
class Ranked:
    """A setting of which every trial that was begun has finished, with what it is ranked by."""

    setting: str
    """As the report names it: a key of `TrialGroup.by_setting`."""
    spec: str
    """The text of its `Setting`."""
    generator: str
    n: int
    mean: float
    """Top-1 (%) over its n replicates, on the images that choose."""
    fitted: float | None = None
    """Its true top-1 (%) on these images, as it is expected given all settings: without the luck of the best.

    Of a search by a smooth fit over them; of a grid or a list, or where there is no such fit, by shrinkage. None where
    neither can be told, and in a race or a confirmation, whose means have no luck to speak of.
    """
    smooth: bool = False
    """Whether `fitted` is by a smooth fit, which then ranks."""

    @property
    def ranks(self) -> float:
        """What it is ranked by: of a search with a smooth fit that, or else its mean."""
        return self.fitted if self.smooth and self.fitted is not None else self.mean


def ranking(group: TrialGroup, study: Row | None) -> list[Ranked]:
    """The settings of a group that have finished, best first; `study` is the recorded design.

    By the mean on the images that choose, or in a search by the smooth fit of these means, if there is one. Of a race,
    those that were in it longest come first, whatever their means.
    """
    study = study or {}
    raced = study.get("seeds", ()) if study.get("search") == "race" else ()
    rounds, finished = {}, []
    begun = grouped(group.trials, lambda trial: trial.setting)
    for name in group.replicates:
        same = begun[name]
        if any(trial.top1 is None for trial in same):
            continue
        means = group.choosing[name]
        finished.append(Ranked(name, str(Setting.of(same[0].config)), same[0].generator, len(means), mean(means)))
        rounds[name] = _rounds(same, raced) if raced else 0
    ranked = _expected(finished, group, study)
    return sorted(ranked, key=lambda one: (-rounds[one.setting], -one.ranks, -one.mean, one.spec))


def _expected(ranked: Sequence[Ranked], group: TrialGroup, study: Row) -> list[Ranked]:
    """Settings with their true means as they are expected; published networks are no sample of what was searched.

    A grid ranks by its means: on the landscape of Figure 4 that is better than a fit (see `benchmarks.search`).
    """
    own = [one for one in ranked if not Setting.parse(one.spec).published]
    searched = group.origin == "search" and study.get("search") in SEARCHES
    if study.get("variants") or not (searched or group.origin in ("grid", "list")):
        return list(ranked)
    means = [one.mean for one in own]
    variances = variances_of_means([group.choosing[one.setting] for one in own])
    fitted = _smooth(own, means, variances, study) if searched else None
    smoothed = fitted is not None
    if fitted is None and variances is not None:
        fitted = shrunken(means, variances)
    if fitted is None:
        return list(ranked)
    found = dict(zip([one.setting for one in own], fitted.tolist(), strict=True))
    return [replace(one, fitted=found[one.setting], smooth=smoothed) if one.setting in found else one for one in ranked]


def _smooth(ranked: Sequence[Ranked], means: Sequence[float], variances: Numbers | None, study: Row) -> Numbers | None:
    points = coordinates([Setting.parse(one.spec) for one in ranked], study)
    return None if points is None else smooth([one.generator for one in ranked], points, means, variances)


def _rounds(trials: Sequence[Trial], first: Sequence[int]) -> int:
    """How many rounds of a race the trials of a setting are of: not by their number, since requirements reject some."""
    used = 1 + max(trial.config.graph.seed for trial in trials) - first[0]
    rounds, seeds = 1, len(first)
    while seeds < used:
        rounds, seeds = rounds + 1, seeds * RACE_GROWTH
    return rounds
