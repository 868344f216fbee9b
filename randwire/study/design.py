"""The design of a study: which settings are compared, over which seeds, from which configuration.

A *setting* is a generator with its parameters, such as `ws:k=4,p=0.75`; where a study compares *variants* (named keys
that are laid over the configuration), it is a generator and a variant, `ws:k=4,p=0.75 conv`. A *trial* is one training
run: a setting, a graph seed and a training seed. All trials of a setting are trained one after the other by one group
of workers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self, TypedDict, Unpack, get_args

from randwire import config as configuration
from randwire import graphs
from randwire.config import RunConfig, RuntimeConfig
from randwire.errors import ConfigError, UserError, one_line
from randwire.metrics import VAL_TOP1
from randwire.records import Record, Row
from randwire.study import space
from randwire.study.folder import StudyFolder, base_of
from randwire.study.requirements import Requirement, quantities
from randwire.study.setting import Setting
from randwire.study.statuses import Outcome
from randwire.study.variants import Variants, as_json, check_variants

SearchMethod = Literal["tpe", "random", "grid"]
DEFAULT_BASE = "digits"
"""The preset of a study that names none."""
CHOSEN_OTHERWISE = {
    "graph.generator": "graphs are what the study varies; choose with --generators",
    "graph.path": "graphs are what the study varies; choose with --generators",
    "runtime.study": "is the name of the study; choose with --name",
    "runtime.variant": "is what the study varies; leave it out",
}
"""Keys that cannot be laid over the configuration of a study, with what to do instead."""


class Options(TypedDict, total=False):
    """The options of a design, see `Design`; None where one is not given."""

    search: SearchMethod | None
    settings: int | None
    seeds: int | None
    train_seeds: int | None
    generators: tuple[str, ...] | None
    seed: int | None
    early_stopping: bool | None
    require: Sequence[Requirement | str] | None


@dataclass(frozen=True)
class Design:
    """`base` names the study (`runtime.study`) and holds every key that the study does not vary.

    What breaks a requirement costs nothing: of a grid the cells (a setting and a graph seed) that do are left out, of
    a search every setting of which any cell does.
    """

    base: RunConfig
    search: SearchMethod = "tpe"
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
        """Raises ConfigError, in one line, for options without sense and variants that cannot be told apart."""
        if self.search not in get_args(SearchMethod):
            raise ConfigError(f"--search: must be one of {', '.join(get_args(SearchMethod))}, is {self.search!r}")
        for option in ("settings", "seeds", "train_seeds"):
            number = getattr(self, option)
            if not isinstance(number, int) or number < 1:
                raise ConfigError(f"--{option.replace('_', '-')}: must be a whole number above 0, is {number!r}")
        if not self.generators or any(name not in space.names() for name in self.generators):
            wrong = ",".join(self.generators)
            raise ConfigError(f"--generators: must name some of {','.join(space.names())}, is {wrong!r}")
        if len(set(self.generators)) < len(self.generators):
            raise ConfigError(f"--generators: names one more than once, is {','.join(self.generators)!r}")
        if self.variants and self.search != "grid":
            raise ConfigError(f"--search: variants are compared in a grid alone, is {self.search!r}")
        check_variants(self.base, self.variants)

    @classmethod
    def load(
        cls,
        base: str | None = None,
        values: Mapping[str, object] | None = None,
        *,
        name: str,
        variants: Variants | Callable[[RunConfig], Variants] | None = None,
        **options: Unpack[Options],
    ) -> Self:
        """The design of the study `name`: what is given here, laid over what the study's folder holds already.

        `base` is a preset, a YAML file or a record, `values` are dotted keys laid over it. What is not given, or is
        None, comes from the study's folder, and where there is no such study yet, from the defaults and the preset
        DEFAULT_BASE. `variants` may depend on the configuration.

        Raises ConfigError, in one line, for anything impossible, and where the folder holds a study with another value
        of what is given: its records would not be those of this design.
        """
        values = {**(values or {})}
        for key, fix in CHOSEN_OTHERWISE.items():
            if key in values:
                raise ConfigError(f"{key}: {fix}")
        folder = StudyFolder(_runtime(base, values, name).output / name)
        study = folder.read() or {}
        try:
            stored = _stored_options(study) if study else {}
            config = _configuration(base, values, name, study)
        except UserError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{folder.folder / 'study.json'}: damaged: {one_line(error)}") from None
        if config.train.pretrained is not None:
            raise ConfigError("train.pretrained: weights belong to one graph, and graphs are what the study varies")
        if config.graph.path is not None:
            raise ConfigError(f"--base: {base} has saved graphs, and graphs are what the study varies")
        given = variants(config) if callable(variants) else variants
        laid = _variants(given, study.get("variants", {}))
        design = cls(config, **{**stored, **_given_options(options)}, variants=laid)
        design.check()
        return design

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
        crossed, violated = self._crossed(setting), self.violations(setting)
        if violated and self.search != "grid":
            return []
        return [trial for trial in crossed if trial.graph.seed not in violated]

    def violations(self, setting: Setting) -> dict[int, list[str]]:
        """The cells of a setting that break requirements: which, by graph seed.

        Raises ConfigError if the setting is impossible for the network.
        """
        violated = {}
        for trial in self._crossed(setting)[:: self.train_seeds]:
            values = quantities(trial) if self.require else {}
            if names := [str(requirement) for requirement in self.require if not requirement.met(values)]:
                violated[trial.graph.seed] = names
        return violated

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
        trials = []
        for seed in range(self.seeds):
            graph = last.graph.model_copy(update={"seed": first + seed})
            for repeat in range(self.train_seeds):
                training = last.train.model_copy(update={"seed": train + seed * step + repeat})
                trials.append(last.model_copy(update={"graph": graph, "train": training}))
        return trials

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
        defaults = {option.name: option.default for option in fields(self) if option.default is not MISSING}
        StudyFolder(self.folder).check(self.identity(), defaults)

    def open(self) -> None:
        """Write the design. Raises ConfigError if the folder holds another one, or is not writable."""
        self.check()
        StudyFolder(self.folder).write(self.to_json())

    def to_json(self) -> Row:
        """The content of study.json."""
        return {
            **self.identity(),
            "generator": self.base.graph.generator,
            "data_path": self.base.data.path,
            "settings": self.settings,
            "seeds": list(range(self.base.graph.seed, self.base.graph.seed + self.seeds)),
            "train_seeds": list(range(self.base.train.seed, self.base.train.seed + self.train_seeds)),
        }


def _runtime(base: str | None, values: Mapping[str, object], name: str) -> RuntimeConfig:
    """Where the study is, and how it runs. Without a base other keys are not read: they may need that of the folder."""
    runtime = {key: value for key, value in values.items() if key.startswith("runtime.")}
    return configuration.load(base or DEFAULT_BASE, {**(values if base else runtime), "runtime.study": name}).runtime


def _configuration(base: str | None, values: Mapping[str, object], name: str, study: Row) -> RunConfig:
    """The configuration of all trials: of the base if one is given, else of the study, else of the default base."""
    if base or not study:
        return configuration.load(base or DEFAULT_BASE, {**values, "runtime.study": name})
    path = values.get("data.path")
    stored = base_of(study, path if isinstance(path, str) else None)
    runtime = _runtime(base, values, name)
    return configuration.resolve(stored.model_copy(update={"runtime": runtime}).override(values))


def _given_options(options: Options) -> dict[str, Any]:
    given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    if "require" in given:
        given["require"] = Requirement.all_of(given["require"])
    return given


def _stored_options(study: Row) -> dict[str, Any]:
    """The options of a recorded design. Raises ValueError, KeyError or TypeError for a damaged one."""
    return {
        "search": study["search"],
        "settings": study["settings"],
        "seeds": len(study["seeds"]),
        "train_seeds": len(study["train_seeds"]),
        "generators": tuple(study["generators"]),
        "seed": study["seed"],
        "early_stopping": study["early_stopping"],
        "require": tuple(Requirement.parse(text) for text in study["require"]),
    }


def _variants(given: Variants | None, stored: Variants) -> Variants:
    """The variants that are given, or those of the folder: also where further ones are given, which came later."""
    if given is None:
        return stored
    current = as_json(given)
    return stored if stored and all(current.get(name) == keys for name, keys in stored.items()) else given


def settings_of_grid(generators: Sequence[str], variants: Variants) -> list[Setting]:
    """See `Design.grid`."""
    if not variants:
        return [Setting(spec) for spec in space.paper(generators)]
    return [Setting(spec, variant) for spec in space.best(generators) for variant in variants]
