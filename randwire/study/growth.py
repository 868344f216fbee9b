"""How a design grows: what a study may ask for beside what it holds, and what study.json says of when it did.

A study never holds less than it did, since its records stay: a design that asks for less is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from randwire.errors import ConfigError
from randwire.pages.text import first_of, many
from randwire.records import Row
from randwire.study.search_space import GRAPH_SEED

COUNTS = {"seeds": "graph seed", "train_seeds": "training seed", "settings": "setting"}
"""What a study may have more of, and what one of it is called."""
NAMES = {"generators": "generator", "only": "setting"}
"""What a study may name more of, in any order."""
SUGGESTED = ("tpe", "random")
"""The searches that ask for a number of settings."""
MAX_NAMED = 6
"""Names that are told one by one."""
ANOTHER = "name another study with --name NAME"


class Growth(NamedTuple):
    """One time that a study asked for more."""

    time: str
    """ISO 8601, UTC."""
    ended: int
    """How many of its trials had ended then."""
    added: Mapping[str, Any]
    """Lists of seeds and names, and how many `settings` a search has more, by the option."""


def growths_of(study: Row) -> list[Growth]:
    """The growth of a recorded design, in order; what cannot be read is left out."""
    grown = study.get("grown")
    rows = filter(is_growth, grown if isinstance(grown, list) else ())
    return [Growth(row["time"], row["ended"], row["added"]) for row in rows]


def is_growth(row: object) -> bool:
    """Whether a value of a file is a growth, as `grown` writes it."""
    return (
        isinstance(row, dict)
        and isinstance(row.get("time"), str)
        and type(row.get("ended")) is int
        and isinstance(row.get("added"), dict)
        and all(
            type(value) is int if key == "settings" else isinstance(value, list) for key, value in row["added"].items()
        )
    )


def union(stored: Sequence[str], given: Sequence[str]) -> tuple[str, ...]:
    """Names that are given, those that a study holds first, in its order. As given if some of these are not."""
    if not set(stored) <= set(given):
        return tuple(given)
    return (*stored, *(name for name in given if name not in stored))


def check(folder: Path, stored: Row, current: Row) -> None:
    """Raise ConfigError, in one line, if a design asks for less than a study holds, or for what it cannot have more of.

    Both are the content of study.json, and agree in all that never changes.
    """
    for key, noun in COUNTS.items():
        number, asked = _count(stored, key), _count(current, key)
        if asked < number and (key != "settings" or current["search"] in SUGGESTED):
            raise ConfigError(
                f"{folder}: holds {many(number, noun)}, not {asked}, and a study only grows; leave {_option(key)} out, "
                f"or {ANOTHER}"
            )
    for key, noun in NAMES.items():
        held_names, asked_names = stored.get(key) or [], current.get(key) or []
        if bool(held_names) != bool(asked_names):  # a race of named settings is not one of the paper's
            raise ConfigError(
                f"{folder}: holds a study with another {key} ({held_names}, not {asked_names}); {ANOTHER}"
            )
        if missing := [name for name in held_names if name not in asked_names]:
            held = f"{noun}{'s' * (len(missing) > 1)} {first_of(missing, MAX_NAMED)}"
            raise ConfigError(
                f"{folder}: also holds the {held}, and a study only grows; name all, leave {_option(key)} out, or "
                f"{ANOTHER}"
            )
    if missing := [name for name in stored.get("variants", {}) if name not in current["variants"]]:
        held = f"variant{'s' * (len(missing) > 1)} {first_of(missing, MAX_NAMED)}"
        raise ConfigError(f"{folder}: also holds the {held}, and a study only grows; name all, or {ANOTHER}")
    added = added_to(stored, current)
    if current.get("longer") and added:
        raise ConfigError(f"{_option(next(iter(added)))}: the graphs and seeds are those that were chosen; {ANOTHER}")
    if current.get("confirm") and (wrong := [key for key in NAMES if key in added]):
        raise ConfigError(f"{_option(wrong[0])}: a confirmation has the settings that were chosen; {ANOTHER}")
    if "train_seeds" in added and (
        current["search"] == "race"
        or any(str(text).partition("=")[0].strip() == GRAPH_SEED for text in current.get("space") or ())
    ):
        raise ConfigError(
            f"--train-seeds: the training seeds of a setting with one graph follow from their number, "
            f"{many(_count(stored, 'train_seeds'), 'training seed')} here; {ANOTHER}"
        )


def added_to(stored: Row, current: Row) -> Row:
    """What a design has beside what a study holds, see `Growth.added`; empty if nothing."""
    names = {key: _beside(stored.get(key) or [], current.get(key) or []) for key in (*NAMES, "variants")}
    seeds = {key: _beside(stored.get(key) or [], current.get(key) or []) for key in ("seeds", "train_seeds")}
    settings = _count(current, "settings") - _count(stored, "settings") if current["search"] in SUGGESTED else 0
    return {key: value for key, value in {**seeds, "settings": settings, **names}.items() if value}


def grown(stored: Row, current: Row, time: str, ended: int) -> Row:
    """The content of study.json when a study asks for more: what it holds first, in its order."""
    united: Row = {
        **current,
        **{key: value for key, value in stored.items() if key not in current},
        **{key: list(union(stored.get(key) or [], current.get(key) or [])) for key in NAMES},
        "generator": stored.get("generator", current["generator"]),
        "variants": {**stored.get("variants", {}), **current["variants"]},
    }
    if added := added_to(stored, current):
        united["grown"] = [*(stored.get("grown") or []), {"time": time, "ended": ended, "added": added}]
    return united


def sizes_of(study: Row) -> list[tuple[int, int]]:
    """How many graph seeds and training seeds a study has asked for, each time that it asked for more."""
    graphs, trainings = _count(study, "seeds"), _count(study, "train_seeds")
    sizes = [(graphs, trainings)]
    for growth in reversed(growths_of(study)):
        graphs -= len(growth.added.get("seeds", ()))
        trainings -= len(growth.added.get("train_seeds", ()))
        sizes.insert(0, (graphs, trainings))
    return sizes


def training_seeds(sizes: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The training seeds of each graph seed, counted from the first one, where all graph seeds give one graph.

    No seed is given twice, and what a study asks for later is added to what it had asked for: `sizes` are the numbers
    of graph seeds and of training seeds each time.
    """
    seeds: list[list[int]] = []
    following = 0
    for graphs, trainings in sizes:
        seeds += [[] for _ in range(graphs - len(seeds))]
        for own in seeds:
            while len(own) < trainings:
                own.append(following)
                following += 1
    return seeds


def _beside(stored: Iterable[Any], current: Iterable[Any]) -> list[Any]:
    held = list(stored)
    return [value for value in current if value not in held]


def _count(study: Row, key: str) -> int:
    """A number of a design, which has lists of its seeds; 0 where it is not recorded."""
    value = study.get(key)
    return len(value) if isinstance(value, list) else value if type(value) is int else 0


def _option(key: str) -> str:
    return f"--{key.replace('_', '-')}"
