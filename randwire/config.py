"""The one description of a run: presets, command line and search are dotted keys laid over its defaults.

What decides the numbers of a run (`graph`, `network`, `data`, `train`) is its identity: its digest names the trial and
its folder. Where and how it runs (`runtime`, `data.path`) is not part of the digest.

Certainty codes (A read off the paper, B several sources agree, R recalled, - unknown) say how well a default is known.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from randwire import graphs, registry
from randwire.errors import UserError

PRESETS = Path(__file__).parent / "presets"


class ConfigError(UserError):
    """A mistake of the user, told in one line: the key, the rule, the value and the fix."""


class Section(BaseModel):
    """A frozen part of the configuration; unknown keys and non-finite numbers are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


class GraphConfig(Section):
    """The random graphs of the stages (paper, sections 3.2 and 3.3)."""

    generator: str = Field("ws:k=4,p=0.75", description="generator and parameters, such as er:p=0.2, ba:m=5")
    nodes: int = Field(32, ge=1, le=4096, description="N, nodes of a stage without its input and output node (B)")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the graphs, and of nothing else")
    stages: Literal["shared", "independent"] = Field(
        "shared", description="one graph for all stages of equal size, as the paper's Figure 1 shows, or one for each"
    )

    @field_validator("generator")
    @classmethod
    def _canonical(cls, value: str) -> str:
        return str(graphs.parse(value))

    @model_validator(mode="after")
    def _possible(self) -> Self:
        graphs.parse(self.generator).check(self.nodes)
        return self


class NetworkConfig(Section):
    """The network around the graphs (paper, Table 1 and section 3.1)."""

    regime: Literal["small", "regular", "tiny"] = Field("small", description="Table 1; tiny: small, stem at stride 1")
    channels: int = Field(78, ge=2, le=4096, description="C: 78 small, 109 and 154 regular (B)")
    op: str = Field("sepconv", description="node operation, a file of randwire/ops")
    head: int = Field(1280, ge=1, description="channels of the 1x1 convolution of the classifier (A)")
    head_relu: bool = Field(True, description="ReLU between the last BN and the pooling of the classifier (-)")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="before the fully connected layer; 0.2 in the regular regime (B)"
    )
    aggregation_init: float = Field(0.0, description="initial aggregation parameter; its sigmoid is the weight (-)")

    @field_validator("op")
    @classmethod
    def _known(cls, value: str) -> str:
        known = registry.names("randwire.ops")
        if value not in known:
            raise ValueError(f"unknown node operation {value!r}; known: {', '.join(known)}")
        return value


class DataConfig(Section):
    """The data set and its augmentation. Crops are as in torchvision's RandomResizedCrop and CenterCrop."""

    source: str = Field("imagenet", description="data source, a file of randwire/data/sources")
    path: Path | None = Field(None, description="folder with train.beton, val.beton, dataset.json; empty: the cache")
    resolution: int = Field(224, ge=8, le=1024, description="pixels of the square input")
    crop_area: tuple[float, float] = Field((0.08, 1.0), description="least and most share of the image's area (C/R)")
    crop_aspect: tuple[float, float] = Field((3 / 4, 4 / 3), description="least and most width / height (C/R)")
    flip: float = Field(0.5, ge=0, le=1, description="probability of a horizontal flip (C/R)")
    eval_crop: float = Field(
        0.875, gt=0, le=1, description="share of the image's side in the centre crop: 224/256 (C/R)"
    )

    @field_validator("source")
    @classmethod
    def _known(cls, value: str) -> str:
        known = registry.names("randwire.data.sources")
        if value not in known:
            raise ValueError(f"unknown data source {value!r}; known: {', '.join(known)}")
        return value

    @field_validator("crop_area", "crop_aspect")
    @classmethod
    def _range(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1]:
            raise ValueError("must be two numbers with 0 < first <= second")
        return value

    @model_validator(mode="after")
    def _area(self) -> Self:
        if self.crop_area[1] > 1:
            raise ValueError(f"crop_area must not exceed 1, is {self.crop_area[1]:g}")
        return self


