"""Copies of data sets on a disk of this machine: one for each content, shared by its ranks and by later trials.

    staged/<key>/        the copy; the key is that of the content, so a set has one copy wherever it was copied from
    staged/<key>.lock    held by who copies
    staged/<key>.use     shared by who uses the copy or is about to, held alone by who removes it

The system frees these locks with the process. They are two: who waits to copy must not wait for those who use. A copy
is checked against its SHA-256 while it is made, and appears when it is whole.
"""

import fcntl
import hashlib
import os
import shutil
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from randwire import storage
from randwire.config import Staging
from randwire.data.cache import locked, open_lock
from randwire.errors import DataError

Files = Mapping[str, tuple[int, str]]
"""Size in bytes and SHA-256 by name."""

BLOCK = 16 << 20
STREAMS = 8
"""Blocks that are fetched at once: one stream from an object store does not fill a network."""
REMOTE = ("nfs", "cifs", "smb", "lustre", "ceph", "gluster", "beegfs", "gpfs", "wekafs", "afs", "9p", "fuse.", "efs")
"""How the types of network file systems begin."""

_in_use: dict[Path, int] = {}
"""Open locks of the copies that this process uses, to its end."""


def needed(place: str, choice: Staging) -> bool:
    """Whether a folder is to be copied; auto: what is a URL or on a network file system."""
    if storage.is_url(place):
        return True
    return choice == "always" or (choice == "auto" and _file_system(Path(place)).startswith(REMOTE))


def stage(place: str, index: str, content: bytes, files: Files, budget_gb: float | None, root: Path) -> Path:
    """The copy, below `root`, of the folder `place` with `files` and its `index`, a small file of known `content`.

    Copies it unless that has been done, and keeps it until this process ends. Other copies that are not in use are
    removed, the longest unused first, until all fit into `budget_gb` (10^9 bytes; None: until the disk has room).
    Raises DataError if it does not fit or is not what its SHA-256 says, and StorageError if it cannot be read.
    """
    key = hashlib.sha256(content).hexdigest()[:16]
    folder = root / key
    descriptor = _in_use.get(folder) or _opened(folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        with locked(root / f"{key}.lock"):
            if not (folder / index).is_file():
                _copy(place, index, content, files, budget_gb, folder)
        os.utime(folder / index)
    except BaseException:
        os.close(descriptor)
        _in_use.pop(folder, None)
        raise
    _in_use[folder] = descriptor
    return folder


def _opened(folder: Path) -> int:
    """The lock of those who use a copy."""
    return open_lock(folder.parent / f"{folder.name}.use")


def _copy(place: str, index: str, content: bytes, files: Files, budget_gb: float | None, folder: Path) -> None:
    size = sum(bytes_ for bytes_, _ in files.values())
    partial = folder.parent / f".{folder.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    _make_room(size, budget_gb, folder.parent, place)
    try:
        partial.mkdir()
        with tqdm(desc=f"copying {place}", total=size, unit="B", unit_scale=True, disable=None, file=sys.stderr) as bar:
            for name, (bytes_, sha256) in files.items():
                digest = hashlib.sha256()
                with open(partial / name, "wb") as file:
                    for block in _blocks(place, name, bytes_):
                        digest.update(block)
                        file.write(block)
                        bar.update(len(block))
                    file.flush()
                    os.fsync(file.fileno())
                if digest.hexdigest() != sha256:
                    raise DataError(
                        f"{place}/{name}: is not the file that {index} describes (SHA-256); convert or copy it again"
                    )
        (partial / index).write_bytes(content)
        partial.rename(folder)
    except FileNotFoundError as error:
        raise DataError(f"{error}: missing; convert or copy it again") from None
    except OSError as error:
        raise DataError(f"{folder}: cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _blocks(place: str, name: str, size: int) -> Iterator[bytes]:
    """The content of a file; further blocks are on their way while one is in use."""
    with ThreadPoolExecutor(STREAMS) as pool, storage.readable_errors(f"{place}/{name}"):
        system, path = storage.file_system(place)
        if (found := system.size(f"{path}/{name}")) != size:
            raise DataError(f"{place}/{name}: {found} bytes where {size} are due; convert or copy it again")
        pending: deque[Future[bytes]] = deque()
        for start in range(0, size, BLOCK):
            end = min(start + BLOCK, size)
            pending.append(pool.submit(system.cat_file, f"{path}/{name}", start=start, end=end))
            if len(pending) == STREAMS:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


class _Copy(NamedTuple):
    used: float
    folder: Path
    size: int


def _make_room(size: int, budget_gb: float | None, root: Path, place: str) -> None:
    if budget_gb is not None and size > budget_gb * 1e9:
        raise DataError(f"{place}: {size / 1e9:.2f} GB exceed data.stage_budget_gb ({budget_gb:g})")

    def lacking() -> bool:
        kept = sum(copy.size for copy in _copies(root))
        over = budget_gb is not None and kept + size > budget_gb * 1e9
        return over or shutil.disk_usage(root).free < size

    for copy in sorted(_copies(root)):
        if not lacking():
            return
        _remove(copy.folder)
    if (free := shutil.disk_usage(root).free) < size:
        raise DataError(
            f"{root}: {place} needs {size / 1e9:.2f} GB, {free / 1e9:.2f} GB are free; set RANDWIRE_CACHE to a folder "
            "on a larger disk"
        )
    if lacking():
        print(f"{root}: exceeds data.stage_budget_gb, since the copies there are in use", file=sys.stderr)


def _copies(root: Path) -> list[_Copy]:
    found = []
    for index in root.glob("*/*.json"):
        if not index.parent.name.startswith("."):
            try:
                size = sum(file.stat().st_size for file in index.parent.iterdir())
                found.append(_Copy(index.stat().st_mtime, index.parent, size))
            except FileNotFoundError:  # somebody else has just removed it
                continue
    return found


def _remove(folder: Path) -> None:
    """Remove a copy unless some process uses it."""
    descriptor = _opened(folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(descriptor)


def _file_system(path: Path) -> str:
    """The type of the file system that a path is on."""
    import psutil

    path = path.resolve()
    mounts = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    return next((mounts[parent] for parent in (path, *path.parents) if parent in mounts), "")
