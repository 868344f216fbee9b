"""MNIST: 60,000 and 10,000 gray images of 28x28 pixels, 10 classes, from its four IDX files, gzipped or not."""

import gzip
import zlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from randwire.data.sources._base import SPLITS, Source, Split
from randwire.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PREFIX: Mapping[Split, str] = {"train": "train", "val": "t10k"}
DIMENSIONS = {"images": 3, "labels": 1}


class MNIST(Source):
    """Input: a folder with train-images-idx3-ubyte, train-labels-idx1-ubyte and the same of t10k.

    `.idx3-ubyte` for `-idx3-ubyte` and a further `.gz` are accepted.
    """

    class_count = 10
    train_images = 60_000
    holdout = 10_000

    def class_names(self) -> tuple[str, ...]:
        return tuple("0123456789")

    def labels(self, split: Split) -> "NDArray[np.uint8]":
        return self._splits[split][1]

    def image(self, split: Split, index: int) -> "NDArray[np.uint8]":
        import numpy as np

        return np.repeat(self._splits[split][0][index][:, :, None], 3, axis=2)

    @cached_property
    def _splits(self) -> "dict[Split, tuple[NDArray[np.uint8], NDArray[np.uint8]]]":
        assert self.input is not None
        if not self.input.is_dir():
            raise DataError(f"{self.input}: no such folder; name the one that holds the four IDX files of MNIST")
        arrays = {}
        for split in SPLITS:
            paths = {kind: _find(self.input, PREFIX[split], kind) for kind in DIMENSIONS}
            images, labels = _read(paths["images"], 3), _read(paths["labels"], 1)
            if len(images) != len(labels):
                raise DataError(f"{paths['labels']}: {len(labels)} labels for the {len(images)} images beside it")
            if labels.max() >= self.class_count:
                raise DataError(f"{paths['labels']}: label {labels.max()} is not a digit; is this MNIST?")
            arrays[split] = images, labels
        return arrays


def _find(folder: Path, prefix: str, kind: str) -> Path:
    standard = f"{prefix}-{kind}-idx{DIMENSIONS[kind]}-ubyte"
    for name in (standard, standard.replace("-idx", ".idx")):
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    raise DataError(f"{folder}: holds no {standard}, gzipped or not; MNIST has four IDX files")


def _read(path: Path, dimensions: int) -> "NDArray[np.uint8]":
    """The array of an IDX file: two zeros, the type (8: uint8), the number of dimensions, big-endian sizes, values."""
    import numpy as np

    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or "it is not a whole gzip file"
        raise DataError(f"{path}: cannot be read: {reason}; fetch it again") from None
    magic = bytes((0, 0, 8, dimensions))
    if content[:4] != magic:
        raise DataError(
            f"{path}: starts with {content[:4].hex(' ') or 'nothing'}, not {magic.hex(' ')}; not such a file"
        )
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise DataError(f"{path}: ends within its header; fetch it again")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", dimensions, 4))
    expected = int(np.prod(shape, dtype=object))
    if expected == 0 or shape[1:] not in ((), (28, 28)):
        raise DataError(f"{path}: holds {'x'.join(map(str, shape))} values; MNIST has images of 28x28")
    if len(content) - start != expected:
        raise DataError(f"{path}: holds {len(content) - start} values, its header says {expected}; fetch it again")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
