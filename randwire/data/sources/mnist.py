"""MNIST: 60,000 and 10,000 gray images of 28x28 pixels, 10 classes, from its four IDX files, gzipped or not."""

import gzip
import zlib
from collections.abc import Mapping
from functools import cached_property
from hashlib import md5
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from randwire.data.formats import kind_of
from randwire.data.sources._base import SPLITS, Source, Split
from randwire.data.sources._found import folder_of
from randwire.errors import DataError, system_text
from randwire.storage import contents

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PREFIX: Mapping[Split, str] = {"train": "train", "val": "t10k"}
DIMENSIONS = {"images": 3, "labels": 1}
USUAL_FOLDERS = (".", "raw", "MNIST/raw", "MNIST")
"""Below INPUT: where the files are, and where torchvision puts them."""
GZIP = b"\x1f\x8b"
PUBLISHED = {
    "6bbc9ace898e44ae57da46a324031adb": "MNIST",
    "a25bea736e30d166cdddb491f175f624": "MNIST",
    "2646ac647ad5339dbf082846283269ea": "MNIST",
    "27ae3e4e09519cfbb04c329615203637": "MNIST",
    "f4a8712d7a061bf5bd6d2ca38dc4d50a": "Fashion-MNIST",
    "9018921c3c673c538a1fc5bad174d6f9": "Fashion-MNIST",
    "8181f5470baa50b63fa0f6fddb340f0a": "Fashion-MNIST",
    "15d484375f8d13e6eb1aabb0c3f46965": "Fashion-MNIST",
    "bdb82020997e1d708af4cf47b453dcf7": "Kuzushiji-MNIST",
    "e144d726b3acfaa3e44228e80efcd344": "Kuzushiji-MNIST",
    "5c965bf0a639b31b8f53240b1b52f4d7": "Kuzushiji-MNIST",
    "7320c461ea6c1c855c0b718fb2a4b134": "Kuzushiji-MNIST",
}
"""The MD5 of published files that have the same names in all sets: unpacked, of Kuzushiji-MNIST gzipped."""


class _File(NamedTuple):
    """An IDX file: its values, and the set that it belongs to if it is as it was published."""

    path: Path
    values: "NDArray[np.uint8]"
    published: str | None


class MNIST(Source):
    """Input: a folder with train-images-idx3-ubyte, train-labels-idx1-ubyte and the same of t10k, or one above it.

    `.idx3-ubyte` for `-idx3-ubyte` and a further `.gz` are accepted.
    """

    class_count = 10
    train_images = 60_000
    holdout = 10_000

    def class_names(self) -> tuple[str, ...]:
        return tuple("0123456789")

    def labels(self, split: Split) -> "NDArray[np.uint8]":
        return self._files[split, "labels"].values

    def image(self, split: Split, index: int) -> "NDArray[np.uint8]":
        import numpy as np

        return np.repeat(self._files[split, "images"].values[index][:, :, None], 3, axis=2)

    def notes(self) -> list[str]:
        other = [file.path for file in self._files.values() if file.published is None]
        if not other:
            return []
        return [f"{len(other)} of the 4 files are not those of MNIST as published (by their MD5), such as {other[0]}"]

    @cached_property
    def _files(self) -> dict[tuple[Split, str], _File]:
        import numpy as np

        assert self.input is not None
        every = [(PREFIX[split], kind) for split in SPLITS for kind in DIMENSIONS]
        folder = folder_of(self.input, USUAL_FOLDERS, lambda path: any(_find(path, *file) for file in every))
        if folder is None:
            raise DataError(
                f"{self.input}: holds no {_name(*every[0])}, gzipped or not, nor in a folder below; it holds "
                f"{contents(self.input)} (images as files: source folder)"
            )
        files = {}
        for split in SPLITS:
            for kind, dimensions in DIMENSIONS.items():
                path = _find(folder, PREFIX[split], kind)
                if path is None:
                    raise DataError(f"{folder}: holds no {_name(PREFIX[split], kind)}; it holds {contents(folder)}")
                files[split, kind] = _read(path, dimensions)
            images, labels = files[split, "images"], files[split, "labels"]
            if len(images.values) != len(labels.values):
                raise DataError(
                    f"{labels.path}: {len(labels.values)} labels for the {len(images.values)} images of "
                    f"{images.path.name}"
                )
            if labels.values.max() >= self.class_count:
                raise DataError(f"{labels.path}: label {labels.values.max()} is not a digit")
        for file in files.values():
            if file.published not in ("MNIST", None):
                raise DataError(f"{file.path}: is that of {file.published}, not of MNIST (by its MD5)")
        train, val = (files[split, "images"] for split in SPLITS)
        if np.array_equal(train.values, val.values):
            raise DataError(f"{val.path}: holds the same images as {train.path.name}")
        if val.published and len(val.values) > len(train.values):
            raise DataError(
                f"{val.path}: holds the {len(val.values):,} images of the other split, by its MD5; {train.path.name} "
                f"holds {len(train.values):,}"
            )
        return files


def _name(prefix: str, kind: str) -> str:
    return f"{prefix}-{kind}-idx{DIMENSIONS[kind]}-ubyte"


def _find(folder: Path, prefix: str, kind: str) -> Path | None:
    standard = _name(prefix, kind)
    for name in (standard, standard.replace("-idx", ".idx")):
        for path in (folder / name, folder / f"{name}.gz", folder / name / name):  # Kaggle's is in a folder of its name
            if path.is_file():
                return path
    return None


def _read(path: Path, dimensions: int) -> _File:
    """The array of an IDX file: two zeros, the type (8: uint8), the number of dimensions, big-endian sizes, values."""
    import numpy as np

    try:
        packed = content = path.read_bytes()
        if packed.startswith(GZIP):
            content = gzip.decompress(packed)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(
            f"{path}: is not a whole gzip file, {len(packed):,} bytes: {error}; name a whole copy"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {system_text(error)}") from None
    magic = bytes((0, 0, 8, dimensions))
    if content[:4] != magic:
        raise DataError(
            f"{path}: starts with {content[:4].hex(' ') or 'nothing'}, not {magic.hex(' ')} as the IDX file "
            f"that is due: it is {kind_of(content)} of {len(content):,} bytes"
        )
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise DataError(f"{path}: ends within its header, after {len(content)} bytes; name a whole copy")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", dimensions, 4))
    expected = int(np.prod(shape, dtype=object))
    if expected == 0 or shape[1:] not in ((), (28, 28)):
        raise DataError(f"{path}: holds {'x'.join(map(str, shape))} values; MNIST has images of 28x28")
    if len(content) - start != expected:
        raise DataError(f"{path}: holds {len(content) - start} values, its header says {expected}; name a whole copy")
    digests = (md5(some, usedforsecurity=False).hexdigest() for some in (content, packed))
    published = next((PUBLISHED[digest] for digest in digests if digest in PUBLISHED), None)
    return _File(path, np.frombuffer(content, np.uint8, offset=start).reshape(shape), published)
