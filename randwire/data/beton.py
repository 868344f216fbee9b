"""FFCV's `.beton` file, version 2, with the fields `image` (RGB), `label` and `checksum` (int): write, check, read.

    header, three field descriptors, metadata (one row an image)
    pages of a fixed size, on whose borders the first one starts: the images; none crosses a border
    allocation table (one row an image: its number, offset in the file and size)

FFCV's own writer waits for ever when one of its processes fails, and FFCV's reader trusts every number of a file, up to
a crash. Hence both live here, in numpy alone; the tests read what this writes with FFCV. Damage is found wherever it
is: that of the tables by their SHA-256 when a file is opened, that of an image by its checksum whenever it is read.
"""

import hashlib
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from randwire.errors import DataError, system_text

VERSION = 2
PAGE_BYTES = 1 << 21
RAW_SIDE = math.isqrt(PAGE_BYTES // 3)
"""Pixels of a side of the largest square image that can be stored as pixels."""
RAW, JPG = 1, 0
ALIGNMENT_BYTES = 8
"""Images start at multiples of it, so that checksums are computed word by word."""

HEADER = np.dtype([("version", "<u2"), ("fields", "<u2"), ("page", "<u4"), ("samples", "<u8"), ("table", "<u8")])
FIELD = np.dtype([("type", "u1"), ("name", "S16"), ("arguments", "V1024")])
IMAGE = np.dtype([("mode", "u1"), ("width", "<u2"), ("height", "<u2"), ("offset", "<u8")])
SAMPLE = np.dtype(
    {
        "names": ["image", "label", "checksum"],
        "formats": [IMAGE, "<i8", "<i8"],
        "offsets": [0, 16, 24],
        "itemsize": 32,
    }
)
ALLOCATION = np.dtype([("sample", "<u8"), ("offset", "<u8"), ("size", "<u8")])

FIELDS = np.array([(2, b"image", b""), (1, b"label", b""), (1, b"checksum", b"")], FIELD)
START = HEADER.itemsize + FIELDS.nbytes

GOLDEN_GAMMA = 0x9E3779B97F4A7C15
MIX_FACTORS = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
"""Constants of SplitMix64 (Steele, Lea and Flood, 2014)."""


class StoredImage(NamedTuple):
    """What is stored of one image: as a JPEG file or as pixels, of `width` and `height` pixels."""

    payload: bytes
    jpg: bool
    width: int
    height: int
    label: int
    checksum: int
    name: str


class Tables(NamedTuple):
    """What a file says of its images, each column (n,) in the order of their numbers."""

    page_bytes: int
    images: np.ndarray
    """IMAGE: how each is stored, its pixels and its offset in the file."""
    labels: NDArray[np.int64]
    checksums: NDArray[np.int64]
    sizes: NDArray[np.uint64]
    """Bytes of each image in the file."""


def checksum(payload: bytes) -> int:
    """A sum over words of 64 bits, each mixed with its position by SplitMix64's finalizer; the end counts as zeros."""
    words = np.frombuffer(payload + bytes(-len(payload) % 8), "<u8")
    mixed = words + np.arange(1, len(words) + 1, dtype=np.uint64) * np.uint64(GOLDEN_GAMMA)
    for shift, factor in ((30, MIX_FACTORS[0]), (27, MIX_FACTORS[1])):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return int((mixed ^ (mixed >> np.uint64(31))).sum().astype(np.int64))


def too_large(width: int, height: int, size: int) -> str:
    """What is said of an image of `size` bytes that does not fit into a page."""
    return (
        f"{width}x{height} pixels take {size} bytes, and at most {PAGE_BYTES} can be stored: make it smaller "
        "(--max-side) or choose jpg (--mode)"
    )


def write(file: IO[bytes], images: Iterable[StoredImage], capacity: int) -> str:
    """Write at most `capacity` images to a new file; returns the SHA-256 of its tables.

    Raises DataError if an image does not fit into a page.
    """
    metadata, table = np.zeros(capacity, SAMPLE), np.zeros(capacity, ALLOCATION)
    offset = _round_up(START + metadata.nbytes)
    written = 0
    for image in images:
        size = len(image.payload)
        if size > PAGE_BYTES:
            raise DataError(f"{image.name}: {too_large(image.width, image.height, size)}")
        offset = next_offset(offset, size)
        file.seek(offset)
        file.write(image.payload)
        row = JPG if image.jpg else RAW, image.width, image.height, offset
        metadata[written] = row, image.label, image.checksum
        table[written] = written, offset, size
        offset += size
        written += 1
    end = _round_up(offset)
    file.seek(end)
    file.write(table[:written].tobytes())
    file.seek(0)
    head = np.array([(VERSION, len(FIELDS), PAGE_BYTES, written, end)], HEADER).tobytes()
    head += FIELDS.tobytes() + metadata[:written].tobytes()
    file.write(head)
    return hashlib.sha256(head + table[:written].tobytes()).hexdigest()


def next_offset(end: int, size: int) -> int:
    """Where an image of `size` bytes begins if the one before it ends at `end`: none crosses the border of a page."""
    offset = _round_up(end, ALIGNMENT_BYTES)
    return offset if offset // PAGE_BYTES == (offset + size - 1) // PAGE_BYTES else _round_up(offset)


def check(path: Path, samples: int, classes: int, side: int, tables_sha256: str) -> None:
    """Raise DataError unless `path` is a whole file of `samples` images, no side above `side`, labels below `classes`.

    Sees all damage but that of the images; about a second for a million of them. The tables are looked through although
    their SHA-256 is known: who made the file may have made dataset.json too, and the decoder trusts what passes here.
    """
    try:
        reason = _damage(path, samples, classes, side, tables_sha256)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {system_text(error)}") from None
    if reason:
        raise DataError(f"{path}: {reason}; convert the data again")


def read_tables(file: IO[bytes], samples: int) -> Tables:
    """The tables of an open file of `samples` images that `check` has passed, read only so far as it may be another.

    Raises ValueError or OSError if it does not hold so many images, or one lies outside of it.
    """
    size = os.fstat(file.fileno()).st_size
    header = np.fromfile(file, HEADER, 1)
    if not len(header):
        raise ValueError("it is empty")
    if header[0]["samples"] != samples:
        raise ValueError(f"{header[0]['samples']} images, not {samples}")
    if not START + samples * SAMPLE.itemsize <= header[0]["table"] <= size - samples * ALLOCATION.itemsize:
        raise ValueError("its tables lie outside of it")
    file.seek(START)
    metadata = np.fromfile(file, SAMPLE, samples)
    file.seek(int(header[0]["table"]))
    table = np.fromfile(file, ALLOCATION, samples)
    images, sizes = np.ascontiguousarray(metadata["image"]), table["size"][np.argsort(table["sample"])]
    if (sizes > size).any() or (images["offset"] > size - sizes).any():
        raise ValueError("an image lies outside of it")
    labels, checksums = (np.ascontiguousarray(metadata[column]) for column in ("label", "checksum"))
    return Tables(int(header[0]["page"]), images, labels, checksums, sizes)


def _damage(path: Path, samples: int, classes: int, side: int, tables_sha256: str) -> str | None:
    bytes_ = path.stat().st_size
    with open(path, "rb") as file:
        content = file.read(START)
        if len(content) < START:
            return f"cut or foreign: {bytes_} bytes do not hold a header"
        header = np.frombuffer(content, HEADER, 1)[0]
        page, count, end = int(header["page"]), int(header["samples"]), int(header["table"])
        if header["version"] != VERSION:
            return f"not a .beton file of version {VERSION}"
        if end == 0:
            return "unfinished: its writer was interrupted"
        if page == 0 or page & (page - 1):
            return f"damaged: page size {page}"
        fields = np.frombuffer(content, FIELD, len(FIELDS), HEADER.itemsize)
        if header["fields"] != len(FIELDS) or any((fields[key] != FIELDS[key]).any() for key in ("type", "name")):
            return "foreign: its fields are not `image` (RGB), `label` and `checksum` (int)"
        if count != samples:
            return f"foreign: holds {count} images, dataset.json says {samples}"
        if end % page or not START + count * SAMPLE.itemsize <= end:
            return "damaged: its allocation table is at an impossible offset"
        if bytes_ - end != count * ALLOCATION.itemsize:
            return f"cut or damaged: {bytes_} bytes where {end + count * ALLOCATION.itemsize} are due"
        metadata = np.fromfile(file, SAMPLE, count)
        file.seek(end)
        table = np.fromfile(file, ALLOCATION, count)
    if reason := _damaged_tables(metadata, table, page, end) or _damaged_values(metadata, classes, side):
        return reason
    if hashlib.sha256(content + metadata.tobytes() + table.tobytes()).hexdigest() != tables_sha256:
        return "damaged: its tables are not those that dataset.json describes"
    return None


def _damaged_tables(metadata: np.ndarray, table: np.ndarray, page: int, end: int) -> str | None:
    image = metadata["image"]
    start = START + metadata.nbytes
    offset, size = table["offset"], table["size"]
    if (np.sort(table["sample"]) != np.arange(len(table))).any():
        return "damaged: its allocation table does not list every image once"
    if (size == 0).any() or (size > page).any() or (offset < start).any() or (offset >= end).any():
        return "damaged: an image lies outside the pages"
    if (offset // page != (offset + size - 1) // page).any() or (offset % ALIGNMENT_BYTES).any():
        return "damaged: an image crosses the border of a page or of a word"
    order = np.argsort(table["sample"])
    if (image["offset"] != offset[order]).any():
        return "damaged: metadata and allocation table disagree"
    height, width = image["height"].astype(np.uint64), image["width"].astype(np.uint64)
    if ((image["mode"] == RAW) & (height * width * 3 != size[order])).any():
        return "damaged: a raw image has not the size of its pixels"
    return None


def _damaged_values(metadata: np.ndarray, classes: int, side: int) -> str | None:
    image, label = metadata["image"], metadata["label"]
    if (image["mode"] > max(RAW, JPG)).any():
        return "damaged: an image is neither raw nor jpg"
    if min(image["height"].min(), image["width"].min()) == 0 or max(image["height"].max(), image["width"].max()) > side:
        return f"damaged: an image without pixels or with more than {side} on a side"
    if (label < 0).any() or (label >= classes).any():
        return f"foreign or damaged: labels {label.min()} to {label.max()}, dataset.json knows {classes} classes"
    return None


def _round_up(offset: int, unit: int = PAGE_BYTES) -> int:
    return -(-offset // unit) * unit
