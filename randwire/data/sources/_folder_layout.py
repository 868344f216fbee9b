"""Where the training and the validation images of a folder are."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from randwire.data.sources._archives import stem
from randwire.data.sources._sift import of_folder
from randwire.errors import DataError
from randwire.names import printable
from randwire.storage import contents

TRAIN_NAMES = ("train", "training")
VAL_NAMES = ("val", "validation", "valid")
TEST_NAMES = ("test", "testing", "eval", "evaluation", "dev")
"""Of folders, in any case of letters."""
SPLIT_NAMES = (*TRAIN_NAMES, *VAL_NAMES, *TEST_NAMES)


class Layout(NamedTuple):
    """The folders of the splits (val: None, a share of train takes its place), and the names of those not read."""

    train: Path
    val: Path | None
    others: Sequence[str]


def layout(root: Path, train: Path | None, val: Path | None, shared: bool) -> Layout:
    """The folders with the images of `root`; `train` and `val` are those that the user names, in `root` or elsewhere.

    `shared`: a share of the training images validates; then the classes may be in `root` itself. Raises DataError for
    folders that are missing or there twice, with what is there.
    """
    if not root.is_dir():
        raise DataError(f"{printable(root)}: no such folder")
    found_train, found_val = _split(root, "train", train, TRAIN_NAMES), _split(root, "val", val, VAL_NAMES)
    inside = _folders(root)
    if found_train is None and found_val is None and len(inside) == 1 and _folders(inside[0]):
        return layout(inside[0], train, val, shared)  # one class would be none: as an unpacked archive has it
    where, held = printable(root), contents(root)
    if found_train is None and found_val is None and shared:
        _check_classes(inside)
        return Layout(root, None, _packed_splits(root))
    if found_train is None and found_val is not None and val is not None and not _overlap(root, found_val):
        return Layout(root, found_val, ())
    if found_train is None:
        raise DataError(
            f"{where}: holds no folder train; it holds {held}: name the folder of the training images with --train; if "
            "these are the classes, --val-share 0.1 takes a share of their images to validate"
        )
    if found_val is None and not shared:
        raise DataError(
            f"{where}: holds no folder val; it holds {held}: name the folder of the validation images with --val, or "
            "take a share of the training images with --val-share 0.1"
        )
    if found_val is not None and shared:
        raise DataError(
            f"--val-share: is for sets without validation images, and {printable(found_val)} is there; leave it out"
        )
    if found_val is not None and _is_below(found_val, found_train):
        raise DataError(f"{printable(found_val)}: lies in the folder of the training images, {printable(found_train)}")
    if found_val is not None and _is_below(found_train, found_val):
        raise DataError(
            f"{printable(found_train)}: lies in the folder of the validation images, {printable(found_val)}"
        )
    used = [path for path in (found_train, found_val) if path is not None]
    others = [path.name for path in _folders(root) if not any(_overlap(path, of_split) for of_split in used)]
    return Layout(found_train, found_val, others + _packed_splits(root))


def _check_classes(folders: Sequence[Path]) -> None:
    """Raise DataError if one of the folders of classes is a split with the same classes: it would become a class."""
    names = {path.name for path in folders}
    for path in folders:
        if path.name.lower() in TEST_NAMES and len(names & {inside.name for inside in _folders(path)}) > 1:
            raise DataError(
                f"{printable(path)}: lies among the folders of the classes, and holds such folders itself; name a "
                "folder that holds the classes alone"
            )


def _packed_splits(root: Path) -> list[str]:
    """The archives that are called as splits are: what is beside them is read instead."""
    names = (path.name for path in sorted(root.iterdir()) if path.is_file())
    return [name for name in names if stem(name) != name and stem(name).lower() in SPLIT_NAMES]


def _split(root: Path, split: str, named: Path | None, names: Sequence[str]) -> Path | None:
    """The folder of a split: the one that the user names, or one of the usual names."""
    if named is not None:
        path = next((path for path in (root / named, named) if path.is_dir()), None)
        if path is None:
            raise DataError(
                f"--{split}: {printable(root)} holds no folder {printable(named)}; it holds {contents(root)}"
            )
        return path
    found = [path for path in _folders(root) if path.name.lower() in names]
    if len(found) > 1:
        raise DataError(
            f"{printable(root)}: holds {' and '.join(path.name for path in found)}; choose one with --{split}"
        )
    return found[0] if found else None


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(path for path in root.iterdir() if path.is_dir() and not of_folder(path.name))
    except OSError as error:
        raise DataError(f"{printable(root)}: cannot be listed: {error.strerror or error}") from None


def _overlap(one: Path, other: Path) -> bool:
    return _is_below(one, other) or _is_below(other, one)


def _is_below(path: Path, folder: Path) -> bool:
    return folder.resolve() in (path.resolve(), *path.resolve().parents)
