"""What a search is after: top-1 and sizes or graph measures, each to be maximised or minimised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from randwire.errors import ConfigError
from randwire.records import Row
from randwire.study.requirements import QUANTITIES

TOP1 = "top1"
ALONE = (TOP1,)
"""The objective of a search that is asked for none."""
NAMES = (TOP1, *QUANTITIES)


@dataclass(frozen=True)
class Objective:
    """One of NAMES, such as `top1`, or with a minus in front, which minimises it, `-mult_adds`."""

    name: str
    minimised: bool = False

    @classmethod
    def parse(cls, text: str) -> Objective:
        """The objective of a text. Raises ConfigError, in one line, for an unknown name."""
        name = text.strip().removeprefix("-")
        if name not in NAMES:
            raise ConfigError(f"--objective: unknown name {name!r}; known: {', '.join(NAMES)}")
        return cls(name, text.strip().startswith("-"))

    @classmethod
    def all_of(cls, texts: Sequence[str]) -> tuple[Objective, ...]:
        """The objectives of some texts, in order. Raises ConfigError for none, and for a name that stands there twice.

        The same name to be maximised and minimised would make every setting as good as any other.
        """
        objectives = tuple(map(cls.parse, texts))
        names = [objective.name for objective in objectives]
        if not names:
            raise ConfigError(f"--objective: must name some of {', '.join(NAMES)}")
        if repeated := [name for k, name in enumerate(names) if name in names[:k]]:
            raise ConfigError(f"--objective: {repeated[0]} stands there twice")
        return objectives

    def __str__(self) -> str:
        return f"{'-' * self.minimised}{self.name}"

    @property
    def direction(self) -> Literal["minimize", "maximize"]:
        """Optuna's word for it."""
        return "minimize" if self.minimised else "maximize"


def objectives_of(design: Row | None) -> tuple[Objective, ...]:
    """The objectives of a recorded design; top-1 alone if there are no others, or it is damaged."""
    recorded = (design or {}).get("objective")
    try:
        return Objective.all_of([str(text) for text in recorded] if isinstance(recorded, list) else ALONE)
    except ConfigError:
        return Objective.all_of(ALONE)
