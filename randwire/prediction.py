"""The classes of image files, by a trained network: `randwire.predict`, `train.py RECORD --predict`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from randwire.config import Device
from randwire.inference import Trained, open_trained
from randwire.model.folding import folded
from randwire.training.evaluate import full_precision
from randwire.training.worker import pick_device

BATCH_SIZE = 64


@dataclass(frozen=True)
class Prediction:
    """The probabilities of one image, by the names of the classes in the order of the data set."""

    path: Path
    probabilities: Mapping[str, float]

    def top(self, count: int) -> list[tuple[str, float]]:
        """The most probable classes with their probabilities, best first."""
        return sorted(self.probabilities.items(), key=lambda item: -item[1])[:count]


def predict(source: str | Path, images: Sequence[str | Path], device: Device = "auto") -> list[Prediction]:
    """The probabilities of the classes for image files, cropped, resized and normalised as in evaluation.

    `device` is auto, cpu or cuda. Raises CheckpointError for an unusable network and DataError for an unusable image.
    """
    trained = open_trained(source)
    return list(predictions(trained, [Path(image) for image in images], pick_device(device)))


@torch.no_grad()
def predictions(trained: Trained, images: Sequence[Path], device: torch.device) -> Iterator[Prediction]:
    """The predictions of `predict`, one by one."""
    from randwire.data.images import batches

    network = folded(trained.network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    normalise = trained.normalise.to(device)
    paths = iter(images)
    for batch in batches(images, trained.config.data.evaluation, BATCH_SIZE):
        with full_precision(device):  # not around a yield: the caller's own settings hold outside
            logits = network(normalise(batch.to(device)))
        for values in logits.softmax(1).tolist():
            yield Prediction(next(paths), dict(zip(trained.classes, values, strict=True)))
