"""Any set of images in class folders."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from randwire.data.sources._base import Source, Split
from randwire.data.sources._index import Index, class_folders
from randwire.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Folder(Source):
    """INPUT: a folder with train/CLASS/... and val/CLASS/..., images of any usual format, in folders at any depth.

    Classes are sorted by name. Photographs are turned upright, as their EXIF data says.
    """

    class_count = None
    train_images = None
    mode = "jpg"
    max_side = 500
    of_files = True

    def class_names(self) -> Sequence[str]:
        return self._classes_and_indexes[0]

    def labels(self, split: Split) -> "NDArray[np.integer]":
        return self._classes_and_indexes[1][split].labels

    def image(self, split: Split, index: int) -> bytes:
        return self._classes_and_indexes[1][split].read(index)

    def name(self, split: Split, index: int) -> str:
        return self._classes_and_indexes[1][split].name(index)

    def left_out(self, split: Split) -> Mapping[str, Sequence[str]]:
        return self._classes_and_indexes[1][split].left_out

    def notes(self) -> Sequence[str]:
        return [note for index in self._classes_and_indexes[1].values() for note in index.notes]

    @cached_property
    def _classes_and_indexes(self) -> tuple[list[str], dict[Split, Index]]:
        assert self.input is not None
        if not (self.input / "train").is_dir() or not (self.input / "val").is_dir():
            raise DataError(f"{self.input}: must hold the folders train and val, each with a folder for each class")
        classes, train = class_folders(self.input / "train")
        if len(classes) < 2:
            raise DataError(f"{self.input / 'train'}: holds the one class {classes[0]!r}; a network needs two at least")
        return classes, {"train": train.shuffled(), "val": class_folders(self.input / "val", classes)[1].shuffled()}
