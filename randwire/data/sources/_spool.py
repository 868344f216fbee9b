"""One uncompressed file for what archives hold that cannot be read in place."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NoReturn

from tqdm import tqdm

from randwire.errors import DataError, system_text
from randwire.stdio import bar_interval

BLOCK_BYTES = 1 << 20
"""Bytes that are copied at a time."""
KEPT_FREE = 64 << 20
"""Bytes of the disk that unpacking leaves free."""
CHECKED_EVERY = 64 << 20
"""Bytes after which the free space is looked at again."""


class Spool:
    """A file in `scratch` to which contents are added one after the other; `archive` is what they come from.

    Raises DataError without `scratch`: only a conversion has a place to unpack to, and removes it afterwards.
    """

    def __init__(self, scratch: Path | None, archive: Path) -> None:
        if scratch is None:
            raise DataError(
                f"{archive}: is packed, and only a conversion unpacks it; --estimate reads plain tar files and folders"
            )
        descriptor, name = tempfile.mkstemp(prefix="unpacked-", dir=scratch)
        self.path, self.archive, self.size = Path(name), archive, 0
        self._file, self._checked = os.fdopen(descriptor, "wb"), 0

    def add(self, content: IO[bytes]) -> tuple[int, int]:
        """Copy all that is left of `content`; returns its offset and size. Raises DataError if the disk is full."""
        offset = self.size
        while block := content.read(BLOCK_BYTES):
            self._write(block)
        return offset, self.size - offset

    def add_block(self, content: "bytes | memoryview") -> tuple[int, int]:
        """The same of what is in memory."""
        self._write(content)
        return self.size - len(content), len(content)

    def _write(self, block: "bytes | memoryview") -> None:
        with writing(self.archive, self.path.parent):
            if self.size >= self._checked:
                check_free(self.archive, self.path.parent, 0)
                self._checked = self.size + CHECKED_EVERY
            self._file.write(block)
        self.size += len(block)

    def close(self) -> None:
        """What was added can be read from now on."""
        with writing(self.archive, self.path.parent):
            self._file.close()


def progress(description: str, unit: str) -> "tqdm[NoReturn]":
    """A bar for a terminal; for a log, a line each half minute of work that takes longer."""
    seconds = bar_interval()
    return tqdm(desc=description, unit=f" {unit}", mininterval=seconds, delay=seconds, leave=False)


@contextmanager
def writing(archive: Path, folder: Path) -> Iterator[None]:
    """A block that writes what is unpacked of `archive` to `folder`: its OSError becomes a DataError."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # of what is read: see `_archives.told`
            raise
        raise DataError(f"{archive}: cannot be unpacked to {folder}: {system_text(error)}") from None


def check_free(archive: Path, folder: Path, needed: int) -> None:
    """Raise DataError unless the disk of `folder` has room for `needed` bytes of `archive`."""
    free = shutil.disk_usage(folder).free
    if free < needed + KEPT_FREE:
        wanted = f"needs {needed / 1e9:,.2f} GB" if needed else "does not fit"
        raise DataError(
            f"{archive}: unpacking it {wanted} on the disk of OUTPUT, where {free / 1e9:,.2f} GB are free; "
            "name an OUTPUT on a larger disk"
        )
