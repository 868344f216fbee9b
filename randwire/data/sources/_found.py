"""Where in a folder the files of a set are, and what is there instead."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from randwire.data.formats import HEAD_BYTES, kind_of
from randwire.errors import DataError

DEPTH = 3
"""Folders below the one that the user names, in which files of known names are looked for."""


def folder_of(input: Path, usual: Sequence[str], holds: Callable[[Path], bool]) -> Path | None:
    """The folder of `input` that holds the files of a set: one of the usual ones, or any below; None if there is none.

    Raises DataError if there is no such folder `input`, or if several below hold such files.
    """
    if not input.is_dir():
        if not input.exists():
            raise DataError(f"{input}: no such folder")
        if not input.is_file():
            raise DataError(f"{input}: is neither a folder nor a regular file")
        raise DataError(f"{input}: is a file, {_kind(input)}; name the folder that holds the files of the set")
    if found := next((input / name for name in usual if holds(input / name)), None):
        return found
    found_below: list[Path] = []
    for folder in _below(input):  # those above first
        if holds(folder) and not any(other in folder.parents for other in found_below):
            found_below.append(folder)
    if len(found_below) > 1:
        first, second = found_below[:2]
        raise DataError(f"{input}: holds such files more than once, in {first} and {second}; name one of these folders")
    return found_below[0] if found_below else None


def _kind(path: Path) -> str:
    with open(path, "rb") as file:
        return kind_of(file.read(HEAD_BYTES))


def _below(folder: Path, depth: int = DEPTH) -> list[Path]:
    """The folders below, sorted; none that is hidden or cannot be read, and links are not followed."""
    try:
        with os.scandir(folder) as entries:
            folders = sorted(
                folder / entry.name
                for entry in entries
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
            )
    except OSError:  # the files may be in another one
        return []
    return folders + [inner for path in folders if depth > 1 for inner in _below(path, depth - 1)]
