"""What a data source is: RGB images and labels of two splits, read from an input folder or from a package."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Split = Literal["train", "val"]
Mode = Literal["raw", "jpg"]

SPLITS: tuple[Split, ...] = ("train", "val")


class Source(ABC):
    """Contract of a source. Constructing one reads nothing; reading raises DataError for anything unusable.

    `input` is the folder or file that the user names, and None for an embedded source.
    """

    class_count: ClassVar[int]
    """How many classes there are, known without reading anything."""
    train_images: ClassVar[int]
    """How many training images the whole set has, known without reading anything: what a study is planned by."""
    embedded: ClassVar[bool] = False
    """Whether the images come with an installed package, so that no input is needed."""
    mode: ClassVar[Mode] = "raw"
    """How images are stored: raw pixels, or jpg of quality 90."""

    def __init__(self, input: Path | None = None) -> None:
        self.input = input

    @abstractmethod
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes; label i means the i-th name."""

    @abstractmethod
    def sizes(self) -> Mapping[Split, int]:
        """The number of images of each split."""

    @abstractmethod
    def images(self, split: Split) -> Iterator[tuple["NDArray[np.uint8]", int]]:
        """The images of a split, uint8 (height, width, 3), each with its label, always in the same order."""
