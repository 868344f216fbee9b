"""The cache: a folder of this machine, with files that processes lock. The system frees a lock with its process."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from randwire.errors import DataError


def cache_folder() -> Path:
    """Where embedded sets and compiled code are kept: $RANDWIRE_CACHE or ~/.cache/randwire."""
    folder = os.environ.get("RANDWIRE_CACHE")
    return Path(folder) if folder else Path.home() / ".cache" / "randwire"


def open_lock(path: Path) -> int:
    """The descriptor of a file to be locked, in a folder that is made if need be. Raises DataError if it cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise DataError(
            f"{path.parent}: cannot be written ({error.strerror}); set RANDWIRE_CACHE to another folder"
        ) from None


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file against other processes, however this one ends. Waits for them; raises DataError as `open_lock`."""
    descriptor = open_lock(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
