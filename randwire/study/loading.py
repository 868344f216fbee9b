"""A design from what is given and what the study's folder holds already."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

from randwire import config as configuration
from randwire.config import RunConfig, RuntimeConfig
from randwire.errors import ConfigError, UserError, one_line
from randwire.records import Row
from randwire.study import space
from randwire.study.fixed import SearchMethod, specs_of
from randwire.study.folder import StudyFolder, base_of
from randwire.study.requirements import Requirement
from randwire.study.search_space import GRAPH_SEED
from randwire.study.variants import Variants, as_json

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


class Options(TypedDict, total=False):
    """The options of a design, see `Design`; None where one is not given."""

    search: SearchMethod | None
    settings: int | None
    seeds: int | None
    train_seeds: int | None
    generators: Sequence[str] | None
    seed: int | None
    early_stopping: bool | None
    require: Sequence[Requirement | str] | None
    only: Sequence[str] | None
    confirm: str | None
    top: int | None
    space: Sequence[str] | None
    objective: Sequence[str] | None
    match_mult_adds: float | None


class Loaded(NamedTuple):
    """What a design is made of."""

    config: RunConfig
    options: dict[str, Any]
    variants: Variants


def load(
    base: str | None,
    values: Mapping[str, object] | None,
    name: str,
    variants: Variants | Callable[[RunConfig], Variants] | None,
    options: Options,
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
    chosen = {**stored, **_given_options(options, stored)}
    if chosen.get("search") == "race":
        if options.get("settings") is not None:
            raise ConfigError("--settings: a race has those that enter it; name them with --only, or by --generators")
        chosen = {"seeds": RACE_SEEDS, **chosen}
    if any(text.partition("=")[0].strip() == GRAPH_SEED for text in chosen.get("space", ())):
        chosen.setdefault("seeds", 1)  # a setting is one graph then
    return Loaded(config, {"search": "grid", **chosen} if laid else chosen, laid)


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
    later.update((name, study[name]) for name in ("confirm", "top", "match_mult_adds") if name in study)
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


def _variants(given: Variants | None, stored: Variants) -> Variants:
    """The variants that are given, or those of the folder: also where further ones are given, which came later."""
    if given is None:
        return stored
    current = as_json(given)
    return stored if stored and all(current.get(name) == keys for name, keys in stored.items()) else given
