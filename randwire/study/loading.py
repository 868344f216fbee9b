"""A design from what is given and what the study's folder holds already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from randwire import config as configuration
from randwire.config import RunConfig, RuntimeConfig
from randwire.config.variant import values_of_variant
from randwire.errors import ConfigError, UserError, brief
from randwire.pages.text import many
from randwire.records import Row
from randwire.study import confirmation, space
from randwire.study.confirmation import Chosen, Confirmation
from randwire.study.defaults import Defaults, Options
from randwire.study.fixed import FIXED, PAPER, specs_of
from randwire.study.folder import StudyFolder, base_of
from randwire.study.growth import NAMES, union
from randwire.study.matched import KEY as MATCHED
from randwire.study.requirements import Requirement
from randwire.study.search_space import GRAPH_SEED
from randwire.study.setting import Setting
from randwire.study.stored import said_of_design
from randwire.study.variants import Variants, as_json

CALLED = {"confirm": "confirmation", "longer": "study of longer training"}
"""Options by which a study begins with what another has chosen, and what it is called then."""
DEFAULT_BASE = "digits"
"""The preset of a study that names none."""
RACE_SEEDS = 1
"""Graph seeds of the first round of a race that says nothing of them; see `race`."""
CHOSEN_OTHERWISE = {
    "graph.generator": "graphs are what the study varies; choose with --generators, or name settings with --only",
    "graph.path": "graphs are what the study varies; choose with --generators",
    "runtime.study": "is the name of the study; choose with --name",
    "runtime.variant": "is what the study varies; leave it out",
}
"""Keys that cannot be laid over the configuration of a study, with what to do instead."""


class Loaded(NamedTuple):
    """What a design is made of."""

    config: RunConfig
    options: dict[str, Any]
    variants: Variants
    stored: dict[str, Any]
    """The options that the study's folder holds; empty if it holds none."""


