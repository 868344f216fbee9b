"""The text of values, and the variant of a run that was suggested by keys, such as `network.channels=64`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from randwire.config.run_config import keys
from randwire.config.texts import parse, whole


def as_text(value: Any) -> str:
    """The canonical text of a value, without spaces but those of a text."""
    return value if isinstance(value, str) else json.dumps(whole(value), separators=(",", ":"))


def variant_of(values: Mapping[str, Any]) -> str:
    """Dotted keys and values as the variant of a setting, such as `graph.seed=7 network.channels=64`."""
    return " ".join(f"{key}={as_text(values[key])}" for key in sorted(values))


def values_of_variant(variant: str) -> dict[str, Any]:
    """The dotted keys and values that `variant_of` was given; empty for the name of any other variant."""
    words = [word.partition("=") for word in variant.split()]
    if not all(equals and key in _known() for key, equals, _ in words):
        return {}
    return {key: parse(key, text) for key, _, text in words}


def short(variant: str) -> str:
    """A variant for the eye: its keys without their sections where that is unambiguous, such as `channels=64`."""
    names = [key.partition(".")[2] for key in values_of_variant(variant)]
    if not names:
        return variant
    words = zip(names, variant.split(), strict=True)
    return " ".join(word[word.index(".") + 1 :] if names.count(name) == 1 else word for name, word in words)


@cache
def _known() -> frozenset[str]:
    return frozenset(keys())
