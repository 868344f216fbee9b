"""A trained network in use: from a record or a file of weights alone, without the data it was trained on."""

import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, overload

import torch
from torch import nn

from randwire import config as configuration
from randwire import data
from randwire.config import RunConfig
from randwire.config.recorded import check_trained
from randwire.dag import DAG
from randwire.data.reading import Reading
from randwire.data.sources import load_source
from randwire.errors import CheckpointError, ConfigError, one_line
from randwire.model import references
from randwire.model.building import build
from randwire.model.features import Features, backbone
from randwire.names import composed
from randwire.records import Record, Row
from randwire.training import checkpoint
from randwire.training.evaluate import Normalise
from randwire.training.evaluate import evaluate as score
from randwire.training.memory import evaluation_told
from randwire.training.worker import ProcessWorker, Worker, pick_device

EVALUATIONS_FILE = "evaluations.jsonl"
"""Where a record keeps its later evaluations, one a line."""
EVALUATION_KEYS = (
    *("data.source", "data.path", "data.path_sha256", "data.stage", "data.stage_budget_gb"),
    *("data.resolution", "data.eval_resolution", "data.eval_crop"),
    *("train.batch_size", "runtime.device", "runtime.loader_workers"),
)
"""Keys that an evaluation may choose; all others belong to the network, or change nothing."""
AUGMENTATION_KEYS = (
    *("data.order", "data.crop_area", "data.crop_aspect", "data.flip", "data.rotate", "data.translate", "data.scale"),
    *("data.shear", "data.brightness", "data.contrast", "data.saturation"),
)
"""Keys that say which training images are seen, by who sees them again."""
TRAINED_KEYS = ("data.holdout", "data.holdout_seed")
"""Of these keys, those that say what was trained on: with a holdout, the validation split only tells."""


@dataclass(frozen=True)
class Trained:
    """A network in evaluation mode, on the CPU, with its classes and the statistics that normalise its images.

    `reading` is how the image files of its set were read, `encoding` how they were stored: the arguments of
    `data.codec.Encoding`. Checkpoints that say neither were read as their source is, and their images count as stored
    as pixels of any size.
    """

    path: Path
    network: nn.Module
    config: RunConfig
    epoch: int
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    graphs: Mapping[str, str]
    """The adjacency text of each random stage."""
    reading: Reading
    encoding: Mapping[str, Any]

    @property
    def normalise(self) -> Normalise:
        return Normalise(self.mean, self.std)


def open_trained(source: str | Path) -> Trained:
    """The trained network of a record's folder (its newest checkpoint), a checkpoint or a safetensors file.

    Raises CheckpointError, in one line, if there is none, or none that this version can use, and RecordError if the
    record says that it was trained otherwise than its checkpoint.
    """
    path = Path(source)
    state = checkpoint.newest(Record(path).checkpoint) if path.is_dir() else checkpoint.read(path)
    if state is None:
        raise CheckpointError(f"{path}: holds no checkpoint; name the folder of a record that has been trained")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = configuration.build(state["config"])
            dags = {stage: DAG.from_text(text) for stage, text in state["graphs"].items()}
            about_data = state["data"]
            network = build(config.network, dags, len(about_data["classes"]), config.data.resolution)
            network.load_state_dict(state["network"])
            reading = Reading.model_validate(about_data.get("reading") or _reading_of_source(config.data.source))
            encoding = dict(about_data.get("encoding", {"mode": "raw"}))
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise CheckpointError(f"{path}: its checkpoint is of another version or damaged: {one_line(error)}") from None
    if path.is_dir():
        check_trained(path, config)
    return Trained(
        path,
        network.eval(),
        config,
        int(state["epoch"]),
        tuple(about_data["classes"]),
        _floats(about_data["mean"]),
        _floats(about_data["std"]),
        dict(state["graphs"]),
        reading,
        encoding,
    )


@overload
def load(source: str | Path, features: Literal[False] = False) -> nn.Module: ...


@overload
def load(source: str | Path, features: Literal[True], out_indices: int | Sequence[int] | None = None) -> Features: ...


@overload
def load(source: str | Path, features: bool = False, out_indices: int | Sequence[int] | None = None) -> nn.Module: ...


def load(source: str | Path, features: bool = False, out_indices: int | Sequence[int] | None = None) -> nn.Module:
    """The trained network of a record, a checkpoint or a safetensors file: `randwire.load("runs/local/0123456789ab")`.

    It is in evaluation mode, on the CPU, and maps normalised images (B, 3, H, W) to logits (B, classes). With
    `features` it is a backbone, and maps them to the list of the outputs of conv2 to conv5, or those of `out_indices`;
    its `feature_info` has their channels and strides (see `model.features`). Raises CheckpointError if there is none,
    and ConfigError for impossible `out_indices` and for the features of a published network.
    """
    trained = open_trained(source)
    if not features:
        if out_indices is not None:
            raise ConfigError("out_indices: is for features=True; a network gives logits alone")
        return trained.network
    return backbone(trained.network, trained.config.network, out_indices)


