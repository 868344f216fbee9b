"""Image files to pixels, and pixels to what a `.beton` file stores."""

import io
import logging
import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from randwire import streams
from randwire.data.colours import to_rgb
from randwire.data.formats import kind_of
from randwire.data.reading import Reading
from randwire.data.samples import UnreadableColoursError, samples, samples_of_tiff
from randwire.data.sources import Mode, Split
from randwire.errors import DataError, brief
from randwire.names import printable

DRAFT_PIXELS = 178_956_970
"""JPEGs of more pixels are decoded at a half, a quarter or an eighth of their sides, which saves as much memory."""
SIDE_LIMIT = (1 << 16) - 1
"""Pixels of a side that the file has a number for."""
JPEG_SIDE_LIMIT = 65500
"""Pixels of a side that libjpeg writes."""
TRANSPOSED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings an image upright, by its orientation in EXIF."""
NO_LIMIT = 1 << 62
_limit_lock, _stderr_lock = threading.Lock(), threading.Lock()
_limits: list[int] = []
"""Pixels that the threads which read now allow."""
_limit_of_pillow: list[int | None] = []
"""What Pillow's limit was before they did."""

logging.getLogger("PIL").addHandler(logging.NullHandler())  # or what it logs of bad files comes to stderr


def pixels(content: bytes, name: str, reading: Reading | None = None) -> NDArray[np.uint8]:
    """The pixels of an image file, uint8 (height, width, 3), whatever its format and colours (`colours.py`).

    Raises DataError, with the name, for a file that is no image, is damaged, too large, or of colours that are refused.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about metadata, which is not read
        return _named(content, name, reading or Reading())


def _named(content: bytes, name: str, reading: Reading) -> NDArray[np.uint8]:
    try:
        with _limit(reading.max_pixels):  # GIF and icons are decoded as they are opened
            opened = Image.open(io.BytesIO(content))
        with opened as image:
            return _pixels(image, content, reading)
    except UnreadableColoursError as error:
        raise DataError(f"{name}: {error}") from None
    except (_TooLargeError, Image.DecompressionBombError) as error:
        pixels = re.search(r"\d+", str(error))
        limit = f"more than {reading.max_pixels / 1e6:g} megapixels: --max-megapixels of a conversion is the limit"
        # Pillow's error has the number of pixels, without the sides, in a text of its own.
        seen = error if isinstance(error, _TooLargeError) or not pixels else f"{int(pixels[0]):,} pixels"
        raise DataError(f"{name}: {seen} are {limit}") from None
    except UnidentifiedImageError:
        raise DataError(f"{name}: is not an image that can be read: {_told(content, name)}") from None
    except MemoryError:
        raise DataError(
            f"{name}: takes more memory than there is; --max-megapixels of a conversion is the limit"
        ) from None
    except Exception as error:  # Pillow's readers raise whatever comes up in a damaged file
        raise DataError(
            f"{name}: is not an image that can be read: {_told(content, name)}: {printable(brief(error))}"
        ) from None


def _told(content: bytes, name: str) -> str:
    """What the content of a file that Pillow does not take is."""
    kind = kind_of(content, name)
    return f"{kind} ({len(content):,} bytes{samples_of_tiff(content)})" if content else kind


class _TooLargeError(ValueError):
    """An image of more pixels than are read; says how many it has."""


def _pixels(image: ImageFile.ImageFile, content: bytes, reading: Reading) -> NDArray[np.uint8]:
    _check_size(image, reading)
    said = samples(image, content)
    if image.format in ("JPEG", "MPO") and image.width * image.height > DRAFT_PIXELS:
        scale = next((scale for scale in (2, 4) if image.width * image.height <= DRAFT_PIXELS * scale**2), 8)
        image.draft(image.mode, (image.width // scale, image.height // scale))
    quiet = (
        _without_stderr() if image.info.get("compression", "raw") != "raw" and image.format == "TIFF" else nullcontext()
    )
    if image.format == "TIFF":
        _forget_odd_tags(image)
    with _limit(reading.max_pixels), quiet:  # a limit of the parts of an icon or of a tiled image
        image.load()
    _check_size(image, reading)
    with _limit(NO_LIMIT):
        return to_rgb(_turned(image) if reading.upright else image, said, reading)


def _check_size(image: Image.Image, reading: Reading) -> None:
    if image.width * image.height > reading.max_pixels:
        raise _TooLargeError(f"{image.width}x{image.height} pixels")


def _forget_odd_tags(image: ImageFile.ImageFile) -> None:
    """Pillow looks at these as it loads a TIFF, to turn it, and would fail."""
    if not isinstance(image.info.get("xmp", b""), bytes):
        del image.info["xmp"]
    with suppress(Exception):
        exif = image.getexif()
        for tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop):
            if tag in exif and not (isinstance(exif[tag], int) and exif[tag] > 0):
                del exif[tag]


def _turned(image: ImageFile.ImageFile) -> Image.Image:
    """The loaded image as its EXIF data says; Pillow has turned TIFF itself."""
    if image.format == "TIFF":
        return image
    try:
        orientation: Any = image.getexif().get(ExifTags.Base.Orientation)
        method = TRANSPOSED.get(orientation)
    except Exception:  # damaged EXIF says nothing, as for all viewers
        return image
    return image if method is None else image.transpose(method)


@contextmanager
def _limit(pixels: int) -> Iterator[None]:
    """A block in which Pillow, whose limit is a global, refuses images of more than twice as many pixels."""
    with _limit_lock:
        if not _limits:
            _limit_of_pillow[:] = [Image.MAX_IMAGE_PIXELS]
        _limits.append(pixels)
        Image.MAX_IMAGE_PIXELS = max(_limits)
    try:
        yield
    finally:
        with _limit_lock:
            _limits.remove(pixels)
            Image.MAX_IMAGE_PIXELS = max(_limits) if _limits else _limit_of_pillow[0]


@contextmanager
def _without_stderr() -> Iterator[None]:
    """A block that C code prints nothing in: libtiff tells of damage on descriptor 2, without the name of a file."""
    with _stderr_lock:
        try:
            kept = os.dup(2)
        except OSError:  # it is closed
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)


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

    def __post_init__(self) -> None:
        """Raise ValueError for what no image is stored as."""
        if self.mode not in get_args(Mode):
            raise ValueError(f"mode: {self.mode} is not one of {', '.join(get_args(Mode))}")
        if not (self.max_side is None or self.max_side >= 1) or not 1 <= self.quality <= 100:
            raise ValueError(f"max_side {self.max_side}, quality {self.quality}: at least 1, and 1 to 100 are possible")


class EncodedImage(NamedTuple):
    """An image as it is stored, and how often each value occurs in its three channels (3, 256)."""

    payload: bytes
    jpg: bool
    width: int
    height: int
    histogram: NDArray[np.int64]


def reduced(image: NDArray[np.uint8], max_side: int | None) -> Image.Image:
    """The image, uint8 (height, width, 3), with no side above `max_side`, keeping the aspect."""
    picture = Image.fromarray(image)
    longer = max(picture.size)
    if max_side is None or longer <= max_side:
        return picture
    width, height = (max(1, round(side * max_side / longer)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BOX)  # the mean of the area, as FFCV does


def encode(image: NDArray[np.uint8], encoding: Encoding, split: Split, index: int) -> EncodedImage:
    """The image, uint8 (height, width, 3), as it is to be stored. Raises ValueError for sides that cannot be stored."""
    picture = reduced(image, encoding.max_side)
    jpg = encoding.mode == "jpg" or (
        encoding.mode == "proportion" and streams.stored_as_jpeg(split, index).random() < encoding.compress_probability
    )
    if max(picture.size) > (limit := JPEG_SIDE_LIMIT if jpg else SIDE_LIMIT):
        raise ValueError(
            f"{picture.width}x{picture.height} pixels are too large to be stored: --max-side of a conversion reduces "
            f"them to at most {limit}"
        )
    histogram = np.array(picture.histogram(), np.int64).reshape(3, 256)
    return EncodedImage(_jpeg(picture, encoding.quality) if jpg else picture.tobytes(), jpg, *picture.size, histogram)


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=quality)
    return content.getvalue()
