"""One image of a source, as it is written to a file."""

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from randwire.data import beton, codec
from randwire.data.codec import Encoding
from randwire.data.reading import Reading
from randwire.data.sources import Source, Split
from randwire.errors import DataError, brief
from randwire.names import printable


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
    """The image `index` of a split, read and encoded.

    Whatever goes wrong with it, from its opening to its size in the file, makes it unusable and nothing else.
    """
    name = printable(source.name(split, index))
    try:
        content = source.image(split, index)
        pixels = codec.pixels(content, name, reading) if isinstance(content, bytes) else content
        encoded = codec.encode(pixels, encoding, split, index)
        if len(encoded.payload) > beton.PAGE_BYTES:
            raise DataError(beton.too_large(encoded.width, encoded.height, len(encoded.payload)))
    except DataError as error:
        reason = printable(str(error))
        return UnusableImage(name, reason if name in reason else f"{name}: {reason}")
    except MemoryError:
        return UnusableImage(name, f"{name}: takes more memory than there is")
    except Exception as error:  # what a file of any content makes the readers raise
        return UnusableImage(name, f"{name}: cannot be used: {printable(brief(error))}")
    digest = hashlib.sha256(content if isinstance(content, bytes) else np.ascontiguousarray(content).tobytes())
    checksum = beton.checksum(encoded.payload)
    stored = beton.StoredImage(encoded.payload, encoded.jpg, encoded.width, encoded.height, -1, checksum, name)
    return ConvertedImage(stored, encoded.histogram, digest.digest())
