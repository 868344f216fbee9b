"""The best setting of each generator, and what is left out: a pool of all that was tried would rank what a grid holds.

In the paper's own Figure 4 the mean over all settings of WS is the lowest, because two of them are nearly chains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from randwire.pages.style import title_of
from randwire.pages.text import first_of
from randwire.records import Row
from randwire.study.groups import TrialGroup
from randwire.study.winners import Ranked


@dataclass(frozen=True)
class Leader:
    """The best setting of a generator; a published network leads itself."""

    ranked: Ranked
    of: int
    """How many settings of the generator have finished."""
    values: Sequence[float]
    """Top-1 (%) of its replicates, as it is told."""
    losses: Sequence[float]
    """Cross entropy of the same; empty where it was not recorded."""

    @property
    def setting(self) -> str:
        return self.ranked.setting

    @property
    def generator(self) -> str:
        return self.ranked.generator


def leaders(group: TrialGroup, ranking: Sequence[Ranked]) -> list[Leader]:
    """The first setting of each generator in a ranking, in its order."""
    firsts: dict[str, Ranked] = {}
    for one in ranking:
        firsts.setdefault(one.generator, one)
    return [
        Leader(
            one,
            sum(other.generator == one.generator for other in ranking),
            group.values[one.setting],
            group.losses.get(one.setting, ()),
        )
        for one in firsts.values()
    ]


def left_out(group: TrialGroup, ranking: Sequence[Ranked]) -> list[str]:
    """The settings that were begun and are not ranked, since not all of their trials have finished."""
    ranked = {one.setting for one in ranking}
    return [name for name in dict.fromkeys(trial.setting for trial in group.trials) if name not in ranked]


def without_leader(group: TrialGroup, ranking: Sequence[Ranked], study: Row | None) -> list[str]:
    """The generators and published networks of a group or its recorded design of which no setting has finished."""
    ranked, study = {one.generator for one in ranking}, study or {}
    named = [] if group.origin == "outside" or study.get("only") else study.get("generators") or []
    return [name for name in dict.fromkeys([*named, *(t.generator for t in group.trials)]) if name not in ranked]


def unfinished(group: TrialGroup, ranking: Sequence[Ranked], study: Row | None, most: int) -> list[str]:
    """What has no part in the leaders, in sentences; of settings that are left out so many by name."""
    told = [f"No setting of {title_of(name)} has finished." for name in without_leader(group, ranking, study)]
    names = left_out(group, ranking)
    return told + [f"Left out, since not all of their trials have finished: {first_of(names, most)}."] * bool(names)
