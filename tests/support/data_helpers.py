"""Small data sets of known pixels for the tests of the data layer. Importing this keeps tests out of the real cache."""

import gzip
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

_cache = tempfile.TemporaryDirectory(prefix="randwire-")
os.environ.setdefault("RANDWIRE_CACHE", _cache.name)  # before the loader is imported: it chooses numba's cache

from randwire.config import DataConfig  # noqa: E402
from randwire.data import Dataset, Loader, prepare  # noqa: E402
from randwire.data.codec import Encoding  # noqa: E402
from randwire.data.convert import convert, main  # noqa: E402
from randwire.data.images import evaluated  # noqa: E402
from randwire.data.reading import Reading  # noqa: E402
from randwire.data.sources import Mode, Source, Split  # noqa: E402

Image = NDArray[np.uint8]


def plain(path: Path | None = None, resolution: int = 16, flip: float = 0.0) -> DataConfig:
    """No augmentation: the whole image at `resolution`."""
    return DataConfig(
        source="digits",
        path=path and str(path),
        resolution=resolution,
        crop_area=(1.0, 1.0),
        crop_aspect=(1.0, 1.0),
        flip=flip,
        eval_crop=1.0,
    )


def augmented(path: Path, resolution: int = 12) -> DataConfig:
    return DataConfig(source="digits", path=str(path), resolution=resolution, crop_area=(0.2, 1.0), flip=0.5)


class InMemory(Source):
    """Images in memory that pass for `digits`; label i % 10, and the first pixel of image i holds i // 256, i % 256."""

    class_count = 10
    embedded = True

    def __init__(self, images: Mapping[Split, Sequence[Image | bytes]]) -> None:
        super().__init__()
        self.content = images

    def class_names(self) -> tuple[str, ...]:
        return tuple("0123456789")

    def labels(self, split: Split) -> NDArray[np.int64]:
        return np.arange(len(self.content[split])) % 10

    def image(self, split: Split, index: int) -> Image | bytes:
        return self.content[split][index]


def samples_of(source: Source, split: Split) -> list[tuple[Image, int]]:
    """The images of a source that has them as pixels, with their labels."""
    samples = []
    for index, label in enumerate(source.labels(split)):
        image = source.image(split, index)
        assert not isinstance(image, bytes)
        samples.append((image, int(label)))
    return samples


def noise(count: int, height: int = 16, width: int = 16, seed: int = 0) -> list[Image]:
    """Random images; the number of each is readable from its first pixel."""
    images = list(np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8))
    for index, image in enumerate(images):
        image[0, 0] = index // 256, index % 256, 0
    return images


def build(folder: Path, train: Sequence[Image | bytes], val: Sequence[Image | bytes], mode: Mode = "raw") -> Dataset:
    convert(InMemory({"train": train, "val": val}), "digits", folder, encoding=Encoding(mode))
    return prepare(plain(folder))


def identity(images: NDArray[np.uint8]) -> list[int]:
    """The numbers of whole images (n, 3, R, R), read from their first pixels."""
    return [int(image[0, 0, 0]) * 256 + int(image[1, 0, 0]) for image in images]


def epoch(loader: Loader, number: int = 0) -> list[tuple[NDArray[np.uint8], list[int]]]:
    return [(images.numpy().copy(), labels.tolist()) for images, labels in loader.epoch(number)]


def seen_in_evaluation(
    paths: Sequence[Path], config: DataConfig, reading: Reading | None = None, encoding: Encoding | None = None
) -> torch.Tensor:
    """The pixels of image files, uint8 (B, 3, R, R), as a prediction takes them; by default stored as pixels."""
    chosen = reading or Reading(), encoding or Encoding("raw")
    return torch.stack([torch.from_numpy(evaluated(path, config, *chosen)) for path in paths]).permute(0, 3, 1, 2)


def convert_status(arguments: list[str]) -> object:
    """The exit status of the conversion."""
    try:
        return main(arguments)
    except SystemExit as end:
        return end.code


def fails(arguments: list[object], capsys: pytest.CaptureFixture[str], *words: str) -> None:
    """The conversion ends with exit code 2 and one line of error that has all the words."""
    capsys.readouterr()
    assert convert_status([str(argument) for argument in arguments]) == 2
    err = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(err) == 1
    for word in words:
        assert word in err[0]


def idx(values: NDArray[Any]) -> bytes:
    return bytes((0, 0, 8, values.ndim)) + np.array(values.shape, ">u4").tobytes() + values.astype(np.uint8).tobytes()


def write_mnist(
    folder: Path, dotted: bool = False, zipped: bool = False
) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    folder.mkdir()
    stream, content = np.random.default_rng(0), {}
    for prefix, count in (("train", 30), ("t10k", 12)):
        images, labels = stream.integers(0, 256, (count, 28, 28)), np.arange(count) % 10
        content[prefix] = images, labels
        for kind, values in (("images", images), ("labels", labels)):
            name = f"{prefix}-{kind}{'.' if dotted else '-'}idx{values.ndim}-ubyte{'.gz' if zipped else ''}"
            (folder / name).write_bytes(gzip.compress(idx(values)) if zipped else idx(values))
    return content
