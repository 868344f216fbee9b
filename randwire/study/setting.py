"""A setting: what a study compares with other settings, over graph seeds and training seeds."""

from __future__ import annotations

from dataclasses import dataclass

from randwire import graphs
from randwire.config import RunConfig


@dataclass(frozen=True)
class Setting:
    """A generator with its parameters, and the variant of the configuration where a study compares variants."""

    generator: str
    """Canonical spec of the generator, such as `ws:k=4,p=0.75`."""
    variant: str = ""
    """Name of the variant; empty in a study without variants."""

    @classmethod
    def parse(cls, text: str) -> Setting:
        """The setting of its text form, such as `ws:k=4,p=0.75 conv`."""
        generator, _, variant = text.partition(" ")
        return cls(generator, variant)

    @classmethod
    def of(cls, config: RunConfig) -> Setting:
        """The setting of a trial, as its configuration records it."""
        return cls(config.graph.generator, config.runtime.variant)

    def __str__(self) -> str:
        """The text form, as in suggestions.jsonl, failures.jsonl and JSON output; `parse` reads it back."""
        return f"{self.generator} {self.variant}".rstrip()

    @property
    def label(self) -> str:
        """The paper's notation, such as `WS(4,0.75) conv`. Raises ValueError if the generator's spec is not valid."""
        return f"{graphs.parse(self.generator).label} {self.variant}".rstrip()
