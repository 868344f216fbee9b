"""Any set of images in class folders."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from randwire.data.sources._base import Source, Split
from randwire.data.sources._hugging_face import parquet_folder, parquet_set
from randwire.data.sources._index import Index, class_folders
from randwire.data.sources._unpack import shown_as, unpacked
from randwire.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Folder(Source):
    """INPUT: a folder with train/CLASS/... and val/CLASS/..., images of any usual format, in folders at any depth.

    Or a zip or tar archive of such a folder, plain or compressed; or the Parquet files of a set as Hugging Face has
    them, with the names of its classes. Classes are sorted by name, but for Parquet files that number them. Photographs
    are turned upright, as their EXIF data says.
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
        indexes = self._classes_and_indexes[1]
        with shown_as(self._input, self._root):
            return indexes[split].read(index)

    def name(self, split: Split, index: int) -> str:
        return self._classes_and_indexes[1][split].name(index).replace(str(self._root), str(self._input))

    def left_out(self, split: Split) -> Mapping[str, Sequence[str]]:
        return self._classes_and_indexes[1][split].left_out

    def notes(self) -> Sequence[str]:
        with_root = [note for index in self._classes_and_indexes[1].values() for note in index.notes]
        return [note.replace(str(self._root), str(self._input)) for note in with_root]

    @property
    def _input(self) -> Path:
        assert self.input is not None
        return self.input

    @cached_property
    def _root(self) -> Path:
        """The folder with the files: INPUT, or what it was unpacked to."""
        return unpacked(self._input, self.scratch) if self._input.is_file() else self._input

    @cached_property
    def _classes_and_indexes(self) -> tuple[list[str], dict[Split, Index]]:
        with shown_as(self._input, self._root):
            if parquet := parquet_folder(self._root):
                return parquet_set(parquet, self.scratch)
            return self._in_folders(self._root)

    def _in_folders(self, root: Path) -> tuple[list[str], dict[Split, Index]]:
        if not (root / "train").is_dir() or not (root / "val").is_dir():
            raise DataError(f"{root}: must hold the folders train and val, each with a folder for each class")
        classes, train = class_folders(root / "train")
        if len(classes) < 2:
            raise DataError(f"{root / 'train'}: holds the one class {classes[0]!r}; a network needs two at least")
        return classes, {"train": train.shuffled(), "val": class_folders(root / "val", classes)[1].shuffled()}