class TrainConfig(Section):
    """The optimisation (paper, section 4)."""

    epochs: int = Field(100, ge=1, description="250 for Table 2 (B), 100 for Figure 4 (R) and the regular regime (A)")
    seed: int = Field(0, ge=0, lt=2**31, description="seed of weights, data order, augmentation and dropout")
    batch_size: int = Field(256, ge=1, description="images in a step over all ranks (R)")
    lr: float = Field(0.1, gt=0, description="learning rate at the start of the cosine (B)")
    momentum: float = Field(0.9, ge=0, lt=1, description="of SGD (B)")
    nesterov: bool = Field(False, description="Nesterov momentum (-)")
    weight_decay: float = Field(5e-5, ge=0, description="5e-5 small (B); regular 1e-5 (R)")
    decay_vectors: bool = Field(False, description="decay BN, biases and aggregation parameters (ndim < 2) too (-)")
    warmup_epochs: float = Field(0.0, ge=0, description="epochs of linear warm-up before the cosine (-)")
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="(B)")
    clip_norm: float = Field(0.0, ge=0, description="largest norm of the gradient; 0: off")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16: autocast of the forward pass")

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs ({self.warmup_epochs:g}) must be below epochs ({self.epochs})")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class RuntimeConfig(Section):
    """Where and how a run happens. Changes no number beyond floating-point order; not part of the digest."""

    output: Path = Field(Path("runs"), description="folder of all records")
    study: str = Field("local", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="folder below output, W&B group")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: cuda where there is one")
    loader_workers: int = Field(0, ge=0, description="threads of the loader in each rank; 0: from the CPUs it may use")
    wandb: Literal["auto", "online", "offline", "disabled"] = Field(
        "auto", description="auto: online if a key is found and the server answers, else offline"
    )
    project: str = Field("randwire", description="W&B project")


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
    def digest(self) -> str:
        """12 hexadecimal digits that name the run: SHA-256 of what decides its numbers."""
        identity = self.model_dump(mode="json", exclude={"runtime": True, "data": {"path"}})
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]

    def override(self, values: Mapping[str, object]) -> "RunConfig":
        """The configuration with dotted keys replaced, such as `{"train.epochs": 5}`, validated as a whole."""
        return _build(self.model_dump(mode="json"), values)

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def load(name: str, values: Mapping[str, object] | None = None) -> RunConfig:
    """The configuration of a preset's name, a YAML file or a record's folder, with dotted keys laid over it.

    Raises ConfigError, in one line, for anything unknown or impossible.
    """
    path = Path(name)
    if (path / "config.yaml").is_file():
        path = path / "config.yaml"
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
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if content is not None and not isinstance(content, dict):
        raise ConfigError(f"{path}: must hold sections such as `train:`, not {type(content).__name__}")
    return _build(content or {}, values or {})


class _UniqueLoader(yaml.SafeLoader):
    """A key that stands twice is an error: YAML's reader would drop the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        if repeated := {name for name in names if names.count(name) > 1}:
            raise yaml.YAMLError(f"{', '.join(sorted(repeated))} stands more than once in one section")
        return super().construct_mapping(node, deep)


def keys() -> dict[str, str]:
    """Every dotted key with its description, in order; the source of `--help`."""
    found = {}
    for section, outer in RunConfig.model_fields.items():
        for name, field in outer.default.__class__.model_fields.items():
            found[f"{section}.{name}"] = f"{field.description} [{getattr(outer.default, name)}]"
    return found


def _build(content: Mapping[str, Any], values: Mapping[str, object]) -> RunConfig:
    merged: dict[str, Any] = {
        key: dict(section) if isinstance(section, Mapping) else section for key, section in content.items()
    }
    known = keys()
    for key, value in values.items():
        if key not in known:
            raise ConfigError(f"{key}: unknown key{_suggest(key, known)}")
        section, _, name = key.partition(".")
        if isinstance(merged.get(section) or {}, Mapping):  # what it is otherwise, validation tells
            merged[section] = {**(merged.get(section) or {}), name: value}
    try:
        return RunConfig.model_validate(merged)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"][:2])
        if first["type"] == "extra_forbidden":
            raise ConfigError(f"{key}: unknown key{_suggest(key, known)}") from None
        message = first["msg"].removeprefix("Value error, ")
        shown = "" if isinstance(first["input"], BaseModel | dict) else f", is {first['input']!r}"
        raise ConfigError(f"{key}: {message[0].lower()}{message[1:]}{shown}") from None


def _suggest(key: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(key, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else "; `--help` lists all keys"
