"""Image files as evaluation sees the images of a data set: read, stored and cropped alike, by the same functions."""

import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from randwire.config import DataConfig
from randwire.data import beton, codec
from randwire.data.codec import EncodedImage, Encoding
from randwire.data.decoder import decode
from randwire.data.reading import Reading
from randwire.errors import DataError, brief, system_text
from randwire.names import printable
from randwire.storage import kind_of_file


def evaluated(path: Path, config: DataConfig, reading: Reading, encoding: Encoding) -> NDArray[np.uint8]:
    """An image file as evaluation sees it, uint8 (R, R, 3), where its set was read and stored as given.

    The pixels are those that the loader gives for the same file in a set. In the mode proportion, in which a set stores
    some images as JPEG and some as pixels, they are those of an image stored as pixels, unless all are JPEG. A set may
    have been limited to small images: the usual limit holds here. Raises DataError, in one line with the name, for a
    file that cannot be used.
    """
    reading = reading.model_copy(update={"max_pixels": max(reading.max_pixels, Reading().max_pixels)})
    content = _content(path)
    try:
        pixels = codec.pixels(content, printable(path), reading)
        if encoding.mode == "proportion":
            all_as_jpeg = encoding.compress_probability == 1
            encoding = replace(encoding, mode="jpg" if all_as_jpeg else "raw")
        return center(codec.encode(pixels, encoding, "val", 0), config)
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{printable(path)}: cannot be used: {brief(error)}") from None


def center(image: EncodedImage, config: DataConfig) -> NDArray[np.uint8]:
    """The central square of a stored image, `eval_crop` of its shorter side, as uint8 (R, R, 3)."""
    payload = np.frombuffer(image.payload, np.uint8)  # read-only as a mapped file: what is compiled for the loader
    rows = np.zeros(1, beton.IMAGE)
    rows[0] = beton.JPG if image.jpg else beton.RAW, image.width, image.height, 0
    out = np.empty((1, config.resolution, config.resolution, 3), np.uint8)
    unused = np.ones(2)
    sizes = np.array([payload.nbytes], np.uint64)
    damaged = decode(
        payload, rows, sizes, np.empty(0, np.int64), np.zeros(1, np.int64), out, 0, np.uint64(0), unused,
        unused, 0.0, config.eval_crop,
    )  # fmt: skip
    if damaged >= 0:
        raise ValueError(f"{image.width}x{image.height} pixels as JPEG cannot be decoded")
    square: NDArray[np.uint8] = out[0]
    return square


def _content(path: Path) -> bytes:
    """What a regular file holds; no other is opened: a pipe may never end, and a device may act."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            advice = "; name the image files in it" if stat.S_ISDIR(mode) else ""
            raise DataError(f"{printable(path)}: is {kind_of_file(mode)}{advice}")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{printable(path)}: cannot be read: {system_text(error)}") from None
