"""The design of a study: which settings are compared, over which seeds, from which configuration.

A *setting* is a generator with its parameters, such as `ws:k=4,p=0.75`; where a study compares *variants* (named keys
that are laid over the configuration), it is a generator and a variant, `ws:k=4,p=0.75 conv`. A *trial* is one training
run: a setting, a graph seed and a training seed. All trials of a setting are trained one after the other by one group
of workers.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from randwire import config as configuration
from randwire import graphs
from randwire.config import ANY_SET, RunConfig
from randwire.errors import ConfigError, RecordError
from randwire.records import Record, Row, atomic
from randwire.study import space
from randwire.study.requirements import Requirement, quantities
from randwire.study.setting import Setting
from randwire.study.variants import Variants, check_variants

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
        return "finished", sum(summary["val_top1"] for summary in summaries if summary) / len(summaries)

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
            "variants": {name: dict(keys) for name, keys in self.variants.items()},
            "base": base,
        }

    def to_json(self) -> Row:
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


def base_of(study: Row, path: str | None = None) -> RunConfig:
    """The configuration that all trials of a recorded design (study.json) share, with its default generator and places.

    `path` stands for that of the data where the source needs one: the design knows its SHA-256 alone. Raises ValueError
    or KeyError if it is damaged.
    """
    base = study["base"]
    possible = (spec for spec in space.best(study.get("generators") or space.names()) if _possible(spec, base))
    graph = {**base["graph"], "generator": next(possible, RunConfig().graph.generator)}
    data = {**base["data"], "path": path if base["data"]["source"] == ANY_SET else None}
    return RunConfig.model_validate({**base, "graph": graph, "data": data})


def _possible(spec: str, base: Row) -> bool:
    try:
        graphs.parse(spec).check(base["graph"]["nodes"])
    except ValueError:
        return False
    return True


class StudyFolder:
    """The files that a study keeps beside its records.

    study.json           the design
    suggestions.jsonl    the settings in the order in which they were suggested, and those that a search rejected
    failures.jsonl       the settings that could not be run, each with time and cause; a later sweep tries them again
    """

    def __init__(self, design: Design) -> None:
        self.design = design
        self.folder = design.folder

    def open(self) -> None:
        """Write the design. Raises ConfigError if the folder holds a study of another design, or is not writable."""
        try:
            known = Record(self.folder).read_json("study.json")
        except RecordError as error:
            raise ConfigError(str(error)) from None
        if known is not None:
            known = {"require": [], "variants": {}, **known}  # earlier studies have none
            for key, value in self.design.identity().items():
                change = (
                    configuration.difference(known.get(key), value)
                    if key == "base"
                    else None
                    if known.get(key) == value
                    else _difference(known.get(key), value, key)
                )
                if change is not None:
                    raise ConfigError(
                        f"{self.folder}: holds a study with another {change}; name this one with --name NAME"
                    )
        try:
            Record(self.folder).write_json("study.json", self.design.to_json())
        except OSError as error:
            raise ConfigError(
                f"{self.folder}: cannot be written ({error.strerror}); choose a folder with --runtime.output"
            ) from None

    def entries(self) -> dict[Setting, list[str]]:
        """The settings seen so far, in order, with the requirements for which a search rejected them (else empty)."""
        try:
            lines = (self.folder / "suggestions.jsonl").read_text().splitlines()
        except FileNotFoundError:
            return {}
        rows = map(json.loads, lines)
        return {Setting.parse(row["setting"]): row.get("rejected", []) for row in rows}

    def add_failure(self, setting: Setting, cause: str | None) -> None:
        """Note why a setting could not be run, or, with None, that it has been run after all."""
        if cause is not None or setting in failures_of(self.folder):
            row = {"setting": str(setting), "time": time.time(), "cause": cause}
            Record(self.folder).append("failures.jsonl", row)

    def suggestions(self) -> list[Setting]:
        """The settings suggested so far, in order."""
        return [setting for setting, broken in self.entries().items() if not broken]

    def add_suggestion(self, setting: Setting | None, rejected: Mapping[Setting, Sequence[str]] | None = None) -> None:
        """Add a setting, and before it what was rejected on the way to it; the file is whole at every moment."""
        known = self.entries()
        found = {**known}
        for other, broken in [*(rejected or {}).items(), *([(setting, ())] if setting else [])]:
            found.setdefault(other, list(broken))
        if found == known:
            return
        rows = [
            {"setting": str(other), "rejected": broken} if broken else {"setting": str(other)}
            for other, broken in found.items()
        ]
        with atomic(self.folder / "suggestions.jsonl") as file:
            file.write("".join(json.dumps(row) + "\n" for row in rows).encode())


def failures_of(folder: Path) -> dict[Setting, tuple[float, str]]:
    """When (Unix seconds) and why settings of the study in a folder could not be run, as it stands now."""
    last = {row["setting"]: (row["time"], row["cause"]) for row in Record(folder).rows("failures.jsonl")}
    return {Setting.parse(text): (at, cause) for text, (at, cause) in last.items() if cause is not None}


def _difference(old: Any, new: Any, key: str) -> str:
    """The first dotted key in which two values differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in new:
            if old.get(name) != new[name]:
                return _difference(old.get(name), new[name], f"{key}.{name}")
    return f"{key} ({old!r}, not {new!r})"
