"""What a data source is: images and labels of two splits, read from files that the user names or from a package."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Split = Literal["train", "val"]
Mode = Literal["raw", "jpg", "proportion"]

SPLITS: tuple[Split, ...] = ("train", "val")


class Option(NamedTuple):
    """An option of a source on the command line: what it means, and how its text is read; `type` raises ValueError."""

    help: str
    type: Callable[[str], Any] = Path
    metavar: str = "PATH"


class Source(ABC):
    """Contract of a source. Constructing one reads nothing; reading raises DataError for anything unusable.

    `input` is the folder or file that the user names, None for an embedded source; `given` are the values of its
    `options`. `scratch` is a folder for what has to be unpacked: it is there from before anything is read until the
    conversion has ended; None: nothing is converted, and what cannot be read in place is refused.
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
    options: ClassVar[Mapping[str, Option]] = {}
    """What else the command line can name."""
    input_optional: ClassVar[bool] = False
    """Whether the options can name all that INPUT holds."""
    mode: ClassVar[Mode] = "raw"
    """How images are stored unless the user says otherwise."""
    max_side: ClassVar[int | None] = None
    """The longest side of a stored image in pixels unless the user says otherwise; larger images are reduced to it."""
    of_files: ClassVar[bool] = False
    """Whether its images are image files: how such are read can be chosen."""
    upright: ClassVar[bool] = True
    """Whether image files are turned as their EXIF data says."""

    def __init__(self, input: Path | None = None, **given: Any) -> None:
        self.input, self.given = input, given
        self.scratch: Path | None = None

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

    def left_out(self, split: Split) -> Mapping[str, Sequence[str]]:
        """What was found among the images of a split and is none of them: paths, by the reason."""
        return {}

    def recorded(self) -> Mapping[str, float]:
        """The options that decide which images a split has, for dataset.json."""
        return {}

    def __init_subclass__(cls) -> None:
        assert all(re.fullmatch("[a-z_]+", name) for name in cls.options)
