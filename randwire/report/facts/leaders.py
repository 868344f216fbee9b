"""The best setting of each generator: what a report leads with, and never a pool of all settings that were tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
