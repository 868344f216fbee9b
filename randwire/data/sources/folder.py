"""Any set of images in class folders."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from randwire.arguments import non_negative_int
from randwire.data.sources._base import SPLITS, Option, Source, Split
from randwire.data.sources._folder_labels import val_index
from randwire.data.sources._folder_layout import layout
from randwire.data.sources._hugging_face import parquet_folder, parquet_set
from randwire.data.sources._index import Index, class_folders
from randwire.data.sources._unpack import shown, shown_as, unpacked_splits
from randwire.data.sources._val_share import split_off
from randwire.errors import DataError
from randwire.names import printable, quoted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def _share(text: str) -> float:
    if not 0 < (value := float(text)) < 1:
        raise ValueError
    return value


_share.__name__ = "share between 0 and 1"  # argparse names the type in its message


class Folder(Source):
    """INPUT: a folder with train/CLASS/... and val/CLASS/..., images of any usual format, in folders at any depth.

    Without val: --val-share takes a share of the training images of each class to validate, then INPUT may be a folder
    of the classes itself; or --val names the folder, such as test. Validation images without class folders have their
    labels in a file with lines of a name and a class, such as val_annotations.txt, or as --val-labels names it.

    INPUT may also be a zip or tar archive of such a folder, plain or compressed; or the Parquet files of a set as
    Hugging Face has them, with the names of its classes. Classes are sorted by name, but for Parquet files that number
    them. Photographs are turned upright, as their EXIF data says.
    """

    class_count = None
    train_images = None
    mode = "jpg"
    max_side = 500
    of_files = True
    options = {
        "train": Option("folder of the training images, in INPUT or elsewhere", metavar="FOLDER"),
        "val": Option("folder of the validation images, in INPUT or elsewhere", metavar="FOLDER"),
        "val_labels": Option("labels of validation images without class folders: lines of a name and a class"),
        "val_share": Option("share of the training images of each class that validates", _share, "SHARE"),
        "val_seed": Option("which images these are [0]", non_negative_int, "SEED"),
    }

    def class_names(self) -> Sequence[str]:
        return self._classes_and_indexes[0]

    def labels(self, split: Split) -> "NDArray[np.integer]":
        return self._classes_and_indexes[1][split].labels

    def image(self, split: Split, index: int) -> bytes:
        indexes = self._classes_and_indexes[1]
        with shown_as(self._input, self._root):
            return indexes[split].read(index)

    def name(self, split: Split, index: int) -> str:
        return shown(self._classes_and_indexes[1][split].name(index), self._input, self._root)

    def left_out(self, split: Split) -> Mapping[str, Sequence[str]]:
        return self._classes_and_indexes[1][split].left_out

    def notes(self) -> Sequence[str]:
        with_root = [note for index in self._classes_and_indexes[1].values() for note in index.notes]
        return [shown(note, self._input, self._root) for note in with_root]

    @property
    def _input(self) -> Path:
        assert self.input is not None
        return self.input

    def recorded(self) -> Mapping[str, float]:
        share = self.given.get("val_share")
        return {} if share is None else {"val_share": share, "val_seed": self.given.get("val_seed", 0)}

    @cached_property
    def _root(self) -> Path:
        """The folder with the files: INPUT, or what it was unpacked to."""
        if not self._input.exists():
            raise DataError(f"{printable(self._input)}: no such folder or archive")
        return unpacked_splits(self._input, self.scratch)

    @cached_property
    def _classes_and_indexes(self) -> tuple[list[str], dict[Split, Index]]:
        self._check_together()
        with shown_as(self._input, self._root):
            parquet = parquet_folder(self._root)
            classes, train, val = self._in_folders(self._root) if parquet is None else self._in_parquet(parquet)
            if val is None:
                train, val = split_off(train, self.given["val_share"], self.given.get("val_seed", 0))
            return classes, {"train": train.shuffled(), "val": val.shuffled()}

    def _check_together(self) -> None:
        """Raise DataError for options that would change nothing beside the others."""
        if "val_share" not in self.given and "val_seed" in self.given:
            raise DataError("--val-seed: is of --val-share, which is not given")
        for option in ("val", "val_labels"):
            if "val_share" in self.given and option in self.given:
                name = option.replace("_", "-")
                raise DataError(f"--{name}: is for validation images that are there, and --val-share for sets without")

    def _in_folders(self, root: Path) -> tuple[list[str], Index, Index | None]:
        """The classes, the training and the validation images; None: a share of the former takes their place."""
        found = layout(root, self.given.get("train"), self.given.get("val"), "val_share" in self.given)
        classes, train = class_folders(found.train)
        if len(classes) < 2:
            raise DataError(
                f"{printable(found.train)}: holds the one class {quoted(classes[0])}; a network needs two at least"
            )
        if found.others:
            train = replace(train, notes=[*train.notes, f"{root}: not read: {', '.join(found.others)}"])
        if found.val is None:
            return classes, train, None
        labels = self.given.get("val_labels")
        if labels is not None and not labels.is_file():
            raise DataError(f"--val-labels: {labels}: {'is no file' if labels.exists() else 'no such file'}")
        return classes, train, val_index(found.val, classes, labels, found.val.parent)

    def _in_parquet(self, folder: Path) -> tuple[list[str], Index, Index | None]:
        for option in ("train", "val", "val_labels"):
            if option in self.given:
                name = option.replace("_", "-")
                raise DataError(f"--{name}: is of images in folders, and {folder} holds Parquet files")
        classes, indexes = parquet_set(folder, self.scratch, ("train",) if "val_share" in self.given else SPLITS)
        return classes, indexes["train"], indexes.get("val")
