"""Image files as evaluation sees the images of a data set: the same crop and resize, by the same compiled function."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from randwire.config import DataConfig
from randwire.data import beton, codec
from randwire.data.decoder import decode
from randwire.errors import DataError


def batches(paths: Sequence[Path], config: DataConfig, size: int) -> Iterator[Tensor]:
    """The images of files, uint8 (B, 3, R, R) of at most `size` each, in order. Raises DataError for a bad file."""
    for start in range(0, len(paths), size):
        images = np.stack([center(read(path), config) for path in paths[start : start + size]])
        yield torch.from_numpy(images).permute(0, 3, 1, 2)


def read(path: Path) -> NDArray[np.uint8]:
    """The pixels of an image file as a viewer shows them, uint8 (height, width, 3)."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    return codec.pixels(content, str(path))


def center(image: NDArray[np.uint8], config: DataConfig) -> NDArray[np.uint8]:
    """The central square of an image, `eval_crop` of its shorter side, as uint8 (R, R, 3)."""
    height, width, _ = image.shape
    if max(height, width) >= 1 << 16:
        raise DataError(f"an image of {width}x{height} pixels is too large")
    pixels = np.ascontiguousarray(image).reshape(-1)
    pixels.flags.writeable = False  # as a mapped file: what is compiled for the loader serves here
    rows = np.zeros(1, beton.IMAGE)
    rows[0] = beton.RAW, width, height, 0
    out = np.empty((1, config.resolution, config.resolution, 3), np.uint8)
    unused = np.ones(2)
    sizes = np.array([pixels.nbytes], np.uint64)
    decode(
        pixels, rows, sizes, np.empty(0, np.int64), np.zeros(1, np.int64), out, 0, np.uint64(0), unused,
        unused, 0.0, config.eval_crop,
    )  # fmt: skip
    square: NDArray[np.uint8] = out[0]
    return square
