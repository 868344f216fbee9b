"""The cache: a folder of this machine, with files that processes lock. The system frees a lock with its process."""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from randwire.errors import DataError, system_text


def cache_folder() -> Path:
    """Where embedded sets and compiled code are kept: $RANDWIRE_CACHE or ~/.cache/randwire.

    A user without a home that can be written, as in many containers, has a private folder in the temporary one. Raises
    DataError if that belongs to another user.
    """
    if folder := os.environ.get("RANDWIRE_CACHE"):
        return Path(folder)
    with contextlib.suppress(RuntimeError, PermissionError):  # no home at all, or one of somebody else
        home = Path.home() / ".cache" / "randwire"
        nearest = next(path for path in (home, *home.parents) if path.exists())
        if os.access(nearest, os.W_OK | os.X_OK):
            return home
    private = Path(tempfile.gettempdir(), f"randwire-cache-{os.getuid()}")
    private.mkdir(mode=0o700, exist_ok=True)
    if private.lstat().st_uid != os.getuid() or private.lstat().st_mode & 0o022:  # it holds code that is run
        raise DataError(f"{private}: others can write it; set RANDWIRE_CACHE to a folder of your own")
    return private


def open_lock(path: Path) -> int:
    """The descriptor of a file to be locked, in a folder that is made if need be. Raises DataError if it cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise DataError(
            f"{path.parent}: cannot be written ({system_text(error)}); set RANDWIRE_CACHE to another folder"
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