def evaluate(source: str | Path, values: Mapping[str, object] | None = None, worker: Worker | None = None) -> Row:
    """Top-1 and top-5 (percent) and loss of a trained network on the validation split; called by every rank.

    They are `val_top1` and so on; of a network that was trained with a holdout `test_top1` and so on, as in its
    summary.

    `values` are dotted keys laid over the recorded ones, such as `{"data.resolution": 320}`; images are normalised as
    in training. A record that can be written keeps the result in evaluations.jsonl. Raises ConfigError for a key that
    would change the network, or for data of other classes, CheckpointError and DataError for unusable files.
    """
    trained = open_trained(source)
    config = evaluation_config(trained, values or {})
    check_resolution(trained, config.data.evaluation.resolution)
    worker = worker or ProcessWorker(pick_device(config.runtime.device))
    dataset = evaluation_data(trained, config, worker.cpus)
    batch_size = max(1, config.train.batch_size // worker.world_size)
    loader = data.Loader(
        dataset,
        "val",
        config.data.evaluation,
        data.Batching(
            batch_size=batch_size,
            rank=worker.rank,
            world_size=worker.world_size,
            threads=config.runtime.loader_workers or worker.cpus,
            page_locked=worker.device.type == "cuda",
        ),
    )
    try:
        with evaluation_told(batch_size, config.data.evaluation.resolution):
            network = trained.network.to(worker.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            scores = score(network, loader.epoch(0), trained.normalise.to(worker.device))
    finally:
        loader.close()
    row = {
        "epoch": trained.epoch,
        "source": dataset.source,
        "resolution": config.data.evaluation.resolution,
        "eval_crop": config.data.eval_crop,
        "images": scores.images,
        **scores.to_row(test=bool(config.data.holdout)),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if worker.rank == 0 and trained.path.is_dir():
        try:
            Record(trained.path).append(EVALUATIONS_FILE, row)
        except OSError as error:  # the record of somebody else, or an archive: the result is no less true
            print(f"{trained.path}: cannot be written ({error.strerror}); the result is not recorded", file=sys.stderr)
    return row


def is_recorded(source: str | Path, row: Row) -> bool:
    """Whether the record `source` keeps this result of `evaluate`, as the last one."""
    try:
        return Record(Path(source)).rows(EVALUATIONS_FILE)[-1:] == [row]
    except (OSError, ValueError):
        return False


def evaluation_config(trained: Trained, values: Mapping[str, object], trains: bool = False) -> RunConfig:
    """The configuration of a trained network with other values for EVALUATION_KEYS.

    The recorded data.path is of the recorded data.source, and stands for no other one. `trains`: training images are
    seen, too, and AUGMENTATION_KEYS change how. Raises ConfigError for other keys.
    """
    may, known = (*EVALUATION_KEYS, *AUGMENTATION_KEYS * trains), configuration.keys()
    for key in values:
        if key in TRAINED_KEYS:
            raise ConfigError(f"{key}: is what {trained.path} was trained with; evaluated is the validation split")
        if key in known and key not in may:
            why = f"is what {trained.path} was trained with"
            if key.startswith(("data.", "runtime.")):
                why = "changes nothing here"
            raise ConfigError(f"{key}: {why}; an evaluation may choose {', '.join(may)}")
    if "data.resolution" in values and "data.eval_resolution" not in values:
        values = {**values, "data.eval_resolution": None}
    elif "data.resolution" in values and not trains:
        raise ConfigError("data.resolution: an evaluation is at data.eval_resolution; give one of them")
    if values.get("data.source", trained.config.data.source) != trained.config.data.source:
        values = {"data.path": None, "data.path_sha256": None, **values}
    return configuration.resolve(trained.config.override(values))


def check_resolution(trained: Trained, side: int) -> None:
    """Raise ConfigError unless the network works on images of `side` x `side` pixels; a randomly wired one does."""
    if trained.config.network.reference is not None:
        references.check_resolutions(
            trained.config.network.reference, len(trained.classes), trained.config.data.resolution, (side,)
        )


def evaluation_data(trained: Trained, config: RunConfig, threads: int) -> data.Dataset:
    """The data of an evaluation. Raises DataError for unusable files, ConfigError for data of other classes."""
    dataset = data.prepare(config.data, threads=threads)
    if [*map(composed, dataset.classes)] != [*map(composed, trained.classes)]:
        raise ConfigError(
            f"data.source: {dataset.source} has other classes than those that {trained.path} was trained on"
        )
    return dataset


def _reading_of_source(source: str) -> Mapping[str, Any]:
    """How the image files of every set of a source were read before sets recorded it."""
    return {"upright": load_source(source).upright}


def _floats(values: Sequence[Any]) -> tuple[float, ...]:
    return tuple(float(number) for number in values)
