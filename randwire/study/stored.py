"""What study.json must hold to be read at all: values of the kinds that a design writes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from randwire.records import Row
from randwire.study.growth import is_growth
from randwire.study.variants import are_variants

Check = Callable[[object], bool]


def flaw_of(study: object) -> str:
    """What is wrong with the content of study.json, in words; empty if each value is of the kind that it must be.

    What a study lacks came later, or is missed where it is needed. Whether a value makes sense is not looked at.
    """
    if not isinstance(study, dict):
        return "must hold the design of a study"
    return next(
        (
            f"{key}: must be {kind}"
            for key, (kind, check) in _KINDS.items()
            if key in study and not check(study[key]) and (study[key] is not None or key in _NEVER_NULL)
        ),
        "",
    )


def said_of_design(error: object) -> str:
    """What an error says of an option, as it is said of a value of study.json: without the dashes of an option."""
    option, colon, rest = str(error).partition(":")
    return f"{option.removeprefix('--').replace('-', '_')}{colon}{rest}" if option.startswith("--") else str(error)


def parent_of(study: Row) -> str | None:
    """The name of the study that has chosen the settings of this one; None if none has, empty if it is not told."""
    chosen = study.get("confirm") or study.get("longer")
    if not chosen:
        return None
    return str(chosen.get("study") or "") if isinstance(chosen, dict) else ""


def _is_whole(value: object) -> bool:
    return type(value) is int


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


_TEXTS = ("a list of texts", _list_of(_is_text))
_SEEDS = ("a list of whole numbers", _list_of(_is_whole))
_WHOLE = ("a whole number", _is_whole)
_OBJECT = ("an object", _is_object)
_KINDS: Mapping[str, tuple[str, Check]] = {
    "base": _OBJECT,
    "search": ("a text", _is_text),
    **dict.fromkeys(("generators", "only", "require", "space", "objective"), _TEXTS),
    **dict.fromkeys(("seeds", "train_seeds"), _SEEDS),
    **dict.fromkeys(("settings", "seed", "top"), _WHOLE),
    "early_stopping": ("true or false", lambda value: isinstance(value, bool)),
    "match_mult_adds": ("a number", _is_number),
    **dict.fromkeys(("confirm", "longer"), _OBJECT),
    "variants": ("an object of objects", are_variants),
    "grown": ("a list of what was added, and when", _list_of(is_growth)),
}
"""What the values of a design are, by key: in words, and how that is checked."""
_NEVER_NULL = ("base", "generators", "variants")
"""Keys whose values are no null; any other one is as if it was missing then."""
