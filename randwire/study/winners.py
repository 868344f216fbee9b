"""The settings of a study, best first: what a confirmation takes, and what a report leads with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from randwire.records import Row
from randwire.study.fixed import RACE_GROWTH
from randwire.study.groups import TrialGroup
from randwire.study.results import Trial, mean
from randwire.study.setting import Setting


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
    """Of a search: its true top-1 (%) by a smooth fit over all settings, with the luck of the best taken off."""


def ranking(group: TrialGroup, study: Row | None) -> list[Ranked]:
    """The settings of a group that have finished, best first; `study` is the recorded design.

    By the mean on the images that choose. Of a race, those that were in it longest come first, whatever their means.
    """
    study = study or {}
    raced = study.get("seeds", ()) if study.get("search") == "race" else ()
    ranked = []
    for name in group.replicates:
        same = [trial for trial in group.trials if trial.setting == name]
        if any(trial.top1 is None for trial in same):
            continue
        means = group.choosing[name]
        one = Ranked(name, str(Setting.of(same[0].config)), same[0].generator, len(means), mean(means))
        ranked.append((-_rounds(same, raced) if raced else 0, -one.mean, one.spec, one))
    return [one for *_, one in sorted(ranked, key=lambda entry: entry[:3])]


def _rounds(trials: Sequence[Trial], first: Sequence[int]) -> int:
    """How many rounds of a race the trials of a setting are of: not by their number, since requirements reject some."""
    used = 1 + max(trial.config.graph.seed for trial in trials) - first[0]
    rounds, seeds = 1, len(first)
    while seeds < used:
        rounds, seeds = rounds + 1, seeds * RACE_GROWTH
    return rounds
