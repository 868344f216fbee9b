"""The configuration of a run as one validated value, and how dotted keys are laid over it."""

import hashlib
from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from randwire import graphs, storage
from randwire.config.data import ANY_SET, DataConfig
from randwire.config.graph import GraphConfig
from randwire.config.identity import Difference, Identity, digest_of, first_difference, identity_of
from randwire.config.network import NetworkConfig
from randwire.config.runtime import RuntimeConfig
from randwire.config.section import Section
from randwire.config.train import TrainConfig
from randwire.errors import ConfigError
from randwire.records import checkpoint_file

SUMS = {
    "graph.path": "path_sha256",
    "data.path": "path_sha256",
    "data.source": "path_sha256",
    "train.pretrained": "pretrained_sha256",
}
"""Keys with the SHA-256 in their section that another value of theirs makes void."""


class RunConfig(Section):
    """The complete, validated configuration of one training run."""

    graph: GraphConfig = GraphConfig()
    network: NetworkConfig = NetworkConfig()
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()
    runtime: RuntimeConfig = RuntimeConfig()

    @property
    def generator(self) -> graphs.Generator:
        return graphs.parse(self.graph.generator)

    @property
    def family(self) -> str:
        """The name of the generator, or `saved` for saved graphs."""
        return self.generator.name() if self.graph.path is None else "saved"

    @property
    def label(self) -> str:
        """What the graphs are: the paper's notation of the generator, or what names saved graphs."""
        if self.graph.path is None:
            return self.generator.label
        return f"saved {(self.graph.path_sha256 or '')[:8]}"

    @property
    def title(self) -> str:
        """The label, with the seed of random graphs."""
        return self.label if self.graph.path else f"{self.label}, graph seed {self.graph.seed}"

    def identity(self) -> Identity:
        """What decides the numbers of the run, by section and key."""
        return identity_of(self)

    @property
    def digest(self) -> str:
        """12 hexadecimal digits that name the run: SHA-256 of its identity."""
        return digest_of(self.identity())

    def override(self, values: Mapping[str, object]) -> "RunConfig":
        """The configuration with dotted keys replaced, such as `{"train.epochs": 5}`, validated as a whole."""
        return build(self.model_dump(mode="json"), values)

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def keys() -> dict[str, str]:
    """Every dotted key with its description, in order; the source of `--help`."""
    found = {}
    for section, outer in RunConfig.model_fields.items():
        for name, field in outer.default.__class__.model_fields.items():
            found[f"{section}.{name}"] = f"{field.description} [{getattr(outer.default, name)}]"
    return found


def difference(stored: object, current: Identity) -> Difference | None:
    """The first dotted key in which a stored identity (of a file, or a part of one) and the current one differ.

    A key that was added after version 0.1 and is missing in one of them is at its default there.
    """
    return first_difference(stored, current, RunConfig)


def build(content: Mapping[str, Any], values: Mapping[str, object] | None = None) -> RunConfig:
    """The configuration of sections, with dotted keys laid over them. Raises ConfigError for anything wrong in it."""
    values = values or {}
    merged: dict[str, Any] = {
        key: dict(section) if isinstance(section, Mapping) else section for key, section in content.items()
    }
    known = keys() if values else ()
    for key, value in values.items():
        if key not in known:
            raise ConfigError(f"{key}: unknown key{_suggest(key)}")
        section, _, name = key.partition(".")
        if isinstance(merged.get(section) or {}, Mapping):  # what it is otherwise, validation tells
            merged[section] = {**(merged.get(section) or {}), name: value}
            if key in SUMS and f"{section}.{SUMS[key]}" not in values:
                merged[section].pop(SUMS[key], None)
    try:
        return _with_sums(RunConfig.model_validate(merged))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"][:2])
        if first["type"] == "extra_forbidden":
            raise ConfigError(f"{key}: unknown key{_suggest(key)}") from None
        message = first["msg"].removeprefix("Value error, ")
        shown = "" if isinstance(first["input"], BaseModel | dict) else f", is {first['input']!r}"
        raise ConfigError(f"{key}: {message[0].lower()}{message[1:]}{shown}") from None


def _with_sums(config: RunConfig) -> RunConfig:
    """The configuration with the SHA-256 of the files it names, where they are not known yet, and absolute paths."""
    if config.graph.path is not None and config.graph.path_sha256 is None:
        path = config.graph.path.absolute()
        try:
            known = graphs.saved_sha256(graphs.read_saved(path))
        except ValueError as error:
            raise ConfigError(f"graph.path: {error}") from None
        config = config.model_copy(
            update={"graph": config.graph.model_copy(update={"path": path, "path_sha256": known})}
        )
    if config.train.pretrained is not None and config.train.pretrained_sha256 is None:
        path = config.train.pretrained.absolute()
        try:
            with open(checkpoint_file(path), "rb") as file:
                known = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ConfigError(f"train.pretrained: {error.filename}: cannot be read: {error.strerror}") from None
        config = config.model_copy(
            update={"train": config.train.model_copy(update={"pretrained": path, "pretrained_sha256": known})}
        )
    if config.data.source == ANY_SET and config.data.path is not None and config.data.path_sha256 is None:
        try:
            known = hashlib.sha256(storage.read(config.data.path, "dataset.json")).hexdigest()
        except FileNotFoundError:
            raise ConfigError(
                f"data.path: {config.data.path}: no converted set there; make it with `python -m randwire.data.convert "
                f"{ANY_SET} INPUT {config.data.path}`"
            ) from None
        config = config.model_copy(update={"data": config.data.model_copy(update={"path_sha256": known})})
    return config


def _suggest(key: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(key, list(keys()), n=1)
    return f"; did you mean {close[0]}?" if close else "; `--help` lists all keys"
