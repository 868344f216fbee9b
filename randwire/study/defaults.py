"""The options of a design, and what a file in `studies` lets one begin with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from randwire.config import RunConfig
    from randwire.study.fixed import SearchMethod
    from randwire.study.requirements import Requirement


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
    longer: str | None
    top: int | None
    space: Sequence[str] | None
    objective: Sequence[str] | None
    match_mult_adds: float | None


@dataclass(frozen=True)
class Defaults:
    """What a study begins with where nothing else is given, and its folder holds none yet."""

    keys: Mapping[str, object] = field(default_factory=dict)
    """Dotted keys that are laid over the default base, and over no other."""
    options: Callable[[RunConfig], Options] = lambda _: Options()
    """Options of the design, from the configuration of all trials."""
