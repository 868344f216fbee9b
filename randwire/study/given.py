"""What is given to a study, and would change nothing in it: refused, so that nobody waits for what never comes."""

from __future__ import annotations

from collections.abc import Callable, Collection

from randwire.config import RunConfig, check_given
from randwire.errors import ConfigError
from randwire.study.design import Design
from randwire.study.variants import Variants

SEEDED = ("tpe", "random")
"""The methods of search that draw anything."""


def check(
    design: Design, keys: Collection[str], seed: int | None, variants: Callable[[RunConfig], Variants] | None
) -> None:
    """Raise ConfigError for a key that was given and decides nothing in any trial, and for a `seed` of no search.

    `variants` makes those of the study from its configuration: a key that all of them set is of use where they are
    made from its value.
    """
    if seed is not None and design.search not in SEEDED:
        raise ConfigError(f"--seed: is for --search {' or '.join(SEEDED)}; a {design.search} draws nothing")
    searched = {text.partition("=")[0] for text in design.space}
    varied = {key for own in design.variants.values() for key in own}
    check_given(design.base, keys, searched | varied)
    for key in keys:
        if variants is None or not design.variants or any(key not in own for own in design.variants.values()):
            continue
        section, _, name = key.partition(".")
        without = design.base.override({key: type(getattr(design.base, section)).model_fields[name].default})
        if without != design.base and variants(without) == variants(design.base):
            raise ConfigError(f"{key}: every variant of the study has its own; leave it out")