def load(
    base: str | None,
    values: Mapping[str, object] | None,
    name: str,
    variants: Variants | Callable[[RunConfig], Variants] | None,
    options: Options,
    defaults: Defaults,
) -> Loaded:
    """What is given, laid over what the folder of the study `name` holds; see `Design.load`. Raises ConfigError."""
    values = {**(values or {})}
    for key, fix in CHOSEN_OTHERWISE.items():
        if key in values:
            raise ConfigError(f"{key}: {fix}")
    folder = StudyFolder(_runtime(base, values, name).output / name)
    study = folder.read() or {}
    try:
        stored = _stored_options(study) if study else {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # also UserError: no option was given
        raise folder.damaged(said_of_design(brief(error))) from None
    try:
        chosen = _chosen(folder.folder, values, options, stored)
        if chosen and chosen.longer:
            _check_longer(base, values, options, chosen)
        config = _configuration(base, values, name, study, chosen, defaults)
        if chosen:
            _check_begun(config, chosen)
    except UserError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise folder.damaged(brief(error)) from None
    if config.train.pretrained is not None:
        raise ConfigError("train.pretrained: weights belong to one graph, and graphs are what the study varies")
    if config.graph.path is not None:
        raise ConfigError(f"--base: {base} has saved graphs, and graphs are what the study varies")
    if config.network.reference is not None:
        raise ConfigError(
            f"network.reference: graphs are what the study varies; compare {config.network.reference} with their "
            "networks by --only"
        )
    given = variants(config) if callable(variants) else variants
    laid = _variants(given, study.get("variants", {}), grow=not callable(variants))
    first = stored or (_beginning(chosen) if chosen else _given_options(defaults.options(config), {}))
    taken = {**first, **_given_options(options, stored)}
    taken |= {name: union(stored[name], taken[name]) for name in NAMES if name in stored}
    taken |= {key: first[key] for key in CALLED if key in taken}  # what was chosen, not the name that was given
    if (
        options.get("generators")
        and taken.get("only")
        and not (stored or chosen or PAPER in (options.get("only") or ()))
    ):
        raise ConfigError("--generators: the settings are named with --only; leave one of them out")
    if taken.get("match_mult_adds") is not None and MATCHED in values:
        raise ConfigError(f"{MATCHED}: is chosen for each network by --match-mult-adds; leave one of them out")
    if taken.get("search") in FIXED and not laid and options.get("settings") is not None:
        raise ConfigError(f"--settings: is for --search tpe or random; a {taken['search']} has settings of its own")
    if taken.get("search") == "race":
        if options.get("settings") is not None:
            raise ConfigError("--settings: a race has those that enter it; name them with --only, or by --generators")
        taken = {"seeds": RACE_SEEDS, **taken}
    if any(text.partition("=")[0].strip() == GRAPH_SEED for text in taken.get("space", ())):
        taken.setdefault("seeds", 1)  # a setting is one graph then
    return Loaded(config, {"search": "grid", **taken} if laid else taken, laid, stored)


def _chosen(folder: Path, values: Mapping[str, object], options: Options, stored: Mapping[str, Any]) -> Chosen | None:
    """What a study that begins takes over from another, to confirm it or train it for longer.

    None for any other study, and for one that goes on with what it holds.
    """
    if options.get("confirm") is not None and options.get("longer") is not None:
        raise ConfigError("--longer: trains the graphs that were chosen, and --confirm others; leave one of them out")
    key: Literal["confirm", "longer"] = "confirm" if options.get("longer") is None else "longer"
    given = options.get(key)
    if given is None:
        return None
    parent = confirmation.folder_of(given, folder)
    if parent == folder.resolve():
        raise ConfigError(f"--{key}: is the study itself; name the {CALLED[key]} with --name NAME")
    if stored:
        name = stored[key].study if stored.get(key) else None
        if name != parent.name:
            change = f"{key} ({name!r}, not {given!r})"
            raise ConfigError(f"{folder}: holds a study with another {change}; name this one with --name NAME")
        return None
    if options.get("only"):
        raise ConfigError(f"--only: a {CALLED[key]} has the settings that another study chose; leave one of them out")
    path = values.get("data.path")
    data_path = path if isinstance(path, str) else None
    chosen = confirmation.choose(parent, options.get("top"), options.get("generators"), data_path, key == "longer")
    for name in values_of_variant(Setting.parse(chosen.confirmation.only[0]).variant):
        if name in values:
            raise ConfigError(f"{name}: is what {parent.name} has chosen for each setting; leave it out")
    return chosen


def _beginning(chosen: Chosen) -> dict[str, Any]:
    """The options of a study that begins with what another has chosen, in the form that a design has."""
    own = {"search": "list", "only": chosen.confirmation.only, "seeds": confirmation.DEFAULT_SEEDS}
    return {**own, **chosen.options, "longer" if chosen.longer else "confirm": chosen.confirmation}


def _check_longer(base: str | None, values: Mapping[str, object], options: Options, chosen: Chosen) -> None:
    """Raise ConfigError for what would train other graphs, or on other seeds, than those that were chosen."""
    parent = chosen.confirmation.study
    if base is not None:
        raise ConfigError(f"--base: longer training has the configuration of {parent}; leave it out, and give keys")
    for option in ("seeds", "train_seeds"):
        if options.get(option) not in (None, chosen.options[option]):
            raise ConfigError(
                f"--{option.replace('_', '-')}: longer training has the seeds that chose, {chosen.options[option]}; "
                "leave it out, or try others with --confirm"
            )
    for key in values:
        if key.startswith("graph.") or key == "train.seed":
            raise ConfigError(f"{key}: longer training has the graphs and seeds of {parent}; leave it out")


def _runtime(base: str | None, values: Mapping[str, object], name: str) -> RuntimeConfig:
    """Where the study is, and how it runs. Without a base other keys are not read: they may need that of the folder."""
    runtime = {key: value for key, value in values.items() if key.startswith("runtime.")}
    return configuration.load(base or DEFAULT_BASE, {**(values if base else runtime), "runtime.study": name}).runtime


def _configuration(
    base: str | None,
    values: Mapping[str, object],
    name: str,
    study: Row,
    chosen: Chosen | None,
    defaults: Defaults,
) -> RunConfig:
    """The configuration of all trials: of the base if one is given, else of the study, else of the default base.

    Of a confirmation that begins, that of the study which it confirms, on seeds that this has not used; of longer
    training that of the study which has chosen, on its seeds.
    """
    seeds = chosen.seeds if chosen else {}
    if study.get("confirm") or study.get("longer"):
        seeds = {"graph.seed": study["base"]["graph"]["seed"], "train.seed": study["base"]["train"]["seed"]}
    if base or not (study or chosen):
        first = seeds if base else defaults.keys
        return configuration.load(base or DEFAULT_BASE, {**first, **values, "runtime.study": name})
    path = values.get("data.path")
    stored = chosen.base if chosen else base_of(study, path if isinstance(path, str) else None)
    runtime = _runtime(base, values, name)
    return configuration.resolve(stored.model_copy(update={"runtime": runtime}).override({**seeds, **values}))


def _check_begun(config: RunConfig, chosen: Chosen) -> None:
    """Raise ConfigError for a confirmation on seeds that had a part in choosing, and for no more epochs than then."""
    if chosen.longer:
        if config.train.epochs <= chosen.base.train.epochs:
            then = f"{chosen.confirmation.study} trained for {many(chosen.base.train.epochs, 'epoch')}"
            raise ConfigError(f"--longer: {then}, and here it is {config.train.epochs}; give more with --train.epochs")
        return
    for key, current in (("graph.seed", config.graph.seed), ("train.seed", config.train.seed)):
        if current < chosen.seeds[key]:
            raise ConfigError(
                f"{key}: {chosen.confirmation.study} used seeds up to {chosen.seeds[key] - 1}, and is confirmed on "
                f"others; begin at {chosen.seeds[key]}, or leave it out"
            )


def _given_options(options: Options, stored: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are given, in the form that a design has; a list of settings implies the search `list`."""
    given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    if "require" in given:
        given["require"] = Requirement.all_of(given["require"])
    given |= {name: tuple(given[name]) for name in ("generators", "space", "objective") if name in given}
    if "only" in given:
        generators = given.get("generators") or stored.get("generators") or space.default()
        try:
            given["only"] = specs_of(given["only"], generators)
        except ValueError as error:
            raise ConfigError(f"--only: {error}") from None
        if not stored:
            given.setdefault("search", "list")
    return given


def _stored_options(study: Row) -> dict[str, Any]:
    """The options of a recorded design. Raises ValueError, KeyError or TypeError for a damaged one.

    What an earlier study does not have is left out: it came later, and is at its default.
    """
    later: dict[str, Any] = {name: tuple(study[name]) for name in ("only", "space", "objective") if name in study}
    later.update((name, study[name]) for name in ("top", "match_mult_adds") if name in study)
    later |= {key: Confirmation.of_json(study[key]) for key in CALLED if study.get(key)}
    for text in study.get("only", ()):
        try:
            Setting.parse(text).label  # noqa: B018
        except ValueError as error:
            raise ConfigError(f"--only: {error}") from None
    return {
        "search": study["search"],
        "settings": study["settings"],
        "seeds": len(study["seeds"]),
        "train_seeds": len(study["train_seeds"]),
        "generators": tuple(study["generators"]),
        "seed": study["seed"],
        "early_stopping": study["early_stopping"],
        "require": tuple(Requirement.parse(text) for text in study["require"]),
        **later,
    }


def _variants(given: Variants | None, stored: Variants, grow: bool) -> Variants:
    """The variants that are given, or those of the folder; with further ones that are given if it is to `grow`."""
    if given is None:
        return stored
    current = as_json(given)
    if not stored or any(current.get(name) != keys for name, keys in stored.items()):
        return given
    return {**stored, **current} if grow else stored
