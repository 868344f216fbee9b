"""One image of a source, as it is written to a file."""

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from randwire.data import beton, codec
from randwire.data.codec import Encoding
from randwire.data.reading import Reading
from randwire.data.sources import Source, Split
from randwire.errors import DataError
from randwire.names import printable

SIDE_LIMIT = 1 << 16
"""Pixels of a side that the file has no number for."""


class ConvertedImage(NamedTuple):
    """An image without its label yet, how often each value occurs in its channels (3, 256), the source's SHA-256."""

    stored: beton.StoredImage
    histogram: NDArray[np.int64]
    source_sha256: bytes


class UnusableImage(NamedTuple):
    """An image that cannot be used: what it is called, and the line that says why."""

    name: str
    reason: str


def convert_image(
    source: Source, split: Split, index: int, encoding: Encoding, reading: Reading
) -> ConvertedImage | UnusableImage:
    """The image `index` of a split, read and encoded."""
    name = printable(source.name(split, index))
    content = source.image(split, index)
    try:
        pixels = codec.pixels(content, name, reading) if isinstance(content, bytes) else content
        if max(pixels.shape[:2]) >= SIDE_LIMIT:
            raise DataError(f"{name}: {pixels.shape[1]}x{pixels.shape[0]} pixels are too large to be stored")
        encoded = codec.encode(pixels, encoding, split, index)
    except DataError as error:
        return UnusableImage(name, str(error))
    digest = hashlib.sha256(content if isinstance(content, bytes) else np.ascontiguousarray(content).tobytes())
    checksum = beton.checksum(encoded.payload)
    stored = beton.StoredImage(encoded.payload, encoded.jpg, encoded.width, encoded.height, -1, checksum, name)
    return ConvertedImage(stored, encoded.histogram, digest.digest())
