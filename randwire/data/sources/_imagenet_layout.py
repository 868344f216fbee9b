"""Where the files of ImageNet are in a folder: under the names of those who publish it."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from randwire.data.sources._archives import SUFFIXES, TAR_SUFFIXES
from randwire.data.sources._base import Split
from randwire.data.sources._found import contents
from randwire.data.sources._parquet import parts
from randwire.errors import DataError

ROOTS = (".", "ILSVRC/Data/CLS-LOC", "Data/CLS-LOC", "data")
"""Below INPUT: as published, Kaggle's two, Hugging Face's."""
NAMES: Mapping[Split, Sequence[str]] = {
    "train": (*(f"ILSVRC2012_img_train{suffix}" for suffix in TAR_SUFFIXES), "train", *(f"train{s}" for s in SUFFIXES)),
    "val": (*(f"ILSVRC2012_img_val{suffix}" for suffix in TAR_SUFFIXES), "val", *(f"val{s}" for s in SUFFIXES)),
}
PARTS: Mapping[Split, str] = {"train": r"train_images_(\d+)\.tar\.gz", "val": r"val_images(?:_(\d+))?\.tar\.gz"}
"""Hugging Face's archives."""
PARQUET: Mapping[Split, Sequence[str]] = {"train": ("train",), "val": ("validation", "val")}
"""Its Parquet files: what they are called by."""


def located(input: Path, split: Split) -> list[Path]:
    """The folder, the archive or the archives with the images of a split. Raises DataError if there are none."""
    if not input.is_dir():
        raise DataError(
            f"{input}: {'is a file; name the folder that holds it' if input.exists() else 'no such folder'}"
        )
    for root in (input / root for root in ROOTS):
        if not root.is_dir():
            continue
        if path := next((root / name for name in NAMES[split] if (root / name).exists()), None):
            return [path]
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
