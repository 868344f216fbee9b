"""The one description of a run: presets, command line and search are dotted keys laid over its defaults.

What decides the numbers of a run (`graph`, `network`, `data`, `train`) is its identity: its digest names the trial and
its folder. Where and how it runs (`runtime`, places of files) is not part of the digest; of files that decide numbers,
the SHA-256 is.

Certainty codes (A read off the paper, B several sources agree, C one source, R recalled, - unknown) say how well a
default is known.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from randwire import graphs, registry, storage
from randwire.config.identity import Difference, Identity, digest_of, first_difference, identity_of
from randwire.errors import ConfigError, one_line
from randwire.records import checkpoint_file

PRESETS = Path(__file__).parent / "presets"
Device = Literal["auto", "cpu", "cuda"]
Stage = Literal["auto", "always", "never"]
ANY_SET = "folder"
"""The data source that stands for any set of images: which one it is belongs to the identity of a run."""
SUMS = {
    "graph.path": "path_sha256",
    "data.path": "path_sha256",
    "data.source": "path_sha256",
    "train.pretrained": "pretrained_sha256",
}
"""Keys with the SHA-256 in their section that another value of theirs makes void."""
CHANNELS = 2, 4096
"""Least and most base channels."""


class Section(BaseModel):
    """A frozen part of the configuration; unknown keys and non-finite numbers are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


def _no_orphan(sha256: str | None, key: str) -> None:
    if sha256 is not None:
        raise ValueError(f"{key}_sha256 stands without {key}; it is filled in, leave it out")


class GraphConfig(Section):
    """The random graphs of the stages (paper, sections 3.2 and 3.3)."""

    generator: str = Field("ws:k=4,p=0.75", description="generator and parameters, such as er:p=0.2, ba:m=5")
    nodes: int = Field(32, ge=1, le=4096, description="N, nodes of a stage without its input and output node (B)")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the graphs, and of nothing else")
    stages: Literal["shared", "independent"] = Field(
        "shared", description="one graph for all stages of equal size, as the paper's Figure 1 shows, or one for each"
    )
    path: Path | None = Field(
        None, description="saved graphs instead: a record, a folder with conv3.txt, ..., or one .txt for all stages"
    )
    path_sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="of the graphs at graph.path; filled in when they are read"
    )

    @field_validator("generator")
    @classmethod
    def _canonical(cls, value: str) -> str:
        return str(graphs.parse(value))

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.path is None:
            _no_orphan(self.path_sha256, "path")
            graphs.parse(self.generator).check(self.nodes)
        return self


class NetworkConfig(Section):
    """The network around the graphs (paper, Table 1 and section 3.1)."""

    regime: Literal["small", "regular", "tiny"] = Field("small", description="Table 1; tiny: small, stem at stride 1")
    channels: int = Field(78, ge=CHANNELS[0], le=CHANNELS[1], description="C: 78 small, 109 and 154 regular (B)")
    op: str = Field("sepconv", description="node operation, a file of randwire/ops")
    head: int = Field(1280, ge=1, description="channels of the 1x1 convolution of the classifier (A)")
    head_relu: bool = Field(True, description="ReLU between the last BN and the pooling of the classifier (-)")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="before the fully connected layer; 0.2 in the regular regime (B)"
    )
    drop_edge: float = Field(
        0.0, ge=0, le=1, description="probability to do a step without one edge; 0.1 in the regular regime (C)"
    )
    drop_edge_scope: Literal["stage", "network"] = Field(
        "stage", description="one draw for each random stage, or one for the whole network (-)"
    )
    drop_edge_ranks: Literal["shared", "independent"] = Field(
        "shared", description="the same edge on all ranks of a step, or one for each (-)"
    )
    aggregation_init: float = Field(0.0, description="initial aggregation parameter; its sigmoid is the weight (-)")

    @field_validator("op")
    @classmethod
    def _known(cls, value: str) -> str:
        known = registry.names("randwire.model.ops")
        if value not in known:
            raise ValueError(f"unknown node operation {value!r}; known: {', '.join(known)}")
        return value


