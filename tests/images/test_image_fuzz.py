"""Damaged image files of every format: pixels, or one line with the name; never another error, output or a crash.

RANDWIRE_MUTATIONS is the number of files that are tried.
"""

import contextlib
import io
import os
import struct
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from randwire.data import codec
from randwire.data.reading import Reading
from randwire.errors import DataError

MUTATIONS = int(os.environ.get("RANDWIRE_MUTATIONS", "10000"))
PIXELS = 2048
"""Larger images are refused: the mutations of numbers in headers would make many."""
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F")
TYPE_SIZES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8)
"""Bytes of a value of each type of EXIF."""
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def exif() -> bytes:
    """EXIF data with tags of many types, so that mutations find some to damage."""
    values = {256: 4, 270: "title", 271: "maker", 274: 6, 282: 72.0, 305: "program", 306: "2020:01:01 00:00:00",
              33432: "owner", 40961: 1, 42016: "number"}  # fmt: skip
    data = Image.Exif()
    data.update(values)
    data.get_ifd(34665).update({33434: 0.01, 34855: 100, 36864: b"0230", 37500: b"maker's note"})
    data.get_ifd(34853).update({1: "N", 2: (1.0, 2.0, 3.0)})
    return data.tobytes()


def seeds() -> list[bytes]:
    """Small files of every format that Pillow writes and reads, in every mode that it takes."""
    Image.init()
    picture = Image.fromarray(np.kron(np.arange(64).reshape(8, 8) * 4, np.ones((4, 4))).astype(np.uint8))
    tags = {274: 6, 270: "title", 282: 72.0, 305: "program"}
    options: dict[str, dict[str, Any]] = {format: {"exif": exif()} for format in ("JPEG", "MPO", "PNG", "WEBP")}
    options |= {"AVIF": {"exif": exif(), "speed": 10}, "ICO": {"sizes": [(16, 16)]}, "TIFF": {"tiffinfo": tags}}
    found = []
    for format in sorted(set(Image.SAVE) & set(Image.OPEN) | {"MPO"}):
        for mode in MODES:
            content, image = io.BytesIO(), picture.convert(mode)
            with contextlib.suppress(Exception), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                image.save(content, format, **options.get(format, {}))
                with Image.open(io.BytesIO(content.getvalue())) as opened:
                    opened.load()
                found.append(content.getvalue())
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"):
        content = io.BytesIO()
        picture.convert("RGB").save(content, "TIFF", compression=compression, tiffinfo=tags)
        found.append(content.getvalue())
    return found


def flipped(content: bytearray, draw: np.random.Generator, other: bytes) -> None:
    for _ in range(draw.integers(1, 9)):
        content[draw.integers(len(content))] = draw.integers(256)


def in_head(content: bytearray, draw: np.random.Generator, other: bytes) -> None:
    for _ in range(draw.integers(1, 4)):
        content[draw.integers(min(64, len(content)))] = draw.integers(256)


def cut(content: bytearray, draw: np.random.Generator, other: bytes) -> None:
    del content[draw.integers(len(content)) :]


def spliced(content: bytearray, draw: np.random.Generator, other: bytes) -> None:
    start, length = draw.integers(len(other)), draw.integers(1, 200)
    place = draw.integers(len(content))
    content[place : place + draw.integers(0, 2) * length] = other[start : start + length]


def numbers(content: bytearray, draw: np.random.Generator, other: bytes) -> None:
    """A number of the header, of EXIF or of a length becomes an extreme one."""
    for _ in range(draw.integers(1, 3)):
        place, width = draw.integers(len(content)), int(draw.choice([1, 2, 4]))
        value = int(draw.choice(EXTREMES)) & (1 << 8 * width) - 1
        content[place : place + width] = value.to_bytes(width, "little" if draw.random() < 0.5 else "big")


def retyped(content: bytearray, draw: np.random.Generator, other: bytes) -> None:
    """The entries of EXIF, or of a TIFF, get other types, numbers of values, values."""
    found = [place for sign in (b"II*\0", b"MM\0*") if (place := content.find(sign)) >= 0]
    if not found:
        return flipped(content, draw, other)
    order = "<" if content[found[0]] == ord("I") else ">"
    with contextlib.suppress(struct.error):
        place = found[0] + struct.unpack_from(order + "I", content, found[0] + 4)[0]
        count = 1 + min(40, struct.unpack_from(order + "H", content, place)[0])
        for _ in range(draw.integers(1, 4)):
            entry = place + 2 + 12 * int(draw.integers(count))
            kind = int(draw.integers(len(TYPE_SIZES)))
            struct.pack_into(order + "H", content, entry + 2, kind)
            if draw.random() < 0.5:
                struct.pack_into(order + "I", content, entry + 4, int(draw.choice([0, 1, 2, 4, 100])))
            if draw.random() < 0.3:
                struct.pack_into(order + "I", content, entry + 8, int(draw.choice(EXTREMES)))
    return None


WAYS: tuple[Callable[[bytearray, np.random.Generator, bytes], None], ...] = (
    flipped, in_head, cut, spliced, numbers, retyped,
)  # fmt: skip


@pytest.mark.image_data(
    "C", "10,000 damaged files of all formats (200,000 by hand)", "pixels, or one line with the name"
)
@pytest.mark.timeout(0)
def test_damaged_files_are_one_named_line(capfd: pytest.CaptureFixture[str]) -> None:
    files, draw = seeds(), np.random.default_rng(int(os.environ.get("RANDWIRE_SEED", "17")))
    assert len(files) > 50
    reading, read, failed = Reading(max_pixels=PIXELS, value_range=(0, 255)), 0, 0
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for number in range(MUTATIONS):
            content = bytearray(files[draw.integers(len(files))])
            for _ in range(draw.integers(1, 3)):
                if content:
                    WAYS[draw.integers(len(WAYS))](content, draw, files[draw.integers(len(files))])
            try:
                pixels = codec.pixels(bytes(content), "the file", reading)
            except DataError as error:
                line, failed = str(error), failed + 1
            else:
                line, read = "the file: ", read + 1
                assert pixels.dtype == np.uint8
                assert pixels.ndim == 3
                assert pixels.shape[2] == 3
                assert 0 < pixels.size <= 3 * PIXELS
            assert line.startswith("the file: "), number
            assert line.isprintable(), number
    assert min(read, failed) > MUTATIONS / 10
    assert not told
    assert capfd.readouterr() == ("", "")
