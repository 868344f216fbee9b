"""Settings that are fixed before any result: the paper's grid, or a list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from randwire.config.variant import values_of_variant
from randwire.errors import ConfigError
from randwire.study import space
from randwire.study.matched import KEY as CHANNELS
from randwire.study.setting import Setting
from randwire.study.variants import Variants

SearchMethod = Literal["tpe", "random", "grid", "list", "race"]
FIXED: frozenset[SearchMethod] = frozenset({"grid", "list"})
"""The methods whose settings are fixed before any result, so that they may be tested against each other."""
Family = Literal["best", "all", "pair"]
"""The tests that are corrected together: of the best of each generator, of all settings, or of one pair."""
RACE_GROWTH = 2
"""How many times more graph seeds a setting has with each round of a race; see `race`."""
PAPER = "paper"
"""Stands in `--only` for all settings of the paper's Figure 4."""


def specs_of(only: Iterable[str], generators: Sequence[str]) -> tuple[str, ...]:
    """The canonical specs of a list, each once, in order; PAPER is expanded. Raises ValueError for one that is none."""
    specs = (
        spec for text in only for spec in (space.paper(generators) if text == PAPER else [Setting.canonical(text)])
    )
    return tuple(dict.fromkeys(specs))


def fixed_settings(search: str, generators: Sequence[str], only: Sequence[str], variants: Variants) -> list[Setting]:
    """The settings of a fixed design, in order.

    Of a list, or a race that names some, its own; of a grid the paper's Figure 4, or where there are variants the best
    setting of each generator. Each is crossed with all variants.
    """
    if search == "list" and not variants:
        return list(map(Setting.parse, only))  # one that another study has found may have keys of its own
    specs = only if only or search == "list" else space.best(generators) if variants else space.paper(generators)
    return [Setting(spec, variant) for spec in specs for variant in (variants or [""])]


def check_fixed(search: str, only: Sequence[str], variants: Variants, matched: bool) -> None:
    """Raise ConfigError for settings that set what is chosen for them, and published networks where they have no part.

    `matched`: channels are chosen by multiply-adds.
    """
    setting = [name for name, keys in variants.items() if CHANNELS in keys]
    setting += [text for text in only if CHANNELS in values_of_variant(Setting.parse(text).variant)]
    if matched and setting:
        raise ConfigError(f"--match-mult-adds: {setting[0]} sets {CHANNELS} itself; leave it out")
    published = next((text for text in only if Setting.parse(text).published), None)
    if published is None:
        return
    if search == "race":
        raise ConfigError(f"--only: {published} has no graph seeds to race for; compare it in a list (--search list)")
    for name, keys in variants.items():
        if wired := [key for key in keys if key.startswith(("graph.", "network."))]:
            raise ConfigError(
                f"--only: {published} is a published network, and the variant {name} sets {wired[0]}, which it lacks"
            )
