"""What is counted of the images of a split while they are converted."""

import hashlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from randwire.data.convert.image import ConvertedImage
from randwire.data.sidecar import Channels


@dataclass
class SplitSummary:
    """What dataset.json says of a split: value counts (3, 256), largest side, digest, number, unusable images."""

    histogram: NDArray[np.int64] = field(default_factory=lambda: np.zeros((3, 256), np.int64))
    max_side: int = 0
    source_sha256: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    count: int = 0
    skipped: list[str] = field(default_factory=list)

    def add(self, image: ConvertedImage) -> None:
        self.histogram += image.histogram
        self.max_side = max(self.max_side, image.stored.width, image.stored.height)
        self.source_sha256.update(image.source_sha256)
        self.count += 1

    def mean_and_std(self) -> tuple[Channels, Channels]:
        """Of each channel, in 0..255."""
        values, weights = np.arange(256.0), self.histogram / self.histogram.sum(axis=1, keepdims=True)
        mean = weights @ values
        std = np.sqrt((weights * (values[None, :] - mean[:, None]) ** 2).sum(axis=1))
        return _rounded(mean), _rounded(std)


def _rounded(values: NDArray[np.float64]) -> Channels:
    red, green, blue = (round(float(value), 6) for value in values)
    return red, green, blue
