"""Configurations from presets, YAML files and records, with the SHA-256 of the files that they name."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from randwire import graphs, storage
from randwire.config.data import FOLDER_SOURCE
from randwire.config.recorded import check_recorded, place_of
from randwire.config.run_config import HASHES, RunConfig, build
from randwire.config.unconverted import unconverted
from randwire.errors import ConfigError, brief
from randwire.records import checkpoint_file

PRESETS = Path(__file__).parent / "presets"


def load(name: str, values: Mapping[str, object] | None = None) -> RunConfig:
    """The configuration of a preset's name, a YAML file or a record's folder, with dotted keys laid over it; resolved.

    The `runtime.output` and `runtime.study` of a record in a study are where it is now, and not where it was trained.
    Raises ConfigError, in one line, for anything unknown or impossible, and RecordError for a record that was trained
    with another configuration than it holds.
    """
    path = Path(name)
    values = dict(values or {})
    record = path if (path / "config.yaml").is_file() else None
    if record:
        path = record / "config.yaml"
    if path.suffix not in (".yaml", ".yml"):
        path = PRESETS / f"{name}.yaml"
        if not path.is_file():
            if Path(name).is_dir():
                raise ConfigError(
                    f"{name}: holds no config.yaml, so it is no record; name a preset or a record's folder"
                )
            presets = ", ".join(sorted(preset.stem for preset in PRESETS.glob("*.yaml")))
            raise ConfigError(f"unknown preset {name!r}: name one of {presets}, a .yaml file or the folder of a record")
    content = read_yaml(path)
    config = build(content, values)
    if record:
        check_recorded(record, build(content) if values else config)
    config = resolve(config)
    if path.name == "config.yaml":  # where it was trained says nothing of where it is
        place = {key: value for key, value in place_of(path.parent).items() if f"runtime.{key}" not in values}
        config = config.model_copy(update={"runtime": config.runtime.model_copy(update=place)})
    if record and config.graph.path and "graph.path" not in values:  # a record has copies, which are checked
        config = config.model_copy(update={"graph": config.graph.model_copy(update={"path": record.absolute()})})
    return config


def read_yaml(path: Path) -> dict[str, Any]:
    """The sections of a YAML file. Raises ConfigError, in one line, for anything else."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _UniqueLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'not text'}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # of values that look like a date and are none
        raise ConfigError(f"{path}: not valid YAML: {brief(error)}") from None
    if content is not None and not isinstance(content, dict):
        raise ConfigError(f"{path}: must hold sections such as `train:`, not {type(content).__name__}")
    return content or {}


def resolve(config: RunConfig) -> RunConfig:
    """The configuration with the SHA-256 of the files that it names, where it is missing, and their absolute paths.

    This is where files that belong to the identity of a run are read, each once: `build` and `override` read nothing.
    Raises ConfigError, in one line, for a file that cannot be read.
    """
    for key in config.unhashed:
        section, _, name = key.partition(".")
        part = getattr(config, section)
        path, sha256 = _HASHERS[key](getattr(part, name))
        part = part.model_copy(update={name: path, HASHES[key].partition(".")[2]: sha256})
        config = config.model_copy(update={section: part})
    return config


def _hash_graphs(path: Path) -> tuple[Path, str]:
    path = path.absolute()
    try:
        return path, graphs.saved_sha256(graphs.read_saved(path))
    except ValueError as error:
        raise ConfigError(f"graph.path: {error}") from None


def _hash_weights(path: Path) -> tuple[Path, str]:
    path = path.absolute()
    try:
        with open(checkpoint_file(path), "rb") as file:
            return path, hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"train.pretrained: {error.filename}: cannot be read: {error.strerror}") from None


def _hash_data(folder: str) -> tuple[str, str]:
    try:
        return folder, hashlib.sha256(storage.read(folder, "dataset.json")).hexdigest()
    except FileNotFoundError:
        raise ConfigError(f"data.path: {unconverted(folder, FOLDER_SOURCE)}") from None


_HASHERS: Mapping[str, Callable[[Any], tuple[Path | str, str]]] = {
    "graph.path": _hash_graphs,
    "data.path": _hash_data,
    "train.pretrained": _hash_weights,
}


# The loader in C where PyYAML has it: a report reads thousands of records.
class _UniqueLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """A loader that refuses a repeated key: PyYAML would drop the first silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        if repeated := {name for name in names if names.count(name) > 1}:
            raise yaml.YAMLError(f"{', '.join(sorted(repeated))} stands more than once in one section")
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping
