"""What figures and tables tell trials apart by, in one order everywhere: generators, or the variants of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from randwire.report.facts.paired import Paired
from randwire.study.groups import TrialGroup
from randwire.study.results import Trial


@dataclass(frozen=True)
class Kinds:
    """The kinds of trials in a group."""

    noun: str
    """generator or variant."""
    names: Sequence[str]

    @property
    def variants(self) -> bool:
        return self.noun == "variant"

    def of(self, trial: Trial) -> str:
        """The kind of a trial; empty for one that is of no variant, in a study of variants."""
        return trial.variant if self.variants else trial.generator

    def number(self, name: str) -> int | None:
        """The place of a variant in the order, by which it is drawn; None of a generator, which has a style by name."""
        return self.names.index(name) if self.variants and name in self.names else None

    def place(self, name: str) -> int:
        """What variants are sorted by; first comes what is none of them."""
        return self.names.index(name) if name in self.names else -1


def kinds(group: TrialGroup, variants: Paired | None) -> Kinds:
    """The kinds of a group: its variants, in their order, if it compares some, or else its generators by name."""
    if variants is not None:
        return Kinds("variant", list(variants.cells))
    return Kinds("generator", sorted({trial.generator for trial in group.trials}))
