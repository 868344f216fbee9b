"""What a data source is: images and labels of two splits, read from files that the user names or from a package."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Split = Literal["train", "val"]
Mode = Literal["raw", "jpg", "proportion"]

SPLITS: tuple[Split, ...] = ("train", "val")


class Source(ABC):
    """Contract of a source. Constructing one reads nothing; reading raises DataError for anything unusable.

    `input` is the folder or file that the user names, None for an embedded source; `files` are what its `options` name.
    A source is pickled to the processes that convert, so what it holds must be small: paths and offsets, not pixels.
    """

    class_count: ClassVar[int | None]
    """How many classes there are, without reading anything; None: as many as the converted set says."""
    train_images: ClassVar[int | None]
    """How many training images the whole set has, without reading anything, for the plan of a study; None as above."""
    holdout: ClassVar[int | None] = None
    """The images that we propose to hold out of training where a study searches (`data.holdout`); None: no proposal."""
    embedded: ClassVar[bool] = False
    """Whether the images come with an installed package, so that no input is needed."""
    options: ClassVar[Mapping[str, str]] = {}
    """Further files that the command line can name, with a description of each."""
    mode: ClassVar[Mode] = "raw"
    """How images are stored unless the user says otherwise."""
    max_side: ClassVar[int | None] = None
    """The longest side of a stored image in pixels unless the user says otherwise; larger images are reduced to it."""
    upright: ClassVar[bool] = False
    """Whether image files are turned as their EXIF data says."""

    def __init__(self, input: Path | None = None, **files: Path) -> None:
        self.input, self.files = input, files

    @abstractmethod
    def class_names(self) -> Sequence[str]:
        """The names of the classes; label i means the i-th name."""

    @abstractmethod
    def labels(self, split: Split) -> "NDArray[np.integer]":
        """The labels (n,) of the images of a split, always in the same order."""

    @abstractmethod
    def image(self, split: Split, index: int) -> "NDArray[np.uint8] | bytes":
        """An image: pixels, uint8 (height, width, 3), or the content of an image file."""

    def name(self, split: Split, index: int) -> str:
        """What an image is called in a message."""
        return f"{split} image {index}"

    def notes(self) -> Sequence[str]:
        """Lines for the user about the set, such as an unusual number of images."""
        return ()

    def __init_subclass__(cls) -> None:
        assert all(re.fullmatch("[a-z_]+", name) for name in cls.options)
