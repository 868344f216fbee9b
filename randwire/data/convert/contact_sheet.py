"""A picture with a few images of each class as a network sees them: training crops and validation crops."""

import math
import mmap
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from randwire import streams
from randwire.config import DataConfig
from randwire.data import beton
from randwire.data.convert.lettering import Lettering
from randwire.data.convert.read_back import Ids, ReadFile
from randwire.data.decoder import decode
from randwire.data.sources import SPLITS, Split

MAX_CLASSES = 1000
"""Classes on a sheet; of more, so many are shown, evenly spread."""
MARGIN, GAP, BETWEEN_SPLITS, BETWEEN_CLASSES = 16, 2, 8, 14
"""Pixels around all, between crops, between training and validation, between classes."""
LETTERS, LINE = 12, 17
"""Height of letters and of a line of them."""
GROUND, INK, PALE = "#ffffff", "#1f2328", "#d0d7de"


class Layout(NamedTuple):
    """Pixels of a crop's side on the sheet, crops of a class by split, and the classes side by side."""

    side: int
    crops: Mapping[Split, int]
    columns: int

    @property
    def width(self) -> int:
        """Pixels of a class."""
        return sum(self.crops.values()) * (self.side + GAP) + BETWEEN_SPLITS

    @property
    def height(self) -> int:
        return LINE + self.side + BETWEEN_CLASSES


def layout(classes: int, resolution: int) -> Layout:
    """The layout for so many classes: fewer and smaller crops of each where there are many, the sheet about square."""
    side, train, val = next(
        (side, train, val)
        for most, side, train, val in (
            (4, 160, 6, 3),
            (12, 96, 8, 4),
            (40, 80, 6, 3),
            (120, 64, 4, 2),
            (400, 48, 3, 1),
            (classes, 48, 2, 1),
        )
        if classes <= most
    )
    if resolution < side:  # enlarged by a whole number, so that each pixel is seen
        side = side // resolution * resolution
    one = Layout(side, {"train": train, "val": val}, 1)
    columns = round(math.sqrt(classes * one.height / (one.width + BETWEEN_CLASSES)))
    return one._replace(columns=min(max(1, columns), classes))


class Crops:
    """Images of a file as the loader gives them in the first epoch of a training with seed 0, or in evaluation."""

    def __init__(self, path: Path, tables: beton.Tables, split: Split, config: DataConfig) -> None:
        with open(path, "rb") as file:
            self._data = np.frombuffer(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ), np.uint8)
        self._tables, self._train, self._config = tables, split == "train", config
        self._key = streams.images(0, 0)[1]

    def __call__(self, ids: Ids) -> NDArray[np.uint8]:
        """The images `ids` (n,), which must not be damaged, as uint8 (n, R, R, 3)."""
        config, tables = self._config, self._tables
        images = np.empty((len(ids), config.resolution, config.resolution, 3), np.uint8)
        area, aspect = np.array(config.crop_area, np.float64), np.array(config.crop_aspect, np.float64)
        decode(
            self._data, tables.images, tables.sizes, tables.checksums, ids, images, int(self._train), self._key, area,
            aspect, config.flip, config.eval_crop,
        )  # fmt: skip
        return images


def chosen(good: Ids, labels: NDArray[np.int64], count: int) -> dict[int, Ids]:
    """For each label, at most `count` of the images `good`, evenly spread over those of the class."""
    by_label = good[np.argsort(labels[good], kind="stable")]
    ends = np.searchsorted(labels[by_label], np.arange(labels.max() + 2))
    found = {}
    for label, (first, last) in enumerate(pairwise(ends)):
        places = np.linspace(first, last, min(count, last - first), endpoint=False).astype(int)
        found[label] = by_label[places]
    return found


def contact_sheet(
    folder: Path, files: Mapping[Split, ReadFile], classes: Sequence[str], config: DataConfig, threads: int
) -> Image.Image:
    """The sheet of the set in `folder`, RGB; images that are bad are left out."""
    shown = np.unique(np.linspace(0, len(classes) - 1, min(MAX_CLASSES, len(classes))).astype(int)).tolist()
    form = layout(len(shown), config.resolution)
    head = _head(folder, len(classes), shown, form, config)
    rows = math.ceil(len(shown) / form.columns)
    width = form.columns * (form.width + BETWEEN_CLASSES) - BETWEEN_CLASSES
    lettering = Lettering([*head, *(classes[label] for label in shown)], LETTERS)
    top = MARGIN + len(head) * LINE + BETWEEN_CLASSES
    sheet = Image.new("RGB", (max(width, 640) + 2 * MARGIN, top + rows * form.height + MARGIN), GROUND)
    drawing = ImageDraw.Draw(sheet)
    for number, line in enumerate(head):
        text, font = lettering.fitted(line, sheet.width - 2 * MARGIN)
        drawing.text((MARGIN, MARGIN + number * LINE), text, INK, font)
    crops = {split: Crops(folder / f"{split}.beton", files[split].tables, split, config) for split in SPLITS}
    ids = {split: chosen(files[split].good, files[split].tables.labels, form.crops[split]) for split in SPLITS}
    nothing = np.empty(0, np.int64)

    def strip(label: int) -> Image.Image:
        return _strip(form, {split: crops[split](ids[split].get(label, nothing)) for split in SPLITS})

    with ThreadPoolExecutor(threads, "randwire-sheet") as pool:
        for number, (label, picture) in enumerate(zip(shown, pool.map(strip, shown), strict=True)):
            column, row = divmod(number, rows)
            left, y = MARGIN + column * (form.width + BETWEEN_CLASSES), top + row * form.height
            text, font = lettering.fitted(classes[label], form.width)
            drawing.text((left, y), text, INK, font)
            sheet.paste(picture, (left, y + LINE))
    return sheet


def _head(folder: Path, classes: int, shown: Sequence[int], form: Layout, config: DataConfig) -> list[str]:
    of = f"{len(shown):,} of {classes:,}" if len(shown) < classes else f"{classes:,}"
    side = config.resolution
    area = " to ".join(f"{100 * share:g}" for share in config.crop_area)
    flip = f", flipped with probability {config.flip:g}" if config.flip else ""
    size = "" if side == form.side else f", shown at {form.side}x{form.side}"
    return [
        f"{folder}: {of} classes, {side}x{side} pixels{size}",
        f"left: training crops of {area} % of the area{flip}",
        f"right: validation crops, the central {100 * config.eval_crop:g} % of the shorter side",
    ]


def _strip(form: Layout, crops: Mapping[Split, NDArray[np.uint8]]) -> Image.Image:
    """The crops of a class in a row; a frame stands for each that the class has not got."""
    strip = Image.new("RGB", (form.width, form.side), GROUND)
    drawing = ImageDraw.Draw(strip)
    left = 0
    for split, count in form.crops.items():
        for number in range(count):
            if number < len(crops[split]):
                picture = Image.fromarray(crops[split][number])
                enlarged = form.side > picture.width
                how = Image.Resampling.NEAREST if enlarged else Image.Resampling.BOX
                strip.paste(picture.resize((form.side, form.side), how), (left, 0))
            else:
                drawing.rectangle((left, 0, left + form.side - 1, form.side - 1), outline=PALE)
            left += form.side + GAP
        left += BETWEEN_SPLITS
    return strip
