"""The groups of trials that may be compared: those of one budget and one design."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from randwire.records import Row
from randwire.statistics.describe import group
from randwire.study import space
from randwire.study.fixed import FIXED, fixed_settings
from randwire.study.results import OF_NETWORKS, Trial, mean
from randwire.study.setting import Setting

Origin = Literal["grid", "list", "confirmation", "search", "longer", "unknown", "outside"]
"""How the settings of a group were chosen; outside: they are none of the fixed design that the study is.

longer: by an earlier study, on the same graphs.
"""
TESTED: frozenset[Origin] = frozenset({"grid", "list", "confirmation"})
"""The origins whose settings were fixed before any result that the group holds."""
_Key = tuple[bool, str]
"""Whether trials are outside of the design, and their budget as JSON."""


@dataclass(frozen=True)
class TrialGroup:
    """Trials of one budget and one design. Only these may be compared with each other."""

    trials: list[Trial]
    origin: Origin = "unknown"
    early_stopping: bool = False

    @property
    def typical(self) -> Trial:
        """The trial that tells the budget: one of a randomly wired network, if there is one, since it has more keys."""
        return next((trial for trial in self.trials if not trial.reference), self.trials[0])

    @property
    def budget(self) -> dict[str, Any]:
        return self.typical.budget

    @property
    def tested(self) -> bool:
        """Whether settings may be tested against each other: they and their seeds were fixed before any result."""
        return self.origin in TESTED and not self.early_stopping

    @cached_property
    def counted(self) -> list[Trial]:
        """The trials that enter statistics, best first, by the images that choose."""
        counted = [trial for trial in self.trials if trial.top1 is not None]
        return sorted(counted, key=lambda trial: (-trial.chosen_by, trial.name))

    @cached_property
    def by_setting(self) -> dict[str, list[Trial]]:
        """The trials that enter statistics by setting, in the order of the study's trials."""
        return group(self._ordered, lambda trial: trial.setting)

    @cached_property
    def by_generator(self) -> dict[str, list[Trial]]:
        """The trials that enter statistics by generator."""
        return group(self._ordered, lambda trial: trial.generator)

    @cached_property
    def replicates(self) -> dict[str, list[list[Trial]]]:
        """The trials that enter statistics by setting and graph; where there is one graph, each trial by itself.

        The replicates of a setting are what its mean and deviation are taken over.
        """
        return {
            name: list(group(same, lambda trial: trial.name if trial.one_graph else trial.graph_key).values())
            for name, same in self.by_setting.items()
        }

    @cached_property
    def graph_names(self) -> dict[str, str]:
        """The name of the graph of each trial that counts, by `Trial.graph`, which names it by its seed.

        Seeds whose graphs are the same are one graph, and have the name of the first of them. Where variants change the
        graphs of a seed, these are told by it.
        """
        keys: dict[str, set[str]] = {}
        for trial in self._ordered:
            keys.setdefault(trial.graph, set()).add(trial.graph_key)
        first: dict[str, str] = {}
        return {name: first.setdefault(min(own), name) if len(own) == 1 else name for name, own in keys.items()}

    @cached_property
    def by_variant(self) -> dict[str, dict[str, list[Trial]]]:
        """The trials that enter statistics by variant and graph, without those of no variant."""
        cells: dict[str, dict[str, list[Trial]]] = {}
        for trial in self._ordered:
            if trial.variant:
                cells.setdefault(trial.variant, {}).setdefault(self.graph_names[trial.graph], []).append(trial)
        return cells

    @cached_property
    def values(self) -> dict[str, list[float]]:
        """Top-1 of every replicate by setting, as it is told: the mean over its training seeds."""
        return {
            name: [mean([trial.score for trial in same]) for same in graphs] for name, graphs in self.replicates.items()
        }

    @cached_property
    def choosing(self) -> dict[str, list[float]]:
        """The same by the images that choose: what is best is decided by these."""
        return {
            name: [mean([trial.chosen_by for trial in same]) for same in graphs]
            for name, graphs in self.replicates.items()
        }

    @cached_property
    def losses(self) -> dict[str, list[float]]:
        """The same of the cross entropy of the images that tell; without settings of which a trial lacks it."""
        found = {}
        for name, graphs in self.replicates.items():
            losses = [[trial.loss for trial in same] for same in graphs]
            known = [[loss for loss in same if loss is not None] for same in losses]
            if known == losses:
                found[name] = [mean(same) for same in known]
        return found

    @property
    def holdout(self) -> int:
        """How many images of the training split choose in place of the validation split, at most; 0: none."""
        return max(trial.config.data.holdout for trial in self.trials)

    def graphs_of(self, setting: str) -> list[str]:
        """The names of the graphs of a setting, in the order of its replicates."""
        return [self.graph_names[same[0].graph] for same in self.replicates[setting]]

    def generator(self, setting: str) -> str:
        return self.by_setting[setting][0].generator

    @property
    def _ordered(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.top1 is not None]


