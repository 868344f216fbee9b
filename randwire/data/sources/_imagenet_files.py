"""The images of ImageNet in the forms in which people have them: archives as published, packed again, or repacked."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from randwire.data.sources._archives import TAR_SUFFIXES, members, stem
from randwire.data.sources._index import Index, class_folders
from randwire.data.sources._packed import Packed
from randwire.data.sources._parquet import Rows, read_rows
from randwire.data.sources._scan import scan
from randwire.data.sources._unpack import SPLIT_NAMES
from randwire.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WNID = re.compile(r"n\d{8}")
CLASS_TAR = re.compile(rf"{WNID.pattern}({'|'.join(map(re.escape, TAR_SUFFIXES))})")
OF_TRAIN = re.compile(rf"({WNID.pattern})_\d+(_\1)?\.\w+")
"""A file's name with its class: as published, and as Hugging Face changed it."""
OF_VAL = re.compile(rf"(ILSVRC2012_val_\d+)_({WNID.pattern})(\.\w+)")
"""Likewise of the validation images, in Hugging Face's form alone."""


class ValImages(NamedTuple):
    """The validation images. `wnids` are their classes where their files say so; else labels come from elsewhere.

    The others are as in Index.
    """

    names: Sequence[str]
    wnids: Sequence[str] | None
    extents: "NDArray[np.int64] | None"
    files: Sequence[Path]
    left_out: Mapping[str, Sequence[str]]


def train_files(paths: Sequence[Path], scratch: Path | None) -> tuple[list[str], Index]:
    """The classes, sorted, and the training images of archives, or of one folder with folders or archives of classes.

    An archive holds an archive or a folder for each class, or images whose names begin with their class.
    Raises DataError if there is none of these.
    """
    import numpy as np

    root, packed = paths[0], Packed(scratch)
    if root.suffix == ".parquet":
        return _train_rows(paths, scratch)
    if root.is_dir():
        tars = sorted(path for path in root.iterdir() if CLASS_TAR.fullmatch(path.name))
        if not tars or _are_unpacked(root, tars):
            return class_folders(root)
        for path in tars:
            packed.add(path, f"{stem(path.name)}/")
    else:
        for path in paths:
            packed.add(path, inside=CLASS_TAR)
    packed.close()
    _refuse_splits(root, packed)
    named = [(path, _class_of(path)) for path in packed.extents]
    if lost := [path for path, wnid in named if wnid is None]:
        raise DataError(f"{root}: holds {lost[0]}, which is in no folder or tar of a class, such as n01440764.tar")
    if not named:
        raise DataError(
            f"{root}: holds no images in a folder or tar of a class, such as n01440764.tar{_instead(packed)}"
        )
    classes = sorted({wnid for _, wnid in named if wnid})
    number = {wnid: label for label, wnid in enumerate(classes)}
    labels = np.array([number[wnid] for _, wnid in named if wnid], np.int32)
    names = [_published(path) for path, _ in named]
    return classes, Index(root, names, labels, packed.array(), packed.files, packed.left_out)


def misnamed(index: Index, classes: Sequence[str]) -> list[tuple[str, str]]:
    """The training images that are named as of another class than `index` has them in, with that class."""
    pairs = zip(index.names, index.labels.tolist(), strict=True)
    return [
        (name, classes[label])
        for name, label in pairs
        if (match := OF_TRAIN.fullmatch(name.rpartition("/")[2])) and match[1] != classes[label]
    ]


def val_files(paths: Sequence[Path], classes: Sequence[str], scratch: Path | None) -> ValImages:
    """The validation images of archives, or of one folder without class folders; `classes` are those of training.

    Raises DataError if there are none.
    """
    root = paths[0]
    if root.suffix == ".parquet":
        rows, in_rows = _rows_with_classes(paths, scratch, classes)
        return ValImages([_published(str(path)) for path in rows.paths], in_rows, rows.extents, rows.files, {})
    if root.is_dir():
        found = scan(root)
        if not found.images:
            raise DataError(f"{root}: holds no images")
        return ValImages(found.images, None, None, (), found.left_out)
    packed = Packed(scratch)
    for path in paths:
        packed.add(path)
    packed.close()
    _refuse_splits(root, packed)
    if not packed.extents:
        raise DataError(f"{root}: holds no images{_instead(packed)}")
    inside = list(packed.extents)
    order = sorted(range(len(inside)), key=lambda number: (_published(inside[number]), inside[number]))
    inside = [inside[number] for number in order]
    wnids = [_class_of(path) for path in inside]
    known = [wnid for wnid in wnids if wnid]
    if known and None in wnids:
        raise DataError(
            f"{root}: holds {inside[wnids.index(None)]}, which has no class, where {len(known)} images have"
        )
    names = [_published(path) for path in inside]
    return ValImages(names, known or None, packed.array()[order], packed.files, packed.left_out)


