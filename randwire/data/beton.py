"""FFCV's `.beton` file, version 2, with the fields `image` (RGB) and `label` (int): writing it and checking it.

    header, two field descriptors, metadata (one row an image)
    pages of a fixed size, on whose borders the first one starts: the images; none crosses a border
    allocation table (one row an image: its number, place and size)

FFCV's own writer waits for ever when a worker fails, and FFCV's reader trusts every number of a file, up to a crash.
Hence both live here, in numpy alone; the tests read what this writes with FFCV, and the other way round.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from randwire.data.errors import DataError
from randwire.data.sources import Mode

VERSION = 2
PAGE = 1 << 21
JPEG_QUALITY = 90
MODES: dict[Mode, int] = {"jpg": 0, "raw": 1}

HEADER = np.dtype([("version", "<u2"), ("fields", "<u2"), ("page", "<u4"), ("samples", "<u8"), ("table", "<u8")])
FIELD = np.dtype([("type", "u1"), ("name", "S16"), ("arguments", "V1024")])
IMAGE = np.dtype([("mode", "u1"), ("width", "<u2"), ("height", "<u2"), ("place", "<u8")])
SAMPLE = np.dtype({"names": ["image", "label"], "formats": [IMAGE, "<i8"], "offsets": [0, 16], "itemsize": 24})
ALLOCATION = np.dtype([("sample", "<u8"), ("place", "<u8"), ("size", "<u8")])

FIELDS = np.array([(2, b"image", b""), (1, b"label", b"")], FIELD)
START = HEADER.itemsize + FIELDS.nbytes


@dataclass
class Pixels:
    """How often each value occurs in each channel, of which exact means and standard deviations come."""

    side: int = 0
    histogram: NDArray[np.int64] = field(default_factory=lambda: np.zeros((3, 256), np.int64))

    def add(self, image: NDArray[np.uint8]) -> None:
        self.side = max(self.side, *image.shape[:2])
        for channel, counts in enumerate(self.histogram):
            counts += np.bincount(image[:, :, channel].ravel(), minlength=256)

    @property
    def mean(self) -> NDArray[np.float64]:
        return self._average(np.arange(256.0)[None, :])

    @property
    def std(self) -> NDArray[np.float64]:
        return np.sqrt(self._average((np.arange(256.0)[None, :] - self.mean[:, None]) ** 2))

    def _average(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        average: NDArray[np.float64] = (self.histogram * values).sum(axis=1) / self.histogram.sum(axis=1)
        return average


def write(file: IO[bytes], samples: Iterable[tuple[NDArray[np.uint8], int]], count: int, mode: Mode) -> Pixels:
    """Write `count` samples, images uint8 (height, width, 3) with their labels, to a new file.

    Raises DataError if an image does not fit into a page or if there are more or fewer samples than `count`.
    """
    pixels = Pixels()
    metadata, table = np.zeros(count, SAMPLE), np.zeros(count, ALLOCATION)
    place = _round_up(START + metadata.nbytes)
    written = 0
    file.seek(place)
    for image, label in samples:
        if written == count:
            raise DataError(f"the source yields more than the {count} images it announced")
        height, width, _ = image.shape
        payload = image.tobytes() if mode == "raw" else _jpeg(image)
        if len(payload) > PAGE or max(height, width) >= 1 << 16:
            raise DataError(f"image {written} of {width}x{height} pixels is too large to be stored as {mode}")
        if place // PAGE != (place + len(payload) - 1) // PAGE:
            place = _round_up(place)
            file.seek(place)
        file.write(payload)
        metadata[written] = (MODES[mode], width, height, place), label
        table[written] = written, place, len(payload)
        pixels.add(image)
        place += len(payload)
        written += 1
    if written != count:
        raise DataError(f"the source yields {written} images, not the {count} it announced")
    end = _round_up(place)
    file.seek(end)
    file.write(table.tobytes())
    file.seek(0)
    file.write(np.array([(VERSION, len(FIELDS), PAGE, count, end)], HEADER).tobytes())
    file.write(FIELDS.tobytes() + metadata.tobytes())
    return pixels


def check(path: Path, samples: int, classes: int, side: int) -> None:
    """Raise DataError unless `path` is a whole file of `samples` images, no side above `side`, labels below `classes`.

    Sees every structural damage, none of the pixels; about a second for a million images.
    """
    try:
        reason = _damage(path, samples, classes, side)
    except OSError as error:
        reason = error.strerror or "cannot be read"
    if reason:
        raise DataError(f"{path}: {reason}; convert the data again")


def _damage(path: Path, samples: int, classes: int, side: int) -> str | None:
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
            return "foreign: its fields are not `image` (RGB) and `label` (int)"
        if count != samples:
            return f"foreign: holds {count} images, dataset.json says {samples}"
        if end % page or not START + count * SAMPLE.itemsize <= end:
            return "damaged: its allocation table is at an impossible place"
        if bytes_ - end != count * ALLOCATION.itemsize:
            return f"cut or damaged: {bytes_} bytes where {end + count * ALLOCATION.itemsize} are due"
        metadata = np.fromfile(file, SAMPLE, count)
        file.seek(end)
        table = np.fromfile(file, ALLOCATION, count)
    return _damaged_tables(metadata, table, page, end) or _damaged_values(metadata, classes, side)


def _damaged_tables(metadata: np.ndarray, table: np.ndarray, page: int, end: int) -> str | None:
    image = metadata["image"]
    start = START + metadata.nbytes
    place, size = table["place"], table["size"]
    if (np.sort(table["sample"]) != np.arange(len(table))).any():
        return "damaged: its allocation table does not list every image once"
    if (size == 0).any() or (size > page).any() or (place < start).any() or (place >= end).any():
        return "damaged: an image lies outside the pages"
    if (place // page != (place + size - 1) // page).any():
        return "damaged: an image crosses the border of a page"
    order = np.argsort(table["sample"])
    if (image["place"] != place[order]).any():
        return "damaged: metadata and allocation table disagree"
    height, width = image["height"].astype(np.uint64), image["width"].astype(np.uint64)
    if ((image["mode"] == MODES["raw"]) & (height * width * 3 != size[order])).any():
        return "damaged: a raw image has not the size of its pixels"
    return None


def _damaged_values(metadata: np.ndarray, classes: int, side: int) -> str | None:
    image, label = metadata["image"], metadata["label"]
    if (image["mode"] > max(MODES.values())).any():
        return "damaged: an image is neither raw nor jpg"
    if min(image["height"].min(), image["width"].min()) == 0 or max(image["height"].max(), image["width"].max()) > side:
        return f"damaged: an image without pixels or with more than {side} on a side"
    if (label < 0).any() or (label >= classes).any():
        return f"foreign or damaged: labels {label.min()} to {label.max()}, dataset.json knows {classes} classes"
    return None


def _round_up(place: int) -> int:
    return -(-place // PAGE) * PAGE


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(image).save(content, "JPEG", quality=JPEG_QUALITY)
    return content.getvalue()
