"""Values of keys from text, as command lines, ranges of a search and variants have them: read by the key's type."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from randwire.config.run_config import RunConfig

MAX_WHOLE = 2**53
"""Beyond it floating point, in which a search computes, cannot tell whole numbers apart."""


def parse(key: str, text: str) -> Any:
    """The value that a text gives a key of the configuration.

    A key of text gets the text, whatever it looks like; a number, a truth value or a list is JSON, such as `1e3` or
    `[0.5,0.75]`. `null` empties a key that may be empty (so a file of that name is `./null`). What is not of the key's
    type stays text, which validation refuses by name, as it does unknown keys.
    """
    types = _types().get(key, frozenset({str}))
    if text == "null" and type(None) in types:
        return None
    if types & {str, Path}:
        return text
    value = json_or_text(text)
    if value is None or isinstance(value, str | dict) or (isinstance(value, list) and any(map(_is_no_number, value))):
        return text
    return text if isinstance(value, bool) and bool not in types else value


def parse_all(texts: Mapping[str, str]) -> dict[str, Any]:
    """The values of keys by their texts, see `parse`."""
    return {key: parse(key, text) for key, text in texts.items()}


def is_text(key: str) -> bool:
    """Whether a key of the configuration takes text: a name, a path, or one of several words."""
    return bool(_types().get(key, frozenset()) & {str, Path})


def json_or_text(text: str) -> Any:
    """The value of JSON, with numbers as `whole` has them; of anything else the text itself."""
    try:
        return whole(json.loads(text))
    except (ValueError, RecursionError):
        return text


def whole(value: Any) -> Any:
    """A number without a fraction as a whole one, so that each value has one text."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_WHOLE else value


def _is_no_number(value: object) -> bool:
    return isinstance(value, bool) or not isinstance(value, int | float)


@cache
def _types() -> Mapping[str, frozenset[object]]:
    """The types that each key may have; those of its words for a choice, `tuple` for a list."""
    types = {}
    for section, outer in RunConfig.model_fields.items():
        for name, field in type(outer.default).model_fields.items():
            types[f"{section}.{name}"] = frozenset(_members(field.annotation))
    return types


def _members(annotation: object) -> Iterator[object]:
    origin = get_origin(annotation)
    if origin is None:
        yield annotation
    elif origin is Literal:
        yield from map(type, get_args(annotation))
    elif origin is tuple:
        yield tuple
    else:
        for member in get_args(annotation):
            yield from _members(member)
