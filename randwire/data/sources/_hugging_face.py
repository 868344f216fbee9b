"""Sets in Parquet files as sources: any set with names of classes, and ImageNet."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from randwire.data.sources._base import Split
from randwire.data.sources._index import Index
from randwire.data.sources._parquet import Rows, parts, read_rows
from randwire.errors import DataError

TRAIN_NAMES = ("train", "training")
VAL_NAMES = ("validation", "valid", "val", "dev", "test")
"""Of splits; the first that is there."""


def parquet_folder(input: Path) -> Path | None:
    """The folder with the Parquet files of a set: INPUT or one in it; None: there are none.

    Raises DataError if there are several.
    """
    candidates = [input]
    if not (input / "train").is_dir():
        candidates += sorted(path for path in input.iterdir() if path.is_dir() and not path.name.startswith("."))
    found = [folder for folder in candidates if parts(folder, TRAIN_NAMES) or any(folder.glob("*.parquet"))]
    if len(found) > 1:
        names = ", ".join(path.name for path in found[:5])
        raise DataError(f"{input}: holds Parquet files in {len(found)} folders ({names}); name one of them as INPUT")
    return found[0] if found else None


def parquet_set(folder: Path, scratch: Path | None) -> tuple[list[str], dict[Split, Index]]:
    """The classes and both splits of a set in Parquet files. Raises DataError if a split is missing."""
    paths: dict[Split, list[Path]] = {"train": parts(folder, TRAIN_NAMES), "val": parts(folder, VAL_NAMES)}
    for split, names in (("train", TRAIN_NAMES), ("val", VAL_NAMES)):
        if not paths[split]:  # type: ignore[index]
            there = ", ".join(sorted(path.name for path in folder.glob("*.parquet"))[:5])
            raise DataError(f"{folder}: has no Parquet files of {' or '.join(names)}; it holds {there}")
    rows = {split: read_rows(paths[split], scratch) for split in paths}
    classes = _classes(rows, folder)
    number = {name: label for label, name in enumerate(classes)}
    indexes: dict[Split, Index] = {}
    for split, found in rows.items():
        labels = found.labels if found.classes is not None else [number[str(label)] for label in found.labels]
        indexes[split] = _index(folder, paths[split], found, labels, classes).shuffled()
    if paths["val"][0].name.lower().startswith("test"):
        note = f"{folder}: the validation images are those of {paths['val'][0].name}, as no other split is there"
        indexes["val"] = replace(indexes["val"], notes=[*indexes["val"].notes, note])
    return classes, indexes


def _classes(rows: "dict[Split, Rows]", folder: Path) -> list[str]:
    train, val = rows["train"], rows["val"]
    if train.classes != val.classes:
        raise DataError(f"{folder}: the classes of train and val differ: {train.classes} and {val.classes}"[:300])
    if train.classes is not None:
        return list(train.classes)
    values = set(train.labels)
    if foreign := set(val.labels) - values:
        raise DataError(f"{folder}: val has the label {min(foreign, key=str)!r}, which train has not")
    kinds = {type(value) for value in values}
    if kinds not in ({int}, {str}):
        raise DataError(
            f"{folder}: labels are {', '.join(sorted(kind.__name__ for kind in kinds))}, not numbers or names"
        )
    return [str(value) for value in sorted(values)]


def _index(root: Path, paths: Sequence[Path], rows: Rows, labels: Sequence[int], classes: Sequence[str]) -> Index:
    """`labels` are numbers of `classes`. An image is called by its class and the file that it was, or by its row."""
    import numpy as np

    names = [
        f"{classes[label]}/{(path or '').rpartition('/')[2]}" for path, label in zip(rows.paths, labels, strict=True)
    ]
    if None in rows.paths or len(set(names)) < len(names):
        names = [f"{paths[0].name}/{row:08}" for row in range(len(names))]
    return Index(root, names, np.array(labels, np.int32), rows.extents, rows.files, notes=rows.notes)
