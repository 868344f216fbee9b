"""A setting: what a study compares with other settings, over graph seeds and training seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from randwire import graphs
from randwire.config import RunConfig
from randwire.config.variant import short


@dataclass(frozen=True)
class Setting:
    """A generator with its parameters, and the variant of the configuration where a study compares variants."""

    spec: str
    """Canonical spec of the generator, such as `ws:k=4,p=0.75`."""
    variant: str = ""
    """Name of the variant, or the keys that a search suggested, as text; empty in a study without either."""

    @classmethod
    def parse(cls, text: str) -> Setting:
        """The setting of its text form, such as `ws:k=4,p=0.75 conv`."""
        spec, _, variant = text.partition(" ")
        return cls(spec, variant)

    @classmethod
    def of(cls, config: RunConfig) -> Setting:
        """The setting of a trial, as its configuration records it."""
        return cls(config.graph.generator, config.runtime.variant)

    @staticmethod
    def canonical(spec: str) -> str:
        """The canonical form of a spec. Raises ValueError, in one line, for a text that is none."""
        return str(graphs.parse(spec))

    def __str__(self) -> str:
        """The text form, as in suggestions.jsonl, failures.jsonl and JSON output; `parse` reads it back."""
        return f"{self.spec} {self.variant}".rstrip()

    @property
    def family(self) -> str:
        """The name of the generator. Raises ValueError if its spec is not valid."""
        return graphs.parse(self.spec).name()

    @property
    def label(self) -> str:
        """The paper's notation, such as `WS(4,0.75) conv`, or `WS(4,0.75) channels=64` where a search suggested keys.

        Raises ValueError if the generator's spec is not valid.
        """
        return f"{graphs.parse(self.spec).label} {short(self.variant)}".rstrip()

    @property
    def keys(self) -> Mapping[str, str]:
        """The dotted keys that make a configuration one of this setting, without those of the variant."""
        return {"graph.generator": self.spec, "runtime.variant": self.variant}

    @property
    def one_network(self) -> bool:
        """Whether all graph seeds give one network, so that its replicates are trainings with other seeds."""
        return graphs.parse(self.spec).deterministic