class DataConfig(Section):
    """The data set and its augmentation. Crops are as in torchvision's RandomResizedCrop and CenterCrop."""

    source: str = Field("imagenet", description="data source, a file of randwire/data/sources")
    path: str | None = Field(
        None, min_length=1, description="converted set: a folder, or a URL such as s3://bucket/set; empty: the cache"
    )
    path_sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="of the dataset.json of source folder; filled in when it is read"
    )
    stage: Stage = Field(
        "auto", description="copy the set to $RANDWIRE_CACHE/staged first; auto: if it is a URL or on a network disk"
    )
    stage_budget_gb: float | None = Field(
        None, gt=0, description="most GB of such copies; unused ones go first; empty: what the disk holds"
    )
    order: Literal["random", "quasi-random"] = Field(
        "random", description="of training; quasi-random reads the file part by part, for sets larger than the memory"
    )
    resolution: int = Field(224, ge=8, le=1024, description="pixels of the square input")
    start_resolution: int | None = Field(
        None, ge=8, le=1024, description="pixels in the first epochs of progressive resolution; empty: data.resolution"
    )
    ramp: tuple[float, float] = Field(
        (0.7, 0.85), description="shares of the epochs between which the resolution rises (C, FFCV's recipe)"
    )
    eval_resolution: int | None = Field(
        None, ge=8, le=1024, description="pixels in evaluation; 320 in Table 4 (A); empty: data.resolution"
    )
    crop_area: tuple[float, float] = Field((0.08, 1.0), description="least and most share of the image's area (C/R)")
    crop_aspect: tuple[float, float] = Field((3 / 4, 4 / 3), description="least and most width / height (C/R)")
    flip: float = Field(0.5, ge=0, le=1, description="probability of a horizontal flip (C/R)")
    eval_crop: float = Field(
        0.875, gt=0, le=1, description="share of the image's side in the centre crop: 224/256 (C/R)"
    )
    rotate: float = Field(0.0, ge=0, le=180, description="most degrees of a random rotation, either way")
    translate: float = Field(0.0, ge=0, lt=1, description="most shift by a random translation, as a share of the side")
    scale: tuple[float, float] = Field((1.0, 1.0), description="least and most factor of a random scaling")
    shear: float = Field(0.0, ge=0, lt=90, description="most degrees of a random horizontal shear, either way")
    brightness: float = Field(0.0, ge=0, le=1, description="most change of a random brightness factor from 1")
    contrast: float = Field(0.0, ge=0, le=1, description="most change of a random contrast factor from 1")
    saturation: float = Field(0.0, ge=0, le=1, description="most change of a random saturation factor from 1")

    @field_validator("source")
    @classmethod
    def _known(cls, value: str) -> str:
        known = registry.names("randwire.data.sources")
        if value not in known:
            raise ValueError(f"unknown data source {value!r}; known: {', '.join(known)}")
        return value

    @field_validator("crop_area", "crop_aspect", "scale")
    @classmethod
    def _range(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1]:
            raise ValueError("must be two numbers with 0 < first <= second")
        return value

    @field_validator("path")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        return value if value is None or storage.is_url(value) else str(Path(value).absolute())

    @field_validator("ramp")
    @classmethod
    def _shares(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= value[0] <= value[1] <= 1:
            raise ValueError("must be two numbers with 0 <= first <= second <= 1")
        return value

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.crop_area[1] > 1:
            raise ValueError(f"crop_area must not exceed 1, is {self.crop_area[1]:g}")
        if self.start_resolution is not None and self.start_resolution > self.resolution:
            raise ValueError(f"start_resolution must not exceed resolution, {self.resolution}")
        if self.path is not None and storage.is_url(self.path) and "@" in self.path.split("/")[2]:
            # Told here, not at the field, whose message would show the value.
            raise ValueError("path must hold no credentials, since it is recorded: they belong in the environment")
        if self.source == ANY_SET and self.path is None:
            raise ValueError(f"source {ANY_SET} needs path, the folder that its conversion wrote")
        if self.source != ANY_SET:
            _no_orphan(self.path_sha256, "path")
        return self

    def resolution_in(self, epoch: int, epochs: int) -> int:
        """Pixels of the square input in an epoch (1-based) of `epochs`: progressive resolution by FFCV's recipe.

        `start_resolution` until the first share of `ramp`, then a linear rise in steps of 32, `resolution` from the
        second share on.
        """
        if self.start_resolution is None:
            return self.resolution
        first, last = (share * epochs for share in self.ramp)
        if epoch <= first:
            return self.start_resolution
        if epoch >= last:
            return self.resolution
        between = self.start_resolution + (self.resolution - self.start_resolution) * (epoch - first) / (last - first)
        return min(max(self.start_resolution, round(between / 32) * 32), self.resolution)

    def cost_of_epochs(self, epochs: int) -> float:
        """What a training of `epochs` costs, in epochs at `resolution`: the cost of an image goes with its pixels."""
        return sum((self.resolution_in(epoch, epochs) / self.resolution) ** 2 for epoch in range(1, epochs + 1))

    @property
    def evaluation(self) -> "DataConfig":
        """The same data as evaluation sees it: `resolution` is that of evaluation."""
        return self.model_copy(update={"resolution": self.eval_resolution or self.resolution, "eval_resolution": None})


class TrainConfig(Section):
    """The optimisation (paper, section 4)."""

    epochs: int = Field(100, ge=1, description="250 for Table 2 (B), 100 for Figure 4 (R) and the regular regime (A)")
    seed: int = Field(0, ge=0, lt=2**31, description="seed of weights, data order, augmentation and dropout")
    batch_size: int = Field(256, ge=1, description="images in a step over all ranks (R)")
    optimizer: Literal["sgd", "adam", "adamw"] = Field("sgd", description="(B)")
    lr: float = Field(0.1, gt=0, description="learning rate at the start of the schedule, after warm-up (B)")
    momentum: float = Field(0.9, ge=0, lt=1, description="of SGD (B)")
    nesterov: bool = Field(False, description="Nesterov momentum of SGD (-)")
    betas: tuple[float, float] = Field((0.9, 0.999), description="decay rates of the moments of Adam and AdamW")
    eps: float = Field(1e-8, gt=0, description="added to the denominator of Adam and AdamW")
    weight_decay: float = Field(5e-5, ge=0, description="5e-5 small (B); regular 1e-5 (R)")
    decay_vectors: bool = Field(False, description="decay BN, biases and aggregation parameters (ndim < 2) too (-)")
    schedule: Literal["cosine", "step", "exponential"] = Field("cosine", description="half a cosine to 0 (B)")
    milestones: tuple[float, ...] = Field(
        (0.5, 0.75), description="of the step schedule: shares of the epochs after warm-up where lr drops"
    )
    milestone_factor: float = Field(0.1, gt=0, le=1, description="of the step schedule: factor of lr at a milestone")
    epoch_factor: float = Field(0.97, gt=0, le=1, description="of the exponential schedule: factor of lr an epoch")
    warmup_epochs: float = Field(0.0, ge=0, description="epochs of linear warm-up before the schedule (-)")
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="(B)")
    clip_norm: float = Field(0.0, ge=0, description="largest norm of the gradient; 0: off")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16: autocast of the forward pass")
    pretrained: Path | None = Field(None, description="initial weights: a record or a checkpoint file")
    pretrained_sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="of the file at train.pretrained; filled in when it is read"
    )

    @field_validator("betas")
    @classmethod
    def _rates(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not all(0 <= beta < 1 for beta in value):
            raise ValueError("must be two numbers with 0 <= number < 1")
        return value

    @field_validator("milestones")
    @classmethod
    def _ascending(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if list(value) != sorted(set(value)) or not all(0 < share < 1 for share in value):
            raise ValueError("must be ascending numbers between 0 and 1")
        return value

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs ({self.warmup_epochs:g}) must be below epochs ({self.epochs})")
        if self.nesterov and (self.momentum == 0 or self.optimizer != "sgd"):
            raise ValueError("nesterov needs optimizer sgd with a momentum above 0")
        if self.pretrained is None:
            _no_orphan(self.pretrained_sha256, "pretrained")
        return self


class RuntimeConfig(Section):
    """Where and how a run happens. Changes no number beyond floating-point order; not part of the digest."""

    output: Path = Field(Path("runs"), description="folder of all records")
    study: str = Field("local", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="folder below output, W&B group")
    variant: str = Field("", description="variant of a study that this run belongs to; set by the study")
    device: Device = Field("auto", description="auto: cuda where there is one")
    loader_workers: int = Field(0, ge=0, description="threads of the loader in each rank; 0: from the CPUs it may use")
    recompute: bool = Field(
        False, description="hold less memory in training by computing nodes again in the backward pass"
    )
    compile: bool = Field(
        False, description="compile the aggregation of nodes, once for each number of inputs; needs g++, or a GPU"
    )
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
