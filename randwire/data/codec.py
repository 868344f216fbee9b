"""Image files to pixels, and pixels to what a `.beton` file stores."""

import io
import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from randwire import streams
from randwire.data.reading import Reading
from randwire.data.sources import Mode, Split
from randwire.errors import DataError


def pixels(content: bytes, name: str, reading: Reading | None = None) -> NDArray[np.uint8]:
    """The pixels of an image file, uint8 (height, width, 3), whatever its format and colours.

    Raises DataError, with the name, for a file that is no image or is damaged.
    """
    reading = reading or Reading()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata, which is not read
            with Image.open(io.BytesIO(content)) as image:
                return np.asarray((ImageOps.exif_transpose(image) if reading.upright else image).convert("RGB"))
    except UnidentifiedImageError:
        raise DataError(f"{name}: is not an image") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{name}: is not an image that can be read: {error}") from None


@dataclass(frozen=True)
class Encoding:
    """How images are stored. Sides above `max_side` pixels are reduced to it, keeping the aspect.

    jpg: as JPEG of `quality`. raw: as pixels. proportion: each image as JPEG with probability `compress_probability`,
    drawn from its split and number, else as pixels.
    """

    mode: Mode = "jpg"
    max_side: int | None = None
    quality: int = 90
    compress_probability: float = 0.5


class EncodedImage(NamedTuple):
    """An image as it is stored, and how often each value occurs in its three channels (3, 256)."""

    payload: bytes
    jpg: bool
    width: int
    height: int
    histogram: NDArray[np.int64]


def encode(image: NDArray[np.uint8], encoding: Encoding, split: Split, index: int) -> EncodedImage:
    """The image, uint8 (height, width, 3), as it is to be stored."""
    picture = Image.fromarray(image)
    longer = max(picture.size)
    if encoding.max_side is not None and longer > encoding.max_side:
        width, height = (max(1, round(side * encoding.max_side / longer)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BOX)  # the mean of the area, as FFCV does
    jpg = encoding.mode == "jpg" or (
        encoding.mode == "proportion" and streams.stored_as_jpeg(split, index).random() < encoding.compress_probability
    )
    histogram = np.array(picture.histogram(), np.int64).reshape(3, 256)
    return EncodedImage(_jpeg(picture, encoding.quality) if jpg else picture.tobytes(), jpg, *picture.size, histogram)


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=quality)
    return content.getvalue()
