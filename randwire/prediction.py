"""The classes of image files, by a trained network: `randwire.predict`, `train.py RECORD --predict`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from randwire.config import Device
from randwire.errors import CheckpointError, DataError, one_line
from randwire.inference import Trained, open_trained
from randwire.model.folding import folded
from randwire.training.evaluate import Normalise, full_precision
from randwire.training.memory import told_of_memory
from randwire.training.worker import pick_device

BATCH_SIZE = 4
"""Images that are predicted together at most: more would wait for each other, since reading takes longer."""


@dataclass(frozen=True)
class Unusable:
    """An image file that has no prediction, and the line that says why."""

    path: Path
    error: str


@dataclass(frozen=True)
class Prediction:
    """The probabilities of one image, by the names of the classes in the order of the data set."""

    path: Path
    probabilities: Mapping[str, float]

    def top(self, count: int) -> list[tuple[str, float]]:
        """The most probable classes with their probabilities, best first."""
        return sorted(self.probabilities.items(), key=lambda item: -item[1])[:count]


def predict(source: str | Path, images: Sequence[str | Path], device: Device = "auto") -> list[Prediction]:
    """The probabilities of the classes for image files, seen as evaluation sees the images of the network's set.

    They are read as the files of that set were (turned by their EXIF data or not, and so on), reduced and compressed as
    it stores them, cropped, resized and normalised. `device` is auto, cpu or cuda. Raises CheckpointError for an
    unusable network and DataError for the first unusable image.
    """
    trained = open_trained(source)
    found = []
    for result in predictions(trained, [Path(image) for image in images], pick_device(device)):
        if isinstance(result, Unusable):
            raise DataError(result.error)
        found.append(result)
    return found


def predictions(trained: Trained, images: Sequence[Path], device: torch.device) -> Iterator[Prediction | Unusable]:
    """The prediction of each image in order, or why there is none, soon after it has been read.

    Raises CheckpointError if the checkpoint says in terms of another version how its set was stored, and
    DeviceMemoryError if the device has not enough memory.
    """
    side = trained.config.data.evaluation.resolution
    task = f"the prediction of up to {BATCH_SIZE} images of {side} x {side} pixels at a time in fp32"
    with told_of_memory(task, "use --runtime.device cpu"):
        yield from _predictions(trained, images, device)


def _predictions(trained: Trained, images: Sequence[Path], device: torch.device) -> Iterator[Prediction | Unusable]:
    from randwire.data.codec import Encoding
    from randwire.data.images import evaluated

    try:
        encoding = Encoding(**trained.encoding)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{trained.path}: its checkpoint is of another version: {one_line(error)}") from None
    network = folded(trained.network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    normalise, config = trained.normalise.to(device), trained.config.data.evaluation
    start, size = 0, 1
    while start < len(images):
        read: list[Tensor | Unusable] = []
        for path in images[start : start + size]:
            try:
                square = evaluated(path, config, trained.reading, encoding)
                read.append(torch.from_numpy(square))
            except DataError as error:
                read.append(Unusable(path, one_line(error)))
        rows = iter(_probabilities(network, normalise, [image for image in read if isinstance(image, Tensor)], device))
        for path, image in zip(images[start : start + size], read, strict=True):
            if isinstance(image, Unusable):
                yield image
            else:
                yield Prediction(path, dict(zip(trained.classes, next(rows), strict=True)))
        start, size = start + size, min(2 * size, BATCH_SIZE)


@torch.no_grad()
def _probabilities(
    network: nn.Module, normalise: Normalise, images: list[Tensor], device: torch.device
) -> list[list[float]]:
    """Of the classes, for images uint8 (R, R, 3)."""
    if not images:
        return []
    batch = torch.stack(images).permute(0, 3, 1, 2)  # channels last, as the batches of the loader
    with full_precision(device):
        probabilities: list[list[float]] = network(normalise(batch.to(device))).softmax(1).tolist()
    return probabilities
