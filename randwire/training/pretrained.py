"""Initial weights from an earlier training."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from randwire.config import DataConfig
from randwire.errors import ConfigError
from randwire.header import SUFFIX
from randwire.model import references
from randwire.names import composed
from randwire.records import checkpoint_file
from randwire.training import checkpoint

LAST_LAYER = "stages.classifier.fc."
CLASSIFIER_STAGE = "stages.classifier."


@dataclass(frozen=True)
class Loaded:
    """The tensors that were taken from a checkpoint, and why each of the others was not."""

    path: str
    epoch: int
    loaded: int
    left_out: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        return {"path": self.path, "epoch": self.epoch, "loaded": self.loaded, "left_out": dict(self.left_out)}

    def __str__(self) -> str:
        head = f"{self.path} (epoch {self.epoch}): loaded {self.loaded} of {self.loaded + len(self.left_out)} tensors"
        return "; ".join([head, *(f"not loaded: {name}: {why}" for name, why in self.left_out.items())])


def load_pretrained(
    network: nn.Module,
    path: Path,
    sha256: str,
    reference: str | None,
    graphs: Mapping[str, str],
    classes: Sequence[str],
    images: DataConfig,
) -> Loaded:
    """Give `network`, a published one if `reference` names it, the weights of the record or checkpoint at `path`.

    Only the classifier may differ: tensors of another shape keep their initial values, and so does the fully connected
    layer if it was trained on classes of other names. Raises ConfigError if the file is not the one with `sha256`, if
    its network is another, or if it was trained on the images that are held out of `images`, and CheckpointError if it
    cannot be read. Nothing in it is executed.
    """
    file = checkpoint_file(path)
    state = checkpoint.read(file)
    with open(file, "rb") as content:
        if hashlib.file_digest(content, "sha256").hexdigest() != sha256:
            raise ConfigError(
                f"train.pretrained: {file} has changed since train.pretrained_sha256 was taken; name it again"
            )
    _check_holdout(file, state["config"]["data"], images)
    saved_reference = state["config"].get("network", {}).get("reference")
    if saved_reference != reference:
        theirs, ours = (
            f"network.reference {name}" if name else "random graphs" for name in (saved_reference, reference)
        )
        raise ConfigError(f"train.pretrained: {file} is another network: it has {theirs}, this one {ours}")
    if state["graphs"] != graphs:
        raise ConfigError(
            f"train.pretrained: {file} has other graphs than this network; take them over with "
            f"--graph.path {'RECORD, the folder of its record' if file.suffix != SUFFIX else file}"
        )
    own, saved = network.state_dict(), state["network"]
    last_layer, classifier = LAST_LAYER, CLASSIFIER_STAGE
    if reference is not None:
        last_layer = classifier = references.provider(reference).classifier
    left_out = {}
    for name in [*own, *(name for name in saved if name not in own)]:
        if name not in saved or name not in own:
            left_out[name] = "not in the file" if name in own else "not in this network"
        elif own[name].shape != saved[name].shape:
            left_out[name] = f"{_shape(saved[name])} in the file, {_shape(own[name])} here"
        elif name.startswith(last_layer) and [*map(composed, state["data"]["classes"])] != [*map(composed, classes)]:
            left_out[name] = "its classes have other names"
    if misfits := [name for name in left_out if not name.startswith(classifier)]:
        raise ConfigError(
            f"train.pretrained: {file} is another network: {misfits[0]}: {left_out[misfits[0]]}; "
            "take over network.regime, network.channels and network.op of its record"
        )
    network.load_state_dict({name: value for name, value in saved.items() if name not in left_out}, strict=False)
    return Loaded(str(file), int(state["epoch"]), len(saved.keys() & own.keys() - left_out.keys()), left_out)


def _check_holdout(file: Path, trained_on: Mapping[str, Any], images: DataConfig) -> None:
    """Raise ConfigError if weights have seen the images that are to choose: of the same data, held out otherwise."""
    same = all(trained_on.get(key) == getattr(images, key) for key in ("source", "path_sha256"))
    theirs = trained_on.get("holdout", 0), trained_on.get("holdout_seed", 0)
    if images.holdout and same and theirs != (images.holdout, images.holdout_seed):
        had = f"data.holdout {theirs[0]} and data.holdout_seed {theirs[1]}" if theirs[0] else "no data.holdout"
        raise ConfigError(
            f"data.holdout: {file} was trained with {had}, on images that are held out here, which cannot choose then; "
            "give both trainings the same one, or leave it out"
        )


def _shape(value: Any) -> str:
    return "x".join(map(str, value.shape)) or "a number"
