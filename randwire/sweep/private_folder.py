"""The temporary folder of a cluster that a sweep starts on this machine: short, private, and removed with the sweep."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from randwire.errors import ConfigError
from randwire.sweep.ray_variables import SOCKET, TEMPORARY

PREFIX = "rw-ray-"
_LOCK = "lock"
RAY = "r"
"""The part that is Ray's, which opens it for all users."""
SHORT = (Path("/tmp"), Path("/var/tmp"))
"""Where it may be if the temporary folder of the user is too long for sockets, or cannot be written."""
_LONGEST = (103 if sys.platform == "darwin" else 107) - len(SOCKET)
"""Bytes of a folder in which Ray's sockets have names that the system takes."""
_ROOT_BYTES = _LONGEST - len(f"/{PREFIX}12345678/{RAY}")


@contextmanager
def private_folder() -> Iterator[Path]:
    """A new folder that only this user may enter, in $RAY_TMPDIR, $TMPDIR or /tmp; it is gone after the block.

    Folders that killed sweeps have left are removed first. Raises ConfigError if there is no place for it.
    """
    folder, lock = _create()
    try:
        yield folder
    finally:
        _remove(folder)
        os.close(lock)


def _create() -> tuple[Path, int]:
    asked = os.environ.get(TEMPORARY.name)
    refused = []
    for root in [Path(asked)] if asked else _roots():
        if len(os.fsencode(root.absolute())) > _ROOT_BYTES:
            refused.append(f"{root}: longer than {_ROOT_BYTES} bytes, and Ray's sockets need the rest")
            continue
        try:
            _remove_left(root)
            return _create_in(root.absolute())
        except OSError as error:
            refused.append(f"{root}: {error.strerror}")
    raise ConfigError(
        f"no temporary folder for Ray ({'; '.join(refused)}); let {TEMPORARY.name} name one that can be written"
    )


def _roots() -> list[Path]:
    named = [os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")]
    return list(dict.fromkeys([*map(Path, filter(None, named)), *SHORT]))


def _create_in(root: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
        lock = None
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (folder / RAY).mkdir()
            (folder / _LOCK).stat()
            os.posix_fallocate(lock, 0, 1 << 20)  # a full disk is found here, and not by one of Ray's processes
            return folder, lock
        except OSError as error:
            if lock is not None:
                os.close(lock)
            # Another sweep may have taken it for one that was left, before it was locked.
            if not isinstance(error, (BlockingIOError, FileNotFoundError)):
                shutil.rmtree(folder, ignore_errors=True)
                raise


def _remove_left(root: Path) -> None:
    """Remove what sweeps of this user have left that were killed: the system has freed their locks."""
    for lock in root.glob(f"{PREFIX}*/{_LOCK}"):
        with contextlib.suppress(OSError):
            if lock.parent.stat().st_uid != os.getuid() or lock.parent.is_symlink():
                continue
            descriptor = os.open(lock, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)
            finally:
                os.close(descriptor)


def _remove(folder: Path) -> None:
    """Ray's processes write into it until their end, which takes a moment."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)
