"""The bytes of converted sets, pinned: what was converted once has the same digest for ever.

Raw images alone: the bytes of JPEG files are a matter of the library that writes them.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_helpers import Image, InMemory, idx
from numpy.typing import NDArray
from PIL import Image as Picture

from randwire.data.codec import Encoding
from randwire.data.convert import convert
from randwire.data.sources import Source
from randwire.data.sources.cifar10 import Cifar10
from randwire.data.sources.folder import Folder
from randwire.data.sources.mnist import MNIST


def _values(*shape: int) -> NDArray[np.uint8]:
    """Values by arithmetic alone, which look random."""
    numbers = np.arange(np.prod(shape), dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return (numbers >> np.uint64(51)).astype(np.uint8).reshape(shape)


def _in_memory(folder: Path) -> Source:
    images: list[Image] = [_values(5 + number, 31 - number, 3) for number in range(23)]
    return InMemory({"train": images, "val": images[7:12]})


def _mnist(folder: Path) -> Source:
    for name, count in (("train", 30), ("t10k", 12)):
        (folder / f"{name}-images-idx3-ubyte").write_bytes(idx(_values(count, 28, 28)))
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(idx(np.arange(count) % 10))
    return MNIST(folder)


def _cifar(folder: Path) -> Source:
    for number, name in enumerate([*(f"data_batch_{part}" for part in range(1, 6)), "test_batch"]):
        rows = _values(20, 3073)
        rows[:, 0] = (np.arange(20) + number) % 10
        (folder / f"{name}.bin").write_bytes(rows.tobytes())
    (folder / "batches.meta.txt").write_text("".join(f"class{label}\n" for label in range(10)))
    return Cifar10(folder)


def _files(folder: Path) -> Source:
    """Opaque images in lossless formats and several modes; one is turned by its EXIF data."""
    turned = Picture.Exif()
    turned[0x0112] = 6
    for split, count in (("train", 16), ("val", 8)):
        for number in range(count):
            image = _values(9 + number, 20, 3)
            suffix = ("png", "bmp", "ppm", "tif")[number % 4]
            mode = ("RGB", "L", "1", "P")[number // 4 % 4] if suffix != "ppm" else "RGB"
            picture = Picture.fromarray(image if mode == "RGB" else image[:, :, 0])
            if mode == "P":
                picture.putpalette(_values(256, 3).tobytes())
            if mode == "1":
                picture = Picture.fromarray(image[:, :, 0] > 99)
            path = folder / split / ("cat", "dog", "ünï")[number % 3] / f"{number:02}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path, exif=turned) if number == 4 else picture.save(path)
    return Folder(folder)


PINNED: dict[str, tuple[Callable[[Path], Source], str, str, str]] = {
    "in memory": (
        _in_memory,
        "digits",
        "6a032aacdb1db5fda7c45dda8537965ac76fb41f375f857554fee821bbd350e2",
        "33b6f5d2157608b2a7f6025a8f1180db050381480e5688daf6f39da677ed533d",
    ),
    "mnist": (
        _mnist,
        "mnist",
        "43003e19ac0d39d19e90bd39fa8589a4b96d1d3fd2174de5d5f1986e18efd39d",
        "326768f10b365fc1788319d3efb02aece896d7ccc31595c1a14b02ce68d9ddc5",
    ),
    "cifar10": (
        _cifar,
        "cifar10",
        "84c8ead2f9859b9ec93b63ced95a6d5ed60204a849d494e821625195a84f0612",
        "41ca285f3ab88f9698d6edfea54973b408ddf998414598c1df47e6dc8bea3840",
    ),
    "files": (
        _files,
        "folder",
        "b2840247dbc9588c3150040d475666af9932d9954bc3e80787ab91fb2d9a0a9b",
        "37e4a35854c21621eb07201058cbbd7fa9754c143531d063837deb786a6b9237",
    ),
}
"""A source, its name, and the SHA-256 of train.beton and val.beton."""


@pytest.mark.parametrize("case", PINNED)
def test_the_bytes_of_a_set_stay(tmp_path: Path, case: str) -> None:
    make, name, train, val = PINNED[case]
    (tmp_path / "in").mkdir()
    convert(make(tmp_path / "in"), name, tmp_path / "out", encoding=Encoding("raw"))
    files = json.loads((tmp_path / "out" / "dataset.json").read_text("utf-8"))["files"]
    assert (files["train.beton"]["sha256"], files["val.beton"]["sha256"]) == (train, val)
