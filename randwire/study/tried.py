"""The settings of a study in the order in which they were tried, with what came of each, from its records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from randwire import graphs
from randwire.config.variant import values_of_variant
from randwire.errors import RecordError
from randwire.records import Row
from randwire.statistics.describe import group
from randwire.study.folder import StudyFolder
from randwire.study.groups import TrialGroup, setting_of
from randwire.study.objectives import Objective
from randwire.study.results import Trial, mean, quantity
from randwire.study.setting import Setting
from randwire.study.statuses import Outcome

SEARCHES = ("tpe", "random")
"""The methods that suggest settings one by one."""


@dataclass(frozen=True)
class Tried:
    """A setting that was suggested or begun, and its trials of one budget."""

    setting: Setting
    trials: Sequence[Trial] = ()
    wanted: int = 1
    """How many trials it has when it has finished, at least."""
    violated: Sequence[str] = ()
    """The requirements for which a search rejected it."""

    @property
    def name(self) -> str:
        """As the report names it."""
        return self.trials[0].setting if self.trials else self.setting.label

    @property
    def generator(self) -> str:
        """The name of its generator, or of the published network."""
        return self.setting.family

    @cached_property
    def outcome(self) -> Outcome:
        """How it has ended, as `Design.outcome` tells it: rejected counts as pruned."""
        statuses = {trial.status for trial in self.trials}
        if self.violated or "pruned" in statuses:
            return "pruned"
        if len(self.trials) < self.wanted or not statuses <= {"finished", "failed"}:
            return "unfinished"
        return "failed" if "failed" in statuses else "finished"

    def value(self, name: str) -> float | None:
        """The mean of a quantity (see `objectives.NAMES`) over its trials; None unless all have finished and have it.

        Of top-1 it is that of the images that choose: what a search is told.
        """
        numbers = [quantity(trial, name) for trial in self.trials] if self.outcome == "finished" else []
        known = [number for number in numbers if number is not None]
        return mean(known) if known and known == numbers else None

    def values(self, objectives: Sequence[Objective]) -> list[float] | None:
        """What the objectives are of it, in order; None as `value`."""
        values = [self.value(objective.name) for objective in objectives]
        known = [value for value in values if value is not None]
        return known if known == values else None

    @cached_property
    def scores(self) -> list[float]:
        """The top-1 (%) that a report tells of each replicate that has finished (see `TrialGroup.replicates`)."""
        counted = [trial for trial in self.trials if trial.top1 is not None]
        by_graph = group(counted, lambda trial: trial.name if trial.one_graph else trial.graph_key)
        return [mean([trial.score for trial in same]) for same in by_graph.values()]

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """`generator`, its parameters such as `ws.k`, and further keys that were searched, or the variant's name."""
        own: Mapping[str, Any] = {}
        if not self.setting.published:
            generator = graphs.parse(self.setting.spec)
            own = {f"{generator.name()}.{key}": value for key, value in generator.params().items()}
        further: Mapping[str, Any] = values_of_variant(self.setting.variant)
        if not further and self.setting.variant:
            further = {"variant": self.setting.variant}
        return {"generator": self.setting.family, **own, **further}


def suggested(folder: Path) -> dict[Setting, list[str]]:
    """The settings of the study in a folder in the order of suggestion, with the requirements that those break which
    a search rejected; none if that was not recorded, or is damaged."""
    try:
        return StudyFolder(folder).entries()
    except RecordError:
        return {}


def tried(budget: TrialGroup, study: Row | None, entries: Mapping[Setting, Sequence[str]]) -> list[Tried]:
    """The settings of `entries` (see `suggested`), and then, as they began, those of which only trials tell.

    `study` is the recorded design. Left out are trials with saved graphs, since nothing has drawn these, and
    suggestions of a generator that is gone.
    """
    study = study or {}
    by_setting: dict[Setting, list[Trial]] = {}
    for trial in sorted(budget.trials, key=lambda trial: trial.started):
        if trial.config.graph.path is None:
            by_setting.setdefault(setting_of(trial, named=bool(study.get("variants"))), []).append(trial)
    wanted = _crossed(study) if study.get("search") in SEARCHES else 1
    return [
        Tried(setting, by_setting.get(setting, ()), wanted, entries.get(setting, ()))
        for setting in dict.fromkeys([*entries, *by_setting])
        if setting in by_setting or _possible(setting)
    ]


def _possible(setting: Setting) -> bool:
    """Whether the generator of a setting is still there."""
    try:
        return bool(setting.family)
    except ValueError:
        return False


def _crossed(study: Row) -> int:
    """Trials of each setting of a search; 1 if the design does not tell."""
    seeds = [study.get(key) for key in ("seeds", "train_seeds")]
    lengths = [len(own) if isinstance(own, list) else 1 for own in seeds]
    return max(1, lengths[0] * lengths[1])
