"""Image files made without the code under test, and how it reads them."""

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from randwire.data import codec
from randwire.data.reading import Reading
from randwire.errors import DataError

BACKGROUND = (10, 200, 77)


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, format, **options)
    return content.getvalue()


def tiff(values: NDArray[Any], **options: Any) -> bytes:
    content = io.BytesIO()
    tifffile.imwrite(content, values, **options)
    return content.getvalue()


def coded(suffix: str, values: NDArray[Any]) -> bytes:
    """Written by OpenCV, whose colours are blue, green, red."""
    done, content = cv2.imencode(suffix, values[..., ::-1] if values.ndim == 3 else values)
    assert done
    return content.tobytes()


def png(width: int, height: int, bits: int, colour: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of given rows, each with its filter byte."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        content += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return content


def three(gray: NDArray[Any]) -> NDArray[np.uint8]:
    return np.stack([gray] * 3, axis=2).astype(np.uint8)


def over(pixels: NDArray[Any], background: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Pixels with alpha over a background, in floats, rounded."""
    alpha = pixels[..., 3:] / 255.0
    laid: NDArray[np.uint8] = np.floor(pixels[..., :3] * alpha + np.array(background) * (1 - alpha) + 0.5).astype(
        np.uint8
    )
    return laid


def transparent() -> NDArray[np.uint8]:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 4), dtype=np.uint8)
    pixels[0, :, 3], pixels[1, :, 3] = 0, 255
    return pixels


def read(content: bytes, **chosen: Any) -> NDArray[np.uint8]:
    return codec.pixels(content, "x", Reading(**chosen))


def refused(content: bytes, *words: str, **chosen: Any) -> None:
    with pytest.raises(DataError) as error:
        codec.pixels(content, "some.file", Reading(**chosen))
    assert str(error.value).startswith("some.file: ")
    assert all(word in str(error.value) for word in words)
