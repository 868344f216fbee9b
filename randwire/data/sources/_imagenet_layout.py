"""Where the files of ImageNet are in a folder: under the names of those who publish it."""

import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from randwire.data.sources._archives import SUFFIXES, TAR_SUFFIXES, members
from randwire.data.sources._base import Split
from randwire.data.sources._imagenet_files import CLASS_TAR, WNID
from randwire.data.sources._parquet import parts
from randwire.data.sources._sift import is_junk
from randwire.data.sources._unpack import unpacked
from randwire.errors import DataError
from randwire.storage import contents

ROOTS = (".", "ILSVRC/Data/CLS-LOC", "Data/CLS-LOC", "data")
"""Below INPUT: as published, Kaggle's two, Hugging Face's."""
_SPLITS: Mapping[Split, Sequence[str]] = {"train": ("train",), "val": ("val", "validation")}
NAMES: Mapping[Split, Sequence[str]] = {
    split: (
        *(f"ILSVRC2012_img_{split}{suffix}" for suffix in (*TAR_SUFFIXES, "")),
        *(f"{name}{suffix}" for name in names for suffix in ("", *SUFFIXES)),
    )
    for split, names in _SPLITS.items()
}
"""Archives before folders: they are whole, or it is told."""
PARTS: Mapping[Split, str] = {"train": r"train_images_(\d+)\.tar\.gz", "val": r"val_images(?:_(\d+))?\.tar\.gz"}
"""Hugging Face's archives."""
PARQUET: Mapping[Split, Sequence[str]] = {"train": ("train",), "val": ("validation", "val")}
"""Its Parquet files: what they are called by."""
NOT_NEEDED = r"(^|/)ILSVRC/(Annotations|Data/CLS-LOC/test)/"
"""Of Kaggle's archive."""
VAL_NAME = re.compile(r"ILSVRC2012_val_\d+(_n\d{8})?\.\w+")


def located(input: Path, split: Split) -> list[Path]:
    """The folder, the archive or the archives with the images of a split. Raises DataError if there are none."""
    if not input.is_dir():
        raise DataError(
            f"{input}: {'is a file; name the folder that holds it' if input.exists() else 'no such folder'}"
        )
    for root in (input / root for root in ROOTS):
        if not root.is_dir():
            continue
        folders = [root / name for name in _SPLITS[split] if (root / name).is_dir()]
        if len({path.resolve() for path in folders}) > 1:
            names = " and ".join(path.name for path in folders)
            raise DataError(f"{root}: holds {names}; choose one with --{split}-tar")
        if path := next((root / name for name in NAMES[split] if (root / name).exists()), None):
            return (path.is_dir() and parts(root, PARQUET[split])) or [path]
        if files := parts(root, PARQUET[split]):
            return files
        found = {path: match for path in sorted(root.iterdir()) if (match := re.fullmatch(PARTS[split], path.name))}
        if found:
            numbers = sorted(int(match[1] or 0) for match in found.values())
            if missing := sorted(set(range(numbers[-1])) - set(numbers)):
                raise DataError(f"{root}: of {next(iter(found)).name} and so on, number {missing[0]} is missing")
            return list(found)
    option = f"--{split}-tar"
    raise DataError(f"{input}: holds no {NAMES[split][0]} or {split} (or use {option}); it holds {contents(input)}")


def parents_with_labels(path: Path) -> list[Path]:
    """The folders above the validation images in which their labels may be: Kaggle's are beside its folder ILSVRC."""
    parents = list(path.absolute().parents)
    return parents[:4] if path.absolute().parts[-4:-1] == ("ILSVRC", "Data", "CLS-LOC") else [path.parent]


def unpacked_set(archive: Path, scratch: Path | None) -> Path:
    """The folder that an archive of all of ImageNet is unpacked to, such as Kaggle's, but for what is not needed of it.

    Raises DataError for one of the archives that were published: it is not all, and is read where it is.
    """
    with closing(members(archive)) as found:
        first = next((member.path for member in found if not is_junk(member.path.rpartition("/")[2])), "")
    folders, name = first.split("/")[:-1], first.rpartition("/")[2]
    for split, pattern in (("train", CLASS_TAR), ("val", VAL_NAME)):
        if pattern.fullmatch(name) or (split == "train" and folders and WNID.fullmatch(folders[0])):
            raise DataError(
                f"{archive}: holds {first}, so it is the archive of {split} images alone; name the folder that holds "
                f"it and the others as INPUT, or this file with --{split}-tar"
            )
    return unpacked(archive, scratch, lambda path: not re.search(NOT_NEEDED, path))
