"""What is in a folder of images: every entry is an image, or left out for a reason."""

import os
import stat
from contextlib import suppress
from pathlib import Path

from randwire.data.formats import HEAD_BYTES
from randwire.data.sources._sift import Scan, in_order, of_file, of_folder
from randwire.errors import DataError, system_text
from randwire.names import below, decoded, printable

LOOPS = "links back to a folder above"
_SPECIAL = {
    stat.S_IFIFO: "named pipes",
    stat.S_IFSOCK: "sockets",
    stat.S_IFCHR: "devices",
    stat.S_IFBLK: "devices",
}


def scan(folder: Path) -> Scan:
    """All that is in a folder and below; links are followed.

    What cannot be opened, such as a link that leads nowhere or a folder that may not be listed, is taken for an image:
    reading it fails with its name. Raises DataError if `folder` itself cannot be listed.
    """
    images: list[str] = []
    folders: list[str] = []
    left_out: dict[str, list[str]] = {}
    waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [("", _parents(folder))]
    while waiting:
        inside, above = waiting.pop()
        path = below(folder, inside)
        try:
            here = _identity(path)
            if here in above:
                left_out.setdefault(LOOPS, []).append(inside)
                continue
            with os.scandir(os.fsencode(path)) as listing:
                entries = list(listing)
        except OSError as error:
            if not inside:
                raise DataError(f"{printable(folder)}: cannot be listed: {system_text(error)}") from None
            images.append(inside)
            entries = []
        if inside and "/" not in inside:
            folders.append(inside)
        for entry in entries:
            entry_name = decoded(entry.name)
            name = f"{inside}/{entry_name}" if inside else entry_name
            if _is_folder(entry):
                reason = of_folder(entry_name)
                if not reason:
                    waiting.append((name, above | {here}))
                    continue
            else:
                reason = _of_entry(entry, entry_name)
            if reason:
                left_out.setdefault(reason, []).append(name)
            else:
                images.append(name)
    return Scan(sorted(images), in_order(left_out), sorted(folders))


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _parents(folder: Path) -> frozenset[tuple[int, int]]:
    """The folders that a folder is in, by device and inode."""
    found = set()
    for parent in folder.resolve().parents:
        with suppress(OSError):
            found.add(_identity(parent))
    return frozenset(found)


def _is_folder(entry: "os.DirEntry[bytes]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _of_entry(entry: "os.DirEntry[bytes]", name: str) -> str | None:
    """Why an entry that is no folder is left out; None: it is an image, or cannot be looked at."""
    with suppress(OSError):
        if not entry.is_file() and (special := _SPECIAL.get(stat.S_IFMT(entry.stat().st_mode))):
            return special
    return of_file(name, lambda: _head(entry.path))


def _head(path: bytes) -> bytes | None:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(HEAD_BYTES)
    except OSError:
        return None
