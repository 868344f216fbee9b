"""Configurations from presets, YAML files and records, with the SHA-256 of the files that they name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from randwire.config.run_config import RunConfig, build
from randwire.errors import ConfigError, one_line

PRESETS = Path(__file__).parent / "presets"


def load(name: str, values: Mapping[str, object] | None = None) -> RunConfig:
    """The configuration of a preset's name, a YAML file or a record's folder, with dotted keys laid over it.

    Raises ConfigError, in one line, for anything unknown or impossible.
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
            known = ", ".join(sorted(preset.stem for preset in PRESETS.glob("*.yaml")))
            raise ConfigError(f"unknown preset {name!r}: name one of {known}, a .yaml file or the folder of a record")
    try:
        content = yaml.load(path.read_text(), _UniqueLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'not text'}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {one_line(error)}") from None
    if content is not None and not isinstance(content, dict):
        raise ConfigError(f"{path}: must hold sections such as `train:`, not {type(content).__name__}")
    config = build(content or {}, values)
    if record and config.graph.path and "graph.path" not in values:  # a record has copies, which are checked
        config = config.model_copy(update={"graph": config.graph.model_copy(update={"path": record.absolute()})})
    return config


# The loader in C where PyYAML has it: a report reads thousands of records.
class _UniqueLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """A key that stands twice is an error: YAML's reader would drop the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        if repeated := {name for name in names if names.count(name) > 1}:
            raise yaml.YAMLError(f"{', '.join(sorted(repeated))} stands more than once in one section")
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found
