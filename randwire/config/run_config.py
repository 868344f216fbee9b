"""The configuration of a run as one validated value, and how dotted keys are laid over it."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Self

import yaml
from pydantic import BaseModel, ValidationError, model_validator

from randwire import graphs
from randwire.config.data import FOLDER_SOURCE, DataConfig
from randwire.config.graph import GraphConfig
from randwire.config.identity import Difference, Identity, digest_of, first_difference, identity_of
from randwire.config.network import NetworkConfig
from randwire.config.runtime import RuntimeConfig
from randwire.config.section import Section
from randwire.config.train import TrainConfig
from randwire.errors import ConfigError

HASHES = {
    "graph.path": "graph.path_sha256",
    "data.path": "data.path_sha256",
    "data.source": "data.path_sha256",
    "train.pretrained": "train.pretrained_sha256",
}
"""Keys that name files, each with the key of the SHA-256 that changes with it."""


class RunConfig(Section):
    """The complete, validated configuration of one training run."""

    graph: GraphConfig = GraphConfig()
    network: NetworkConfig = NetworkConfig()
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()
    runtime: RuntimeConfig = RuntimeConfig()

    @model_validator(mode="after")
    def _one_network(self) -> Self:
        if self.network.reference is not None:
            for key, default in _OF_RANDOM_NETWORKS.items():
                if getattr(getattr(self, key.partition(".")[0]), key.partition(".")[2]) != default:
                    raise ValueError(
                        f"{key}: describes a randomly wired network, and network.reference is a published one, "
                        f"{self.network.reference}; leave one of them out"
                    )
        return self

    @property
    def generator(self) -> graphs.Generator:
        return graphs.parse(self.graph.generator)

    @property
    def family(self) -> str:
        """The name of the generator, `saved` for saved graphs, or the name of a published network."""
        if self.network.reference is not None:
            return self.network.reference.partition(":")[2]
        return self.generator.name() if self.graph.path is None else "saved"

    @property
    def label(self) -> str:
        """The paper's notation of the generator, or what names saved graphs or a published network."""
        if self.network.reference is not None:
            return self.family
        if self.graph.path is None:
            return self.generator.label
        return f"saved {(self.graph.path_sha256 or '')[:8]}"

    @property
    def title(self) -> str:
        """The label, with the seed of random graphs."""
        return (
            self.label if self.graph.path or self.network.reference else f"{self.label}, graph seed {self.graph.seed}"
        )

    @property
    def unhashed(self) -> tuple[str, ...]:
        """The keys of files that decide numbers and whose SHA-256 is missing: `resolve` takes it."""
        missing = {
            "graph.path": self.graph.path is not None and self.graph.path_sha256 is None,
            "data.path": self.data.source == FOLDER_SOURCE and self.data.path_sha256 is None,
            "train.pretrained": self.train.pretrained is not None and self.train.pretrained_sha256 is None,
        }
        return tuple(key for key, is_missing in missing.items() if is_missing)

    def identity(self) -> Identity:
        """What decides the numbers of the run, by section and key.

        Raises ValueError if the SHA-256 of a file that the configuration names is missing.
        """
        if self.unhashed:
            raise ValueError(f"{', '.join(self.unhashed)}: the SHA-256 is missing; resolve the configuration first")
        return identity_of(self)

    @property
    def digest(self) -> str:
        """12 hexadecimal digits that name the run: SHA-256 of its identity. Raises ValueError as `identity`."""
        return digest_of(self.identity())

    def override(self, values: Mapping[str, object]) -> "RunConfig":
        """The configuration with dotted keys replaced, such as `{"train.epochs": 5}`, validated as a whole.

        Reads no file: where a key names one, `resolve` takes its SHA-256. Raises ConfigError for anything wrong.
        """
        return build(self.model_dump(mode="json"), values)

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


_OF_RANDOM_NETWORKS: Mapping[str, Any] = {
    f"{section}.{name}": field.default
    for section, kind in (("graph", GraphConfig), ("network", NetworkConfig))
    for name, field in kind.model_fields.items()
    if name != "reference"
}
"""The keys that describe a randomly wired network, with their defaults."""

