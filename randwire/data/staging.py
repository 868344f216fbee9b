"""Copies of data sets on a disk of this machine: one for each content, shared by its ranks and by later trials.

    staged/<key>/        the copy; the key is that of the content, so a set has one copy wherever it was copied from
    staged/<key>.lock    locked by the process that copies
    staged/<key>.use     shared by processes that use the copy or are about to; locked exclusively to remove it

The system frees these locks with the process. They are two, so that a process that waits to copy does not wait for
those that use a copy. A copy is checked against its SHA-256 while it is made, and appears when it is whole.
"""

import fcntl
import hashlib
import os
import shutil
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from randwire import storage
from randwire.cache import locked, open_lock
from randwire.config import Staging
from randwire.errors import DataError, system_text

BLOCK_BYTES = 16 << 20
CONCURRENT_BLOCKS = 8
"""Blocks that are fetched at once: one stream from an object store does not fill a network."""
NETWORK_FILE_SYSTEMS = (
    "nfs",
    "cifs",
    "smb",
    "lustre",
    "ceph",
    "gluster",
    "beegfs",
    "gpfs",
    "wekafs",
    "afs",
    "9p",
    "fuse.",
    "efs",
)
"""How the types of network file systems begin."""

_in_use: dict[Path, int] = {}
"""Open locks of the copies that this process uses, to its end."""


@dataclass(frozen=True)
class FolderToCopy:
    """A path or URL, its files (size in bytes and SHA-256 by name), and the small file that describes them."""

    location: str
    files: Mapping[str, tuple[int, str]]
    description: str
    """The name of that small file, which is written last."""
    content: bytes
    """Of that small file: its SHA-256 is the key of the copy."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(size for size, _ in self.files.values())


def needs_copy(location: str, choice: Staging) -> bool:
    """Whether a folder is to be copied; auto: what is a URL or on a network file system."""
    if storage.is_url(location):
        return True
    return choice == "always" or (choice == "auto" and _file_system(Path(location)).startswith(NETWORK_FILE_SYSTEMS))


def stage(source: FolderToCopy, budget_gb: float | None, root: Path) -> Path:
    """The copy of a folder below `root`.

    Copies it unless that has been done, and keeps it until this process ends. Other copies that are not in use are
    removed, the longest unused first, until all fit into `budget_gb` (10^9 bytes; None: until the disk has room).
    Raises DataError if it does not fit or is not what its SHA-256 says, and StorageError if it cannot be read.
    """
    key = hashlib.sha256(source.content).hexdigest()[:16]
    folder = root / key
    descriptor = _in_use.get(folder) or _open_use_lock(folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        with locked(root / f"{key}.lock"):
            if not (folder / source.description).is_file():
                _copy(source, budget_gb, folder)
        os.utime(folder / source.description)
    except BaseException:
        os.close(descriptor)
        _in_use.pop(folder, None)
        raise
    _in_use[folder] = descriptor
    return folder


def _open_use_lock(folder: Path) -> int:
    """The lock of the processes that use a copy."""
    return open_lock(folder.parent / f"{folder.name}.use")


def _copy(source: FolderToCopy, budget_gb: float | None, folder: Path) -> None:
    from tqdm import tqdm  # networks do not need it, and they import this module too

    location = source.location
    partial = folder.parent / f".{folder.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    _make_room(source, budget_gb, folder.parent)
    try:
        partial.mkdir()
        label, total = f"copying {location}", source.size
        with tqdm(desc=label, total=total, unit="B", unit_scale=True, disable=None, file=sys.stderr) as bar:
            for name, (size, sha256) in source.files.items():
                digest = hashlib.sha256()
                with open(partial / name, "wb") as file:
                    for block in _blocks(location, name, size):
                        digest.update(block)
                        file.write(block)
                        bar.update(len(block))
                    file.flush()
                    os.fsync(file.fileno())
                if digest.hexdigest() != sha256:
                    raise DataError(
                        f"{location}/{name}: is not the file that {source.description} describes (SHA-256); convert or "
                        "copy it again"
                    )
        (partial / source.description).write_bytes(source.content)
        partial.rename(folder)
    except FileNotFoundError as error:
        raise DataError(f"{error}: missing; convert or copy it again") from None
    except OSError as error:
        raise DataError(f"{folder}: cannot be written: {system_text(error)}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _blocks(location: str, name: str, size: int) -> Iterator[bytes]:
    """The content of a file; further blocks are on their way while one is in use."""
    with ThreadPoolExecutor(CONCURRENT_BLOCKS) as pool, storage.readable_errors(f"{location}/{name}"):
        system, path = storage.file_system(location)
        if (actual := system.size(f"{path}/{name}")) != size:
            raise DataError(f"{location}/{name}: {actual} bytes where {size} are due; convert or copy it again")
        pending: deque[Future[bytes]] = deque()
        for start in range(0, size, BLOCK_BYTES):
            end = min(start + BLOCK_BYTES, size)
            pending.append(pool.submit(system.cat_file, f"{path}/{name}", start=start, end=end))
            if len(pending) == CONCURRENT_BLOCKS:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


class _Copy(NamedTuple):
    used: float
    folder: Path
    size: int


def _make_room(source: FolderToCopy, budget_gb: float | None, root: Path) -> None:
    size = source.size
    if budget_gb is not None and size > budget_gb * 1e9:
        raise DataError(f"{source.location}: {size / 1e9:.2f} GB exceed data.stage_budget_gb ({budget_gb:g})")

    def lacking() -> bool:
        used = sum(copy.size for copy in _copies(root))
        over = budget_gb is not None and used + size > budget_gb * 1e9
        return over or shutil.disk_usage(root).free < size

    for copy in sorted(_copies(root)):
        if not lacking():
            return
        _remove(copy.folder)
    if (free := shutil.disk_usage(root).free) < size:
        raise DataError(
            f"{root}: {source.location} needs {size / 1e9:.2f} GB, {free / 1e9:.2f} GB are free; set "
            "RANDWIRE_CACHE to a folder on a larger disk"
        )
    if lacking():
        print(f"{root}: exceeds data.stage_budget_gb, since the copies there are in use", file=sys.stderr)


def _copies(root: Path) -> list[_Copy]:
    copies = []
    for index in root.glob("*/*.json"):
        if not index.parent.name.startswith("."):
            try:
                size = sum(file.stat().st_size for file in index.parent.iterdir())
                copies.append(_Copy(index.stat().st_mtime, index.parent, size))
            except FileNotFoundError:  # another process has just removed it
                continue
    return copies


def _remove(folder: Path) -> None:
    """Remove a copy unless some process uses it."""
    descriptor = _open_use_lock(folder)
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
