"""The design of a study: which settings are compared, over which seeds, from which configuration.

A *setting* is a generator with its parameters, such as `ws:k=4,p=0.75`; where a study compares *variants* (named keys
that are laid over the configuration), it is a generator and a variant, `ws:k=4,p=0.75 conv`. A *trial* is one training
run: a setting, a graph seed and a training seed. All trials of a setting are trained one after the other by one group
of workers.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Self, Unpack, get_args

from randwire import config as configuration
from randwire.config import GraphConfig, RunConfig
from randwire.config.variant import values_of_variant
from randwire.ending import ended
from randwire.errors import ConfigError, RecordError, brief
from randwire.metrics import VAL_TOP1
from randwire.records import Record, Row
from randwire.study import growth, space
from randwire.study.confirmation import Confirmation
from randwire.study.defaults import Defaults, Options
from randwire.study.fixed import FIXED, SearchMethod, check_fixed, fixed_settings
from randwire.study.folder import StudyFolder, base_of
from randwire.study.loading import Loaded, load
from randwire.study.matched import matched
from randwire.study.objectives import ALONE, Objective
from randwire.study.requirements import Requirement, quantities
from randwire.study.search_space import GRAPH_SEED, SearchSpace
from randwire.study.setting import Setting
from randwire.study.statuses import Outcome
from randwire.study.stored import said_of_design
from randwire.study.variants import Variants, as_json, check_variants

GROWS = ("settings", "seeds", "train_seeds", "generators", "only")
"""The fields that a study may ask for more of later, see `growth`; of its variants there may be more, too."""
APART = ("base", "entered")
"""The fields that are no part of a study's identity as they are."""


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
    """Of a fixed design: each of them is crossed with each setting, of a grid with the best of each generator."""
    only: tuple[str, ...] = ()
    """The specs of a list, or those that enter a race; a race without them starts from the paper's grid."""
    confirm: Confirmation | None = None
    """The earlier study whose winners the list is, with what it chose and by what; None if it is no confirmation."""
    longer: Confirmation | None = None
    """The same, if the list trains their networks again for longer: on the graphs and seeds that chose them."""
    top: int | None = None
    """Of a list of winners: so many of the best settings, instead of the best of each generator."""
    space: tuple[str, ...] = ()
    """Of a search: ranges of parameters and of further keys, such as `ws.k=4:8:2` and `network.channels=48,64`."""
    objective: tuple[str, ...] = ALONE
    """What a search maximises, or with a minus minimises: `top1` and QUANTITIES."""
    match_mult_adds: float | None = None
    """Multiply-adds that the channels of each network are chosen for; None: the channels of the configuration."""
    entered: tuple[str, ...] = ()
    """Of one round of a race: the specs that are still in it; see `race.of_round`."""

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
        if self.variants and self.search not in FIXED:
            raise ConfigError(f"--search: variants are compared in a grid or a list alone, is {self.search!r}")
        self._check_methods()
        self._check_search()
        check_variants(self.base, self.variants)

    @classmethod
    def load(
        cls,
        base: str | None = None,
        values: Mapping[str, object] | None = None,
        *,
        name: str,
        variants: Variants | Callable[[RunConfig], Variants] | None = None,
        defaults: Defaults | None = None,
        **options: Unpack[Options],
    ) -> Self:
        """The design of the study `name`: what is given here, laid over what the study's folder holds already.

        `base` is a preset, a YAML file or a record, `values` are dotted keys laid over it. What is not given, or is
        None, comes from the study's folder, and where there is no such study yet, from the defaults and the preset
        DEFAULT_BASE, or `defaults`. `variants` may depend on the configuration.

        A study only grows (see `growth`): what is given may be more than the folder holds. Where `variants` that depend
        on the configuration have become more since the study began, it goes on with those that it holds.

        Raises ConfigError, in one line, for anything impossible, and where the folder holds a study with another value
        of what is given, or more of it: its records would not be those of this design.
        """
        loaded = load(base, values, name, variants, options, defaults or Defaults())
        try:
            design = cls(loaded.config, **loaded.options, variants=loaded.variants)
        except ConfigError:
            cls._check_held(loaded)
            raise
        design.check()
        return design

    @classmethod
    def _check_held(cls, loaded: Loaded) -> None:
        """Raises ConfigError, which names study.json, if what a study's folder holds has no sense by itself."""
        runtime = loaded.config.runtime
        folder = StudyFolder(runtime.output / runtime.study)
        study = folder.read()
        if study is None:
            return
        try:
            cls(base_of(study, loaded.config.data.path), **loaded.stored, variants=study["variants"])
        except (ValueError, KeyError, TypeError) as error:
            raise folder.damaged(said_of_design(brief(error))) from None

    def _check_methods(self) -> None:
        """Raises ConfigError for options that the method of search does not have."""
        if self.search == "list" and not self.only:
            raise ConfigError("--only: a list needs its settings, such as --only ws:k=4,p=0.75 --only ba:m=5")
        if self.search == "race" and len(self.fixed_settings()) < 2:
            raise ConfigError("--only: a race needs two settings at least; leave it out to let the paper's grid race")
        of_some = {
            "confirm": (bool(self.confirm), ("list",)),
            "longer": (bool(self.longer), ("list",)),
            "only": (bool(self.only), ("list", "race")),
            "space": (bool(self.space), ("tpe", "random")),
            "objective": (self.objective != ALONE, ("tpe", "random")),
            "early_stopping": (self.early_stopping, ("tpe", "random", "grid", "list")),
        }
        for option, (given, methods) in of_some.items():
            if given and self.search not in methods:
                raise ConfigError(
                    f"--{option.replace('_', '-')}: is for --search {' or '.join(methods)}, which is {self.search}"
                )
        if self.top is not None and self.confirm is None and self.longer is None:
            raise ConfigError(
                "--top: is how many settings of another study are taken; name it with --confirm or --longer"
            )
        check_fixed(self.search, self.only, self.variants, self.match_mult_adds is not None)

    def _check_search(self) -> None:
        """Give the options of a search their canonical form. Raises ConfigError for those without sense."""
        object.__setattr__(self, "objective", tuple(map(str, Objective.all_of(self.objective))))
        if self.early_stopping and self.objective != ALONE:
            raise ConfigError(f"--early-stopping: judges by top-1 alone, and not by {','.join(self.objective)}")
        if not self.space:
            return
        object.__setattr__(self, "space", self.search_space.texts)
        if GRAPH_SEED in self.search_space.ranges and self.seeds != 1:
            raise ConfigError(f"--seeds: must be 1 with {GRAPH_SEED} in --space, where a setting is one graph")
        if "network.channels" in self.search_space.ranges and self.match_mult_adds is not None:
            raise ConfigError("--match-mult-adds: chooses network.channels, which --space has too")

    @cached_property
    def search_space(self) -> SearchSpace:
        """What a search may suggest."""
        return SearchSpace.parse(self.space, self.generators, self.base)

    @property
    def fixed(self) -> bool:
        """Whether the settings are named, and none is suggested: before any result, or of a race, of its round."""
        return self.search in FIXED or self.search == "race"

    def fixed_settings(self) -> list[Setting]:
        """The settings of a fixed design: see `fixed.fixed_settings`."""
        return fixed_settings(self.search, self.generators, self.entered or self.only, self.variants)

    @property
    def folder(self) -> Path:
        return self.base.runtime.output / self.base.runtime.study

    def entries(self) -> dict[Setting, list[str]]:
        """The settings seen so far, see `StudyFolder.entries`; of one round of a race, those that are still in it.

        Raises RecordError as that does, and for a setting of a generator that there is not.
        """
        entries = StudyFolder(self.folder).entries()
        for setting in entries:
            try:
                setting.label  # noqa: B018
            except ValueError as error:
                path = self.folder / "suggestions.jsonl"
                raise RecordError(f"{path}: {error}; put back a copy, or remove that line") from None
        return {setting: entries[setting] for setting in entries if not self.entered or setting.spec in self.entered}

    def trials(self, setting: Setting) -> list[RunConfig]:
        """The trials of a setting, none of which breaks a requirement; none at all if the setting is rejected.

        Raises ConfigError if the setting is impossible for the network.
        """
        crossed, violated = self._crossed(setting), self.violations(setting)
        if violated and not self.fixed:
            return []
        return [trial for trial in crossed if trial.graph.seed not in violated]

    def violations(self, setting: Setting) -> dict[int, list[str]]:
        """The cells of a setting that break requirements: which, by graph seed.

        Raises ConfigError if the setting is impossible for the network.
        """
        violated = {}
        for trial in self._crossed(setting)[:: self.train_seeds]:
            values = quantities(trial) if self.require else {}
            if names := [breach for requirement in self.require if (breach := requirement.breach(values))]:
                violated[trial.graph.seed] = names
        return violated

    def excess(self, setting: Setting) -> dict[str, float]:
        """How far the worst cell of a setting is beyond each requirement; above 0 where it breaks it."""
        cells = [quantities(trial) for trial in self._crossed(setting)[:: self.train_seeds]]
        return {str(requirement): max(map(requirement.excess, cells)) for requirement in self.require}

    def keys(self, setting: Setting) -> Mapping[str, Any]:
        """The dotted keys of the variant of a setting: those of its name, or those that a search suggested."""
        return self.variants.get(setting.variant, {}) if self.variants else values_of_variant(setting.variant)

    def _crossed(self, setting: Setting) -> list[RunConfig]:
        """Graph seeds crossed with training seeds.

        Where all graph seeds give one graph, such as WS(4,0), each has training seeds of its own: the trials would be
        one trial repeated, and their spread zero. So it is where one graph is confirmed that a search has found, and of
        a published network, where the seed of graphs stays at its default.
        """
        keys = {**self.keys(setting), **({GRAPH_SEED: GraphConfig().seed} if setting.published else {})}
        one_graph = self.fixed and GRAPH_SEED in keys
        step = self.train_seeds if setting.one_network or one_graph else 0
        first, train = keys.get(GRAPH_SEED, self.base.graph.seed), keys.get("train.seed", self.base.train.seed)
        if GRAPH_SEED in keys and not one_graph:  # as if the seeds up to the suggested one were there, too
            train += first * step
        # Only the last trial is validated: it has the largest seeds, and to validate each would take minutes in all.
        last = configuration.resolve(
            self.base.override(
                {
                    **keys,
                    **setting.keys,
                    GRAPH_SEED: first + (0 if one_graph else self.seeds - 1),
                    "train.seed": train + (self.seeds - 1) * step + self.train_seeds - 1,
                }
            )
        )
        trials = []
        for seed in range(self.seeds):
            graph = last.graph.model_copy(update={"seed": first + (0 if one_graph else seed)})
            for offset in self._train_seeds[seed] if step else range(self.train_seeds):
                training = last.train.model_copy(update={"seed": train + offset})
                trials.append(last.model_copy(update={"graph": graph, "train": training}))
        if self.match_mult_adds is None:
            return trials
        return [matched(trial, self.match_mult_adds) for trial in trials]

    @cached_property
    def _train_seeds(self) -> list[list[int]]:
        """The training seeds of each graph seed, counted from the first, where all graph seeds give one graph.

        Those that the study's folder holds stay where they are, so that none is trained again.
        """
        stored = None if self.entered else StudyFolder(self.folder).read()
        return growth.training_seeds([*(growth.sizes_of(stored) if stored else ()), (self.seeds, self.train_seeds)])

    def record(self, trial: RunConfig) -> Record:
        return Record(self.folder / trial.digest)

    def outcome(self, setting: Setting) -> tuple[Outcome, float | None]:
        """How a setting has ended, and the mean final top-1 of its trials, from the records alone.

        A setting with a trial that was stopped early is pruned, as is one without any trial, which is rejected; one
        with a failed trial is failed. Neither has a mean. A trial whose record cannot be read has not finished.
        """
        summaries = [ended(self.record(trial)) for trial in self.trials(setting)]
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
        return {**self._options(*GROWS), "base": base}

    def _options(self, *left_out: str) -> dict[str, Any]:
        """The options as study.json has them."""
        names = [option.name for option in fields(self) if option.name not in (*APART, *left_out)]
        return {name: _as_json(getattr(self, name)) for name in names}

    def check(self) -> None:
        """Raises ConfigError, in one line, if the study's folder holds another design, or one that asks for more."""
        self._check_stored()

    def _check_stored(self) -> Row | None:
        """The design that the study's folder holds, if this one goes on with it. Raises ConfigError as `check` does."""
        defaults = {option.name: _as_json(option.default) for option in fields(self) if option.default is not MISSING}
        folder = StudyFolder(self.folder)
        stored = folder.check(self.identity(), defaults)
        if stored is None or self.entered:
            return stored
        current = self.to_json()
        growth.check(self.folder, stored, current)
        added = growth.added_to(stored, current)
        if not self.fixed and "generators" in added and len(folder.suggestions()) >= self.settings:
            raise ConfigError(
                f"--generators: the search has made its {self.settings} suggestions, and none is left for "
                f"{','.join(added['generators'])}; give a larger --settings, too"
            )
        return stored

    def open(self) -> None:
        """Write the design, which may ask for more than the study's folder holds.

        Raises ConfigError if the folder holds another one, or one that asks for more, or is not writable, and
        RecordLockedError if it would grow while a sweep runs, which goes by what it has read.
        """
        folder = StudyFolder(self.folder)
        with folder.changing():
            stored = self._check_stored()
            design = self.to_json()
            if stored is not None:
                if growth.added_to(stored, design):
                    folder.check_free()
                ended = sum(1 for _ in self.folder.glob("*/summary.json"))
                design = growth.grown(stored, design, datetime.now(UTC).isoformat(timespec="seconds"), ended)
            folder.write(design)

    def to_json(self) -> Row:
        """The content of study.json, for a study that has not grown."""
        base = self.base.identity()
        del base["graph"]["generator"]
        return {
            **self._options("settings", "seeds", "train_seeds"),
            "base": base,
            "generator": self.base.graph.generator,
            "data_path": self.base.data.path,
            "settings": self.settings,
            "seeds": list(range(self.base.graph.seed, self.base.graph.seed + self.seeds)),
            "train_seeds": list(range(self.base.train.seed, self.base.train.seed + self.train_seeds)),
        }


def _as_json(value: Any) -> Any:
    """The value of an option as study.json has it."""
    if isinstance(value, tuple):
        return [str(one) if isinstance(one, Requirement) else one for one in value]
    if isinstance(value, Confirmation):
        return value.to_json()
    return as_json(value) if isinstance(value, Mapping) else value
