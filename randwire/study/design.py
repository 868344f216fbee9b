"""The design of a study: which settings are compared, over which seeds, from which configuration.

A *setting* is a generator with its parameters, such as `ws:k=4,p=0.75`; where a study compares *variants* (named keys
that are laid over the configuration), it is a generator and a variant, `ws:k=4,p=0.75 conv`. A *trial* is one training
run: a setting, a graph seed and a training seed. All trials of a setting are trained one after the other by one group
of workers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from randwire import config as configuration
from randwire import graphs
from randwire.config import RunConfig
from randwire.metrics import VAL_TOP1
from randwire.records import Record, Row
from randwire.study import space
from randwire.study.folder import StudyFolder
from randwire.study.requirements import Requirement, quantities
from randwire.study.setting import Setting
from randwire.study.variants import Variants, as_json, check_variants

Search = Literal["tpe", "random", "grid"]
Outcome = Literal["finished", "pruned", "failed", "unfinished"]
FIRST_RUNG, KEPT = 2, 3
"""Successive halving: after epoch FIRST_RUNG, and each time after KEPT times as many, the best 1/KEPT may go on."""


@dataclass(frozen=True)
class Design:
    """`base` names the study (`runtime.study`) and holds every key that the study does not vary.

    What breaks a requirement costs nothing: of a grid the cells (a setting and a graph seed) that do are left out, of
    a search every setting of which any cell does.
    """

    base: RunConfig
    search: Search = "tpe"
    settings: int = 6
    seeds: int = 2
    train_seeds: int = 1
    generators: tuple[str, ...] = field(default_factory=space.default)
    seed: int = 0
    early_stopping: bool = False
    require: tuple[Requirement, ...] = ()
    variants: Variants = field(default_factory=dict)
    """Of a grid: each of them is crossed with the best setting of each generator."""

    def __post_init__(self) -> None:
        """Raises ConfigError for variants that cannot be told apart."""
        check_variants(self.base, self.variants)

    def grid(self) -> list[Setting]:
        """The settings of the fixed grid: the paper's Figure 4, or the variants of each generator's best setting."""
        return settings_of_grid(self.generators, self.variants)

    @property
    def folder(self) -> Path:
        return self.base.runtime.output / self.base.runtime.study

    def trials(self, setting: Setting) -> list[RunConfig]:
        """The trials of a setting, none of which breaks a requirement; none at all if the setting is rejected.

        Raises ConfigError if the setting is impossible for the network.
        """
        found, broken = self._crossed(setting), self.violations(setting)
        if broken and self.search != "grid":
            return []
        return [trial for trial in found if trial.graph.seed not in broken]

    def violations(self, setting: Setting) -> dict[int, list[str]]:
        """The cells of a setting that break requirements: which, by graph seed.

        Raises ConfigError if the setting is impossible for the network.
        """
        found = {}
        for trial in self._crossed(setting)[:: self.train_seeds]:
            values = quantities(trial) if self.require else {}
            if broken := [str(requirement) for requirement in self.require if not requirement.met(values)]:
                found[trial.graph.seed] = broken
        return found

    def _crossed(self, setting: Setting) -> list[RunConfig]:
        """Graph seeds crossed with training seeds.

        Where all graph seeds give one graph, such as WS(4,0), each has training seeds of its own: the trials would be
        one trial repeated, and their spread zero.
        """
        step = self.train_seeds if graphs.parse(setting.generator).deterministic else 0
        first, train = self.base.graph.seed, self.base.train.seed
        # Only the last trial is validated: it has the largest seeds, and to validate each would take minutes in all.
        last = configuration.resolve(
            self.base.override(
                {
                    **self.variants.get(setting.variant, {}),
                    "graph.generator": setting.generator,
                    "runtime.variant": setting.variant,
                    "graph.seed": first + self.seeds - 1,
                    "train.seed": train + (self.seeds - 1) * step + self.train_seeds - 1,
                }
            )
        )
        found = []
        for seed in range(self.seeds):
            graph = last.graph.model_copy(update={"seed": first + seed})
            for repeat in range(self.train_seeds):
                training = last.train.model_copy(update={"seed": train + seed * step + repeat})
                found.append(last.model_copy(update={"graph": graph, "train": training}))
        return found

    def record(self, trial: RunConfig) -> Record:
        return Record(self.folder / trial.digest)

    def outcome(self, setting: Setting) -> tuple[Outcome, float | None]:
        """How a setting has ended, and the mean final top-1 of its trials, from the records alone.

        A setting with a trial that was stopped early is pruned, as is one without any trial, which is rejected; one
        with a failed trial is failed. Neither has a mean.
        """
        summaries = [self.record(trial).summary() for trial in self.trials(setting)]
        statuses = [summary["status"] for summary in summaries if summary]
        if "pruned" in statuses or not summaries:
            return "pruned", None
        if len(statuses) < len(summaries):
            return "unfinished", None
        if "failed" in statuses:
            return "failed", None
        return "finished", sum(summary[VAL_TOP1.key] for summary in summaries if summary) / len(summaries)

    def identity(self) -> dict[str, Any]:
        """What must not change while a study goes on."""
        base = self.base.identity()
        del base["graph"]["generator"]
        return {
            "search": self.search,
            "seed": self.seed,
            "generators": list(self.generators),
            "early_stopping": self.early_stopping,
            "require": [str(requirement) for requirement in self.require],
            "variants": as_json(self.variants),
            "base": base,
        }

    def check(self) -> None:
        """Raises ConfigError, in one line, if the study's folder holds another design."""
        StudyFolder(self.folder).check(self.identity())

    def open(self) -> None:
        """Write the design. Raises ConfigError if the folder holds another one, or is not writable."""
        self.check()
        StudyFolder(self.folder).write(self.to_json())

    def to_json(self) -> Row:
        """The content of study.json."""
        return {
            **self.identity(),
            "settings": self.settings,
            "seeds": list(range(self.base.graph.seed, self.base.graph.seed + self.seeds)),
            "train_seeds": list(range(self.base.train.seed, self.base.train.seed + self.train_seeds)),
        }


def settings_of_grid(generators: Sequence[str], variants: Variants) -> list[Setting]:
    """See `Design.grid`."""
    if not variants:
        return [Setting(spec) for spec in space.paper(generators)]
    return [Setting(spec, variant) for spec in space.best(generators) for variant in variants]
