"""A setting: what a study compares with other settings, over graph seeds and training seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from randwire import graphs
from randwire.config import RunConfig
from randwire.config.variant import short
from randwire.errors import ConfigError
from randwire.model import references


@dataclass(frozen=True)
class Setting:
    """A generator with its parameters, and the variant of the configuration where a study compares variants.

    In the place of a generator may be a published network, such as `pytorchcv:resnet50b`.
    """

    spec: str
    """Canonical spec of the generator, such as `ws:k=4,p=0.75`, or the published network."""
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
        return cls(config.network.reference or config.graph.generator, config.runtime.variant)

    @staticmethod
    def canonical(spec: str) -> str:
        """The canonical form of a spec. Raises ValueError, in one line, for a text that is none."""
        if not references.is_one(spec := spec.strip()):
            return str(graphs.parse(spec))
        try:
            references.check(spec)
        except ConfigError as error:
            raise ValueError(str(error).removeprefix("network.reference: ")) from None
        return spec

    def __str__(self) -> str:
        """The text form, as in suggestions.jsonl, failures.jsonl and JSON output; `parse` reads it back."""
        return f"{self.spec} {self.variant}".rstrip()

    @property
    def published(self) -> bool:
        """Whether it is a published network, which no graph decides."""
        return references.is_one(self.spec)

    @property
    def family(self) -> str:
        """The name of the generator, or of the published network. Raises ValueError if the spec is not valid."""
        return self.spec.partition(":")[2] if self.published else graphs.parse(self.spec).name()

    @property
    def label(self) -> str:
        """The paper's notation, such as `WS(4,0.75) conv`, or `WS(4,0.75) channels=64` where a search suggested keys.

        Raises ValueError if the generator's spec is not valid.
        """
        name = self.family if self.published else graphs.parse(self.spec).label
        return f"{name} {short(self.variant)}".rstrip()

    @property
    def known(self) -> bool:
        """Whether there is such a generator, and it has these parameters."""
        try:
            return bool(self.label)
        except ValueError:
            return False

    @property
    def keys(self) -> Mapping[str, str]:
        """The dotted keys that make a configuration one of this setting, without those of the variant."""
        return {
            "network.reference" if self.published else "graph.generator": self.spec,
            "runtime.variant": self.variant,
        }

    @property
    def one_network(self) -> bool:
        """Whether all graph seeds give one network, so that its replicates are trainings with other seeds."""
        return self.published or graphs.parse(self.spec).deterministic
