"""Sets in Parquet files as sources: any set with names of classes, and ImageNet."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from randwire.data.sources._base import SPLITS, Split
from randwire.data.sources._folder_layout import TRAIN_NAMES
from randwire.data.sources._index import Index
from randwire.data.sources._parquet import Rows, parts, read_rows
from randwire.data.sources._sift import of_folder
from randwire.errors import DataError
from randwire.names import composed, quoted

VAL_NAMES = ("validation", "valid", "val", "dev", "test")
"""Of the validation split; the first that is there."""
NAMES: Mapping[Split, Sequence[str]] = {"train": TRAIN_NAMES, "val": VAL_NAMES}


def parquet_folder(input: Path) -> Path | None:
    """The folder with the Parquet files of a set: INPUT or one in it; None: there are none.

    Raises DataError if there are several.
    """
    candidates = [input]
    if not (input / "train").is_dir():
        candidates += sorted(path for path in input.iterdir() if path.is_dir() and not path.name.startswith("."))
    found = [folder for folder in candidates if parts(folder, TRAIN_NAMES)]
    if not found and candidates == [input] and not (input / "train").is_dir() and any(input.glob("*.parquet")):
        return input  # it is told what is missing
    if len(found) > 1:
        names = ", ".join(path.name for path in found[:5])
        raise DataError(f"{input}: holds Parquet files in {len(found)} folders ({names}); name one of them as INPUT")
    return found[0] if found else None


def parquet_set(
    folder: Path, scratch: Path | None, splits: Sequence[Split] = SPLITS
) -> tuple[list[str], dict[Split, Index]]:
    """The classes and both splits of a set in Parquet files, or only train, if it alone is there.

    Raises DataError if a split is missing, and if one is there beside train that alone is asked for.
    """
    paths: dict[Split, list[Path]] = {split: parts(folder, NAMES[split]) for split in splits}
    there = ", ".join(sorted(path.name for path in folder.glob("*.parquet"))[:5])
    for split in splits:
        if not paths[split]:
            instead = "" if split == "train" else ", or take a share of the training images with --val-share 0.1"
            raise DataError(f"{folder}: has no Parquet files of {' or '.join(NAMES[split])}; it holds {there}{instead}")
    if "val" not in splits and (others := parts(folder, [name for name in VAL_NAMES if name != "test"])):
        raise DataError(f"--val-share: is for sets without validation images, and {others[0]} is there; leave it out")
    rows = {split: read_rows(paths[split], scratch) for split in paths}
    classes = _classes(rows, folder)
    number = {name: label for label, name in enumerate(classes)}
    indexes: dict[Split, Index] = {}
    for split, found in rows.items():
        labels = found.labels if found.classes is not None else [number[_name(label)] for label in found.labels]
        indexes[split] = _index(folder, paths[split], found, labels, classes).shuffled()
    if "val" in splits and _is_test(paths["val"][0], folder):
        first = paths["val"][0].relative_to(folder)
        note = f"{folder}: the validation images are those of {first}, as no other split is there"
        indexes["val"] = replace(indexes["val"], notes=[*indexes["val"].notes, note])
    used = {path for files in paths.values() for path in files}
    if unread := [path.name for path in sorted(folder.glob("*.parquet")) + _folders(folder, used) if path not in used]:
        more = f" and {len(unread) - 5:,} more" if len(unread) > 5 else ""
        note = f"{folder}: not read: {', '.join(unread[:5])}{more}"
        indexes["train"] = replace(indexes["train"], notes=[*indexes["train"].notes, note])
    return classes, indexes


def _folders(folder: Path, used: Collection[Path]) -> list[Path]:
    """The folders in `folder` in which none of the files lies that are used."""
    above = {parent for path in used for parent in path.parents}
    folders = (path for path in sorted(folder.iterdir()) if path.is_dir() and not of_folder(path.name))
    return [path for path in folders if path not in above]


def _is_test(path: Path, folder: Path) -> bool:
    """Whether Parquet files, the first of which is `path`, are of the split test, by their name or their folder's."""
    return path.relative_to(folder).parts[0].lower().startswith("test")


def _classes(rows: "dict[Split, Rows]", folder: Path) -> list[str]:
    train, val = rows["train"], rows.get("val", rows["train"])
    if train.classes != val.classes:
        raise DataError(f"{folder}: the classes of train and val differ: {train.classes} and {val.classes}"[:300])
    if train.classes is not None:
        names = list(map(_name, train.classes))
        if twice := [name for number, name in enumerate(names) if name in names[:number]]:
            raise DataError(f"{folder}: two of its classes are called {quoted(twice[0])}")
        return names
    values = set(train.labels)
    if foreign := set(map(_name, val.labels)) - set(map(_name, values)):
        raise DataError(f"{folder}: val has the label {quoted(min(foreign))}, which train has not")
    kinds = {type(value) for value in values}
    if kinds not in ({int}, {str}):
        raise DataError(
            f"{folder}: labels are {', '.join(sorted(kind.__name__ for kind in kinds))}, not numbers or names"
        )
    return sorted(set(map(_name, values))) if kinds == {str} else list(map(_name, sorted(values)))


def _name(label: object) -> str:
    """What a class is called: composed, as by folders."""
    return composed(str(label))


def _index(root: Path, paths: Sequence[Path], rows: Rows, labels: Sequence[int], classes: Sequence[str]) -> Index:
    """`labels` are numbers of `classes`. An image is called by its class and the file that it was, or by its row."""
    import numpy as np

    names = [
        f"{classes[label]}/{(path or '').rpartition('/')[2]}" for path, label in zip(rows.paths, labels, strict=True)
    ]
    if None in rows.paths or len(set(names)) < len(names):
        names = [f"{paths[0].name}/{row:08}" for row in range(len(names))]
    return Index(root, names, np.array(labels, np.int32), rows.extents, rows.files, notes=rows.notes)
