"""What is counted in a converted set that has been read: classes, doubles, sizes, statistics."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from randwire.data import beton
from randwire.data.convert import summary
from randwire.data.convert.read_back import ReadFile
from randwire.data.convert.summary import SplitSummary
from randwire.data.sidecar import MIN_STD, Channels, Sidecar
from randwire.data.sources import Split

CHANNELS = ("red", "green", "blue")
AS_PIXELS = 1e-4
"""Largest difference of a statistic, in 0..255, to that of dataset.json, where images are stored as pixels."""
MAX_FACTOR = 4
"""By which the standard deviation of images as JPEG may differ from that of their pixels."""
KEY = np.dtype([("checksum", "<i8"), ("size", "<u8"), ("width", "<u2"), ("height", "<u2")])
"""What equal images have in common."""


class Doubles(NamedTuple):
    """Images that equal another to the byte: beyond the first in train, in val, of val in train; how many pictures have
    more than one class. The same picture in another size or another encoding counts as another.
    """

    train: int
    val: int
    val_in_train: int
    in_several_classes: int


class Spread(NamedTuple):
    """The smallest, the middle and the largest of some numbers."""

    smallest: int
    median: int
    largest: int


class SplitFigures(NamedTuple):
    """Of a split: images of each class (classes,), pixels of the sides, stored bytes, images as JPEG."""

    per_class: NDArray[np.int64]
    width: Spread
    height: Spread
    bytes: int
    jpeg: int


class Figures(NamedTuple):
    """Of a set; mean and standard deviation are of the training images as they are read, in 0..255.

    Images that are bad count in all but these two, which are None if no training image is good.
    """

    splits: Mapping[Split, SplitFigures]
    doubles: Doubles
    mean: Channels | None
    std: Channels | None

    def to_dict(self, sidecar: Sidecar) -> dict[str, Any]:
        """For JSON; the classes by their names."""
        by_split: dict[str, dict[str, Any]] = {
            str(split): {
                "images": int(found.per_class.sum()),
                "classes": dict(zip(sidecar.classes, found.per_class.tolist(), strict=True)),
                "width": found.width._asdict(),
                "height": found.height._asdict(),
                "bytes": found.bytes,
                "jpeg": found.jpeg,
                "skipped": len(sidecar.skipped.get(split, ())),
                "left_out": dict(sidecar.left_out.get(split, {})),
            }
            for split, found in self.splits.items()
        }
        about = {
            "source": sidecar.source,
            "reading": sidecar.reading.model_dump(mode="json"),
            "encoding": sidecar.encoding,
            "options": sidecar.options,
        }
        return {**about, **by_split, "doubles": self.doubles._asdict(), "mean": self.mean, "std": self.std}


def figures(files: Mapping[Split, ReadFile], classes: int) -> Figures:
    """The figures of a set of so many classes whose files have been read."""
    splits = {split: _split_figures(file.tables, classes) for split, file in files.items()}
    doubles = _doubles(files["train"].tables, files["val"].tables)
    if not files["train"].histogram.any():
        return Figures(splits, doubles, None, None)
    return Figures(splits, doubles, *_summary(files["train"]).mean_and_std())


def warnings(sidecar: Sidecar, found: Figures, files: Mapping[Split, ReadFile]) -> list[str]:
    """What should be known before a training on the set: a line each."""
    summaries = {split: _summary(file) for split, file in files.items()}
    lines = summary.warnings(sidecar.classes, summaries) if found.mean else []
    if found.doubles.val_in_train:
        of_val = f"{found.doubles.val_in_train:,} of {found.splits['val'].per_class.sum():,} validation images"
        lines.append(f"{of_val} are also training images, to the byte")
    if found.doubles.in_several_classes:
        lines.append(f"{found.doubles.in_several_classes:,} pictures are in more than one class, to the byte")
    return lines


def other_statistics(sidecar: Sidecar, found: Figures) -> list[str]:
    """The means and standard deviations that cannot be those of the set that dataset.json tells of: a line each.

    It has them of the pixels before compression. JPEG may move a mean by the width of its steps, which are wide where
    the quality is low, and takes from a standard deviation what it does not keep of noise.
    """
    lines = []
    statistics = (("mean", found.mean, sidecar.mean), ("standard deviation", found.std, sidecar.std))
    for what, of_channels, said_of_channels in statistics:
        for channel, value, said in zip(CHANNELS, of_channels or said_of_channels, said_of_channels, strict=True):
            one, kept = (value, said) if what == "mean" else (max(value, MIN_STD), max(said, MIN_STD))
            if abs(one - kept) <= (AS_PIXELS if sidecar.quality is None else 4 + 100 / sidecar.quality):
                continue
            if sidecar.quality is None or what == "mean" or not kept / MAX_FACTOR < one < kept * MAX_FACTOR:
                lines.append(f"the {what} of the {channel} channel is {value:.3f}, and dataset.json says {said:.3f}")
    return lines


def _summary(file: ReadFile) -> SplitSummary:
    """What a conversion would have counted of the good images."""
    labels = Counter(file.tables.labels.tolist())
    return SplitSummary(file.histogram, count=len(file.good), labels=labels)


def _split_figures(tables: beton.Tables, classes: int) -> SplitFigures:
    return SplitFigures(
        np.bincount(tables.labels, minlength=classes),
        _spread(tables.images["width"]),
        _spread(tables.images["height"]),
        int(tables.sizes.sum()),
        int((tables.images["mode"] == beton.JPG).sum()),
    )


def _spread(values: NDArray[Any]) -> Spread:
    return Spread(int(values.min()), int(np.median(values)), int(values.max()))


def _doubles(train: beton.Tables, val: beton.Tables) -> Doubles:
    _, pictures = np.unique(np.concatenate([_keys(train), _keys(val)]), return_inverse=True)
    of_train, of_val = np.split(pictures, [len(train.labels)])
    pairs = np.unique(np.stack([pictures, np.concatenate([train.labels, val.labels])]), axis=1)
    return Doubles(
        len(of_train) - len(np.unique(of_train)),
        len(of_val) - len(np.unique(of_val)),
        int(np.isin(of_val, of_train).sum()),
        int((np.bincount(pairs[0]) > 1).sum()),
    )


def _keys(tables: beton.Tables) -> NDArray[Any]:
    keys = np.zeros(len(tables.labels), KEY)
    keys["checksum"], keys["size"] = tables.checksums, tables.sizes
    keys["width"], keys["height"] = tables.images["width"], tables.images["height"]
    return keys