def _train_rows(paths: Sequence[Path], scratch: Path | None) -> tuple[list[str], Index]:
    import numpy as np

    rows, wnids = _rows_with_classes(paths, scratch)
    classes = sorted(set(wnids))
    number = {wnid: label for label, wnid in enumerate(classes)}
    names = [_published(str(path)) for path in rows.paths]
    labels = np.array([number[wnid] for wnid in wnids], np.int32)
    return classes, Index(paths[0].parent, names, labels, rows.extents, rows.files)


def _rows_with_classes(
    paths: Sequence[Path], scratch: Path | None, classes: Sequence[str] | None = None
) -> tuple[Rows, list[str]]:
    """The images of Parquet files and their classes, which stand in the names that they had as files.

    Raises DataError unless they do, and the numbers beside them are those of `classes`, or of all that there are, in
    the order of WordNet IDs.
    """
    rows = read_rows(paths, scratch)
    wnids = []
    for row, path in enumerate(rows.paths):
        if (wnid := _class_of(path or "")) is None:
            raise DataError(
                f"{paths[0]}: image {row} of it and its other parts is named {path!r}, without the WordNet ID of its "
                "class; use the source folder"
            )
        wnids.append(wnid)
    number = {wnid: label for label, wnid in enumerate(classes or sorted(set(wnids)))}
    for path, wnid, label in zip(rows.paths, wnids, rows.labels, strict=True):
        if number.get(wnid) != label:
            raise DataError(
                f"{paths[0].parent}: {path} has the label {label}; the number of {wnid} in the order of the training "
                f"images' classes is {number.get(wnid)}"
            )
    return rows, wnids


def _class_of(path: str) -> str | None:
    """The WordNet ID of the nearest folder that is one, or in the file's name."""
    *folders, name = path.split("/")
    if wnid := next((folder for folder in reversed(folders) if WNID.fullmatch(folder)), None):
        return wnid
    if match := OF_TRAIN.fullmatch(name):
        return match[1]
    return match[2] if (match := OF_VAL.fullmatch(name)) else None


def _published(path: str) -> str:
    """The name of a file as it was published: names decide the order of the converted images."""
    name = path.rpartition("/")[2]
    if match := OF_VAL.fullmatch(name):
        return match[1] + match[3]
    if (match := OF_TRAIN.fullmatch(name)) and match[2]:
        return name.replace(match[2], "")
    return name


def _instead(packed: Packed) -> str:
    """What archives without an image hold."""
    return "".join(
        f"; it holds {len(paths):,} {reason}, such as {paths[0]}" for reason, paths in packed.left_out.items()
    )


def _refuse_splits(root: Path, packed: Packed) -> None:
    """Raise DataError if archives of one split hold folders of several: their images would be mixed."""
    found = {folder: path for path in packed.extents for folder in path.split("/")[:-1] if folder in SPLIT_NAMES}
    if len(found) > 1:
        names = " and ".join(sorted(found))
        raise DataError(f"{root}: holds folders {names}, such as {found[min(found)]}; name it as INPUT if it is all")


def _are_unpacked(root: Path, tars: Sequence[Path]) -> bool:
    """Whether class folders hold what the tars of classes beside them do.

    Raises DataError if a part of it is missing, or if a class has two tars: which images are meant is not certain.
    """
    by_class: dict[str, Path] = {}
    for path in tars:
        if (other := by_class.setdefault(stem(path.name), path)) != path:
            raise DataError(f"{root}: holds {other.name} and {path.name} of one class; name a folder with one of them")
    folders = {path.name for path in root.iterdir() if WNID.fullmatch(path.name) and path.is_dir()}
    if not folders:
        return False
    for wnid, tar in by_class.items():
        packed = {member.path.rpartition("/")[2] for member in members(tar)}
        there = {path.name for path in (root / wnid).iterdir()} if wnid in folders else set()
        if missing := sorted(packed - there):
            raise DataError(
                f"{root}: holds tars and folders of classes, and {missing[0]} of {tar.name} is in no folder {wnid}; "
                "unpack all of them, or name a folder with the tars alone"
            )
    return True