_BY_ANOTHER = {"confirm": "confirmation", "longer": "longer"}
"""What a design is called that has the settings of an earlier study, by its key there."""


def method_of(study: Row) -> str:
    """How a recorded design chooses its settings: the method of its search, or `confirmation`; empty if unknown.

    `longer`: they and their graphs were chosen by an earlier study, and are trained for longer.
    """
    return next((name for key, name in _BY_ANOTHER.items() if study.get(key)), str(study.get("search") or ""))


def groups(trials: Sequence[Trial], study: Row | None = None) -> list[TrialGroup]:
    """Trials by budget, the largest group first; in a group they keep their order.

    Of a study with a fixed design, trials of other settings make groups of their own, at the end. A published network
    is with the randomly wired ones of its data and training, whatever their size; if those are of several budgets, with
    the most of them.
    """
    study = study or {}
    search = study.get("search")
    names = [name for name in study.get("generators") or space.default() if name in space.names()]  # one may be gone
    variants = study.get("variants") or {}
    fixed = set(fixed_settings(search, names, study.get("only", ()), variants)) if search in FIXED else None
    by_key: dict[_Key, list[Trial]] = {}
    keys: list[_Key] = []
    for trial in trials:
        outside = fixed is not None and (
            trial.config.graph.path is not None or setting_of(trial, named=bool(variants)) not in fixed
        )
        keys.append((outside, json.dumps(trial.budget, sort_keys=True)))
    ours = Counter(key for key, trial in zip(keys, trials, strict=True) if not trial.reference)
    for key, trial in zip(keys, trials, strict=True):
        by_key.setdefault(_joined(key, ours) if trial.reference else key, []).append(trial)
    origin = _origin(method_of(study))
    stopping = bool(study.get("early_stopping"))
    return [
        TrialGroup(by_key[key], "outside" if key[0] else origin, stopping)
        for key in sorted(by_key, key=lambda key: (key[0], -len(by_key[key]), key[1]))
    ]


def setting_of(trial: Trial, named: bool) -> Setting:
    """The setting of a trial; `named`: the study has named variants, of which it may be none."""
    recorded = Setting.of(trial.config)
    return replace(recorded, variant=trial.variant) if named else recorded


def _origin(method: str) -> Origin:
    known: dict[str, Origin] = {name: name for name in (*TESTED, "longer")}
    return known.get(method, "search" if method else "unknown")


def _joined(key: _Key, ours: Counter[_Key]) -> _Key:
    """The group of a published network: that of the most randomly wired ones that agree with its budget, or its own."""
    budget = json.loads(key[1])
    for other, _ in sorted(ours.items(), key=lambda item: (-item[1], item[0])):
        theirs = {name: value for name, value in json.loads(other[1]).items() if not name.startswith(OF_NETWORKS)}
        if other[0] == key[0] and theirs == budget:
            return other
    return key
