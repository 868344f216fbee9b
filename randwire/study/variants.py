"""Variants: named keys that a study lays over its configuration, to compare what they change on the same graphs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from randwire.config import RunConfig, resolve
from randwire.errors import ConfigError

Variants = Mapping[str, Mapping[str, Any]]
"""Dotted keys by the name of a variant."""

CROSSED = ("graph.generator", "graph.seed", "graph.path", "network.reference", "train.seed", "train.pretrained")
"""Keys that a variant must not set: the study itself sets them, or crosses each variant with their values."""


def check_variants(base: RunConfig, variants: Variants) -> None:
    """Refuse variants that cannot be told apart.

    Raises ConfigError, in one line, for a name that is no text of words, for a key that the study itself sets, for a
    value that the configuration refuses, and for two variants that are the same configuration.
    """
    by_digest: dict[str, str] = {}
    for name, keys in variants.items():
        if not name or name != " ".join(name.split()):
            raise ConfigError(f"variant {name!r}: its name must be words with single spaces between them")
        for key in keys:
            if key in CROSSED or key.startswith("runtime."):
                raise ConfigError(f"variant {name}: {key} cannot differ between variants; the study sets it")
        try:
            digest = resolve(base.override(keys)).digest
        except ConfigError as error:
            raise ConfigError(f"variant {name}: {error}") from None
        if digest in by_digest:
            raise ConfigError(
                f"variants {by_digest[digest]} and {name}: are the same configuration; give them keys that differ"
            )
        by_digest[digest] = name


def are_variants(value: object) -> bool:
    """Whether a value of a file is what `as_json` gives."""
    return isinstance(value, dict) and all(isinstance(keys, dict) for keys in value.values())


def as_json(variants: Variants) -> dict[str, dict[str, Any]]:
    """Variants as JSON has them: what is written to study.json, and equal to what is read from it."""
    converted: dict[str, dict[str, Any]] = json.loads(json.dumps({name: dict(keys) for name, keys in variants.items()}))
    return converted


def varied_keys(variants: Variants) -> tuple[str, ...]:
    """The dotted keys that any variant sets, sorted."""
    return tuple(sorted({key for keys in variants.values() for key in keys}))


def values_of(config: RunConfig, keys: tuple[str, ...]) -> tuple[Any, ...]:
    """The values of dotted keys in a configuration."""
    return tuple(getattr(getattr(config, key.partition(".")[0]), key.partition(".")[2]) for key in keys)


def resolved(base: RunConfig, variants: Variants) -> dict[str, tuple[Any, ...]]:
    """The values of all keys that any variant sets, under each variant laid over `base`, by its name."""
    keys = varied_keys(variants)
    return {name: values_of(base.override(variant), keys) for name, variant in variants.items()}


def possible(base: RunConfig, variants: Variants) -> dict[str, Mapping[str, Any]]:
    """The variants that the configuration `base` takes."""
    taken = {}
    for name, keys in variants.items():
        with suppress(ConfigError):
            base.override(keys)
            taken[name] = keys
    return taken
