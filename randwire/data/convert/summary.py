"""What is counted of the images of a split while they are converted."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from randwire.data.convert.image import ConvertedImage
from randwire.data.sidecar import MIN_STD, Channels
from randwire.data.sources import Split
from randwire.names import printable

NAMES = {"train": "training", "val": "validation"}


@dataclass
class SplitSummary:
    """Of a split: value counts (3, 256), largest side, digest, number, that of each class, unusable images."""

    histogram: NDArray[np.int64] = field(default_factory=lambda: np.zeros((3, 256), np.int64))
    max_side: int = 0
    source_sha256: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    count: int = 0
    labels: Counter[int] = field(default_factory=Counter)
    skipped: list[str] = field(default_factory=list)

    def add(self, image: ConvertedImage, label: int) -> None:
        self.histogram += image.histogram
        self.max_side = max(self.max_side, image.stored.width, image.stored.height)
        self.source_sha256.update(image.source_sha256)
        self.count += 1
        self.labels[label] += 1

    def mean_and_std(self) -> tuple[Channels, Channels]:
        """Of each channel, in 0..255."""
        values, weights = np.arange(256.0), self.histogram / self.histogram.sum(axis=1, keepdims=True)
        mean = weights @ values
        std = np.sqrt((weights * (values[None, :] - mean[:, None]) ** 2).sum(axis=1))
        return _rounded(mean), _rounded(std)


def warnings(classes: Sequence[str], summaries: Mapping[Split, SplitSummary]) -> list[str]:
    """Lines about what a network would be trained on in vain: channels without contrast, classes without images."""
    lines = []
    mean, std = summaries["train"].mean_and_std()
    for colour, value, spread in zip(("red", "green", "blue"), mean, std, strict=True):
        channel = f"the {colour} channel of all training images"
        stored = f"its std is stored as {MIN_STD:g}, not {spread:.2g}"
        if not spread:
            lines.append(f"{channel} has the one value {value:g}; {stored}")
        elif spread < MIN_STD:
            lines.append(f"{channel} is nearly constant, with a mean of {value:.4g}; {stored}")
    for split, summary in summaries.items():
        if empty := [name for label, name in enumerate(classes) if not summary.labels[label]]:
            one, what = printable(empty[0]), f"no {NAMES[split]} image"
            lines.append(
                f"the class '{one}' has {what}"
                if len(empty) == 1
                else f"{len(empty):,} classes have {what}, such as '{one}'"
            )
    return lines


def _rounded(values: NDArray[np.float64]) -> Channels:
    red, green, blue = (round(float(value), 6) for value in values)
    return red, green, blue
