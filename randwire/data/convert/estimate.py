"""The space that a converted set will take, from some of its images."""

import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from randwire.data import beton
from randwire.data.codec import Encoding
from randwire.data.convert.image import ConvertedImage, UnusableImage, convert_image
from randwire.data.reading import Reading
from randwire.data.sources import SPLITS, Source, Split
from randwire.errors import DataError, one_line
from randwire.names import printable

PROBED_IMAGES = 48
"""Images of a split that are encoded to know how much space all will need."""
REPEATS = 50
"""How often they are laid one behind the other, to see how they fill pages."""
SPACE_FACTOR = 1.05
"""Of the estimate must be free."""
USUAL_ENCODINGS = (
    Encoding("jpg", 500),
    Encoding("jpg", 400),
    Encoding("jpg", 256),
    Encoding("proportion", 400),
    Encoding("raw", 400),
    Encoding("raw", 256),
)


def estimated_bytes(
    source: Source, labels: "Mapping[Split, NDArray[np.integer]]", encoding: Encoding, reading: Reading
) -> float:
    """Bytes that the files of all splits will take; `labels` are those of their images."""
    return sum(
        _bytes_of_split(_probe(source, split, len(labels[split]), encoding, reading), len(labels[split]))
        for split in SPLITS
    )


def _probe(
    source: Source, split: Split, count: int, encoding: Encoding, reading: Reading
) -> list[ConvertedImage | UnusableImage]:
    """Images that are spread evenly over the `count` of a split."""
    probed = np.unique(np.linspace(0, count - 1, min(PROBED_IMAGES, count)).astype(int))
    return [convert_image(source, split, int(index), encoding, reading) for index in probed]


def _bytes_of_split(probed: list[ConvertedImage | UnusableImage], count: int) -> float:
    sizes = [len(image.stored.payload) for image in probed if isinstance(image, ConvertedImage)]
    rows = beton.SAMPLE.itemsize + beton.ALLOCATION.itemsize
    return count * (_bytes_each(sizes) + rows) + 3 * beton.PAGE_BYTES


def _bytes_each(sizes: list[int]) -> float:
    """Bytes of a file for each of many images of such sizes, with what stays empty at the ends of pages."""
    end = 0
    for size in sizes * REPEATS:
        end = beton.next_offset(end, size) + size
    return end / (len(sizes) * REPEATS) if sizes else 0.0


def check_space(
    source: Source,
    labels: "Mapping[Split, NDArray[np.integer]]",
    encoding: Encoding,
    reading: Reading,
    folder: Path,
    output: Path,
    progress: bool,
) -> None:
    """Raise DataError unless there is room for the set in `folder`, where the files of `output` are made."""
    needed = estimated_bytes(source, labels, encoding, reading)
    free = shutil.disk_usage(folder).free
    if progress:
        counts = ", ".join(f"{len(labels[split]):,} {split}" for split in SPLITS)
        print(f"{counts} images will take about {needed / 1e9:,.2f} GB; {free / 1e9:,.2f} GB are free", file=sys.stderr)
    if needed * SPACE_FACTOR > free:
        raise DataError(
            f"{printable(output)}: needs about {needed * SPACE_FACTOR / 1e9:,.2f} GB and {free / 1e9:,.2f} GB are free "
            "there; choose another disk or a smaller --max-side (--estimate shows what each would take)"
        )


def print_estimate(source: Source, chosen: Encoding, reading: Reading) -> None:
    """Print what the set would take on disk as chosen, and as some usual choices.

    Raises DataError if none of the images of a split that were looked at can be used; some are a warning.
    """
    labels = {split: source.labels(split) for split in SPLITS}
    as_chosen = 0.0
    for split in SPLITS:
        probed = _probe(source, split, len(labels[split]), chosen, reading)
        as_chosen += _bytes_of_split(probed, len(labels[split]))
        if unusable := [image.reason for image in probed if isinstance(image, UnusableImage)]:
            line = f"{len(unusable)} of {len(probed)} images of {split} that were looked at cannot be used"
            if len(unusable) == len(probed):
                raise DataError(f"{line}; {unusable[0]}")
            print(f"warning: {line}; {one_line(unusable[0])}", file=sys.stderr)
    print(f"{'mode':<12}{'max side':>9}{'quality':>9}{'GB':>10}")
    others = (replace(usual, quality=chosen.quality) for usual in USUAL_ENCODINGS)
    for encoding in (chosen, *(other for other in others if other != chosen)):
        size = as_chosen if encoding is chosen else estimated_bytes(source, labels, encoding, reading)
        quality = "-" if encoding.mode == "raw" else str(encoding.quality)
        mark = "  as chosen" if encoding is chosen else ""
        print(f"{encoding.mode:<12}{encoding.max_side or 'any':>9}{quality:>9}{size / 1e9:>10.2f}{mark}")
