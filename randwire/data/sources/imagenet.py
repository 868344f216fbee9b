"""ImageNet, the ILSVRC 2012 classification set: 1,281,167 and 50,000 photographs, 1,000 classes."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from randwire.data.sources._base import SPLITS, Option, Source, Split
from randwire.data.sources._imagenet_files import WNID, misnamed, train_files, val_files
from randwire.data.sources._imagenet_labels import compare_with_folders, labels_of
from randwire.data.sources._imagenet_layout import located, parents_with_labels, unpacked_set
from randwire.data.sources._index import Index, class_folders
from randwire.data.sources._unpack import shown, shown_as
from randwire.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TRAIN_TAR, VAL_TAR = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
PUBLISHED_IMAGES: Mapping[Split, int] = {"train": 1_281_167, "val": 50_000}


class ImageNet(Source):
    """The two archives as they were published, or packed otherwise, or their files in folders.

    INPUT, if given, holds ILSVRC2012_img_train.tar, or train/ with a folder or a tar for each class;
    ILSVRC2012_img_val.tar, or val/ with folders or all images; and, but for folders in val/, the labels:
    LOC_val_solution.csv or val.txt with the name of each validation image and its WordNet ID, synset_labels.txt with
    the WordNet IDs in the order of the numbers in the images' names, or the development kit
    (ILSVRC2012_devkit_t12.tar.gz or its folder). Or INPUT is what Kaggle has, unpacked or not, or Hugging Face, as
    Parquet files or tar.gz. The options name what is elsewhere. Plain tar files are read where they are; all else that
    is packed is unpacked inside OUTPUT while it is converted. Classes are sorted by WordNet ID.
    """

    class_count = 1000
    train_images = PUBLISHED_IMAGES["train"]
    holdout = 10_000
    mode = "jpg"
    max_side = 500
    of_files = True
    upright = False
    input_optional = True
    options = {
        "train_tar": Option(f"{TRAIN_TAR}: a tar of a tar for each class; or a folder"),
        "val_tar": Option(f"{VAL_TAR}, or a folder"),
        "val_labels": Option("labels of the validation images: a text file or the development kit"),
    }

    def class_names(self) -> Sequence[str]:
        return self._train[0]

    def labels(self, split: Split) -> "NDArray[np.integer]":
        return self._index(split).labels

    def image(self, split: Split, index: int) -> bytes:
        images = self._index(split)
        with self._as_given():
            return images.read(index)

    def name(self, split: Split, index: int) -> str:
        return self._index(split).names[index]

    def left_out(self, split: Split) -> Mapping[str, Sequence[str]]:
        return self._index(split).left_out

    def notes(self) -> list[str]:
        notes = [note for split in SPLITS for note in self._index(split).notes]
        if self.input and self._root:
            notes = [shown(note, self.input, self._root) for note in notes]
        counts = {split: len(self._index(split).labels) for split in SPLITS}
        return notes + [
            f"{counts[split]:,} {split} images; the published set has {published:,}"
            for split, published in PUBLISHED_IMAGES.items()
            if counts[split] != published
        ]

    @cached_property
    def _root(self) -> Path | None:
        """The folder with the files: INPUT, or what it was unpacked to."""
        return unpacked_set(self.input, self.scratch) if self.input and self.input.is_file() else self.input

    def _as_given(self) -> AbstractContextManager[None]:
        """A block whose errors name what was unpacked as a part of INPUT."""
        root = self._root
        return shown_as(self.input, root) if self.input and root else nullcontext()

    def _index(self, split: Split) -> Index:
        return self._train[1] if split == "train" else self._val

    def _named(self, option: str) -> Path:
        """What an option names."""
        if option in self.given:
            given = Path(self.given[option])
            if not given.exists():
                raise DataError(f"{given}: no such file (--{option.replace('_', '-')})")
            return given
        raise DataError(f"imagenet: needs INPUT or --{option.replace('_', '-')}; see imagenet --help")

    def _files(self, split: Split) -> list[Path]:
        """The folder, archive or archives with the images of a split."""
        if self._root is None or f"{split}_tar" in self.given:
            return [self._named(f"{split}_tar")]
        return located(self._root, split)

    @cached_property
    def _train(self) -> tuple[list[str], Index]:
        with self._as_given():
            return self._train_images()

    @cached_property
    def _val(self) -> Index:
        classes = self._train[0]
        with self._as_given():
            return self._val_images(classes)

    def _train_images(self) -> tuple[list[str], Index]:
        paths = self._files("train")
        path, (classes, index) = paths[0], train_files(paths, self.scratch)
        if wrong := [name for name in classes if not WNID.fullmatch(name)]:
            raise DataError(f"{path}: {wrong[0]} is not a class of ImageNet such as n01440764; use the source folder")
        if len(classes) != self.class_count:
            raise DataError(f"{path}: holds {len(classes)} classes, ImageNet has 1000; use the source folder")
        if odd := misnamed(index, classes):
            name, wnid = odd[0]
            note = (
                f"{path}: {len(odd):,} images are named as of another class than their folder or tar, such as {name} "
                f"of {wnid}; their names do not count"
            )
            index = replace(index, notes=[*index.notes, note])
        return classes, index.shuffled()

    def _val_images(self, classes: Sequence[str]) -> Index:
        paths = self._files("val")
        path = paths[0]
        if both := {path.resolve() for path in paths} & {path.resolve() for path in self._files("train")}:
            raise DataError(f"{min(both)}: is named for the training and for the validation images")
        chosen = self._named("val_labels") if "val_labels" in self.given else None
        beside = [self._root or path.parent, *parents_with_labels(path), *([path] if path.is_dir() else [])]
        if path.is_dir() and any(WNID.fullmatch(inside.name) and inside.is_dir() for inside in path.iterdir()):
            index = class_folders(path, classes)[1]
            notes = compare_with_folders(index, classes, chosen, beside)
            return replace(index, notes=[*index.notes, *notes]).shuffled()
        images = val_files(paths, classes, self.scratch)
        labels, notes = labels_of(images, path, classes, chosen, beside)
        index = Index(path, images.names, labels, images.extents, images.files, images.left_out, notes)
        return index.shuffled()