_NUMBERS = tuple(
    f"{section}.{name}"
    for section, outer in RunConfig.model_fields.items()
    for name, field in type(outer.default).model_fields.items()
    if field.annotation in (int, float, int | None, float | None)
)
"""The keys of numbers: validation would take `true` for 1."""


def keys() -> dict[str, str]:
    """Every dotted key with its description, in order; the source of `--help`."""
    descriptions = {}
    for section, outer in RunConfig.model_fields.items():
        for name, field in outer.default.__class__.model_fields.items():
            descriptions[f"{section}.{name}"] = f"{field.description} [{getattr(outer.default, name)}]"
    return descriptions


def difference(stored: object, current: Identity) -> Difference | None:
    """The first dotted key in which a stored identity (of a file, or a part of one) and the current one differ.

    A key that was added after version 0.1 and is missing in one of them is at its default there.
    """
    return first_difference(stored, current, RunConfig)


def build(content: Mapping[str, Any], values: Mapping[str, object] | None = None) -> RunConfig:
    """The configuration of sections, with dotted keys laid over them; reads no file.

    The SHA-256 of files that `values` name is left to `resolve`. A published network among the values takes the place
    of the network that the sections describe: their keys of it fall back to the defaults. Raises ConfigError for
    anything wrong.
    """
    values = values or {}
    if values.get("network.reference") is not None:
        content = {
            key: {name: value for name, value in section.items() if f"{key}.{name}" not in _OF_RANDOM_NETWORKS}
            if isinstance(section, Mapping)
            else section
            for key, section in content.items()
        }
    merged: dict[str, Any] = {
        key: dict(section) if isinstance(section, Mapping) else section for key, section in content.items()
    }
    merged.setdefault("runtime", {})  # its defaults are those of the environment as it is now
    all_keys = keys() if values else ()
    for key, value in values.items():
        if key not in all_keys:
            raise ConfigError(f"{key}: unknown key{_suggest(key)}")
        section, _, name = key.partition(".")
        if isinstance(merged.get(section) or {}, Mapping):  # else validation says what is wrong
            merged[section] = {**(merged.get(section) or {}), name: value}
            if key in HASHES and HASHES[key] not in values:
                merged[section].pop(HASHES[key].partition(".")[2], None)
    for key in _NUMBERS:
        section, _, name = key.partition(".")
        if isinstance(merged.get(section), Mapping) and isinstance(value := merged[section].get(name), bool):
            raise ConfigError(f"{key}: must be a number, and is the truth value {str(value).lower()}")
    try:
        return RunConfig.model_validate(merged)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"][:2])
        if not key:  # of several sections: the message names the key
            raise ConfigError(first["msg"].removeprefix("Value error, ")) from None
        if first["type"] == "extra_forbidden":
            raise ConfigError(f"{key}: unknown key{_suggest(key)}") from None
        if first["type"] in ("string_type", "path_type"):
            raise ConfigError(f"{key}: must be text, and is {_kind(first['input'])}") from None
        message = _MUST_BE.get(first["type"], first["msg"].removeprefix("Value error, "))
        shown = "" if isinstance(first["input"], BaseModel | dict) else f", is {first['input']!r}"
        raise ConfigError(f"{key}: {message[0].lower()}{message[1:]}{shown}") from None


_MUST_BE = {
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list of numbers, such as [0.5,0.75]",
}
"""What a value must be, by the type of pydantic's error, whose own messages tell of its parsing."""


def _kind(value: object) -> str:
    """What a value is that should have been text, and where quotes would have made it so, that."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return f"the truth value {str(value).lower()}; write it in quotes"
    if isinstance(value, int | float):
        return f"the number {value}; write it in quotes"
    if isinstance(value, date):
        return f"the date {value}; write it in quotes"
    return f"{value!r}"


def _suggest(key: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(key, list(keys()), n=1)
    return f"; did you mean {close[0]}?" if close else "; `--help` lists all keys"
