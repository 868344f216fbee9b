"""The images of a converted file, each read and decoded once, as the loader does it."""

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from randwire.data import beton
from randwire.data.decoder import UNDECODABLE, survey
from randwire.errors import DataError, system_text

CHUNK_BYTES = 8 * beton.PAGE_BYTES
"""Bytes of the file that are read at a time: whole pages, none of whose images crosses a border."""
CHUNKS_AHEAD = 3
"""Chunks that are decoded while another is read."""
PIECE_IMAGES = 32
"""Images that a thread decodes at a time."""

Ids = NDArray[np.int64]


@dataclass
class ReadFile:
    """What a file holds: its tables, its SHA-256, how often each value occurs (3, 256), and the bad images.

    `bad` says of each bad image, by its number in the file, what is wrong; its pixels are not counted.
    """

    tables: beton.Tables
    sha256: str = ""
    histogram: NDArray[np.int64] = field(default_factory=lambda: np.zeros((3, 256), np.int64))
    bad: dict[int, str] = field(default_factory=dict)

    @property
    def good(self) -> Ids:
        """The numbers of all other images, ascending."""
        return np.setdiff1d(np.arange(len(self.tables.labels)), np.array(sorted(self.bad), np.int64))


class _Piece(NamedTuple):
    """Some images, the state of each (see `survey`) and their values."""

    ids: Ids
    state: NDArray[np.uint8]
    histogram: NDArray[np.int64]


def read_back(path: Path, images: int, threads: int, bar: "tqdm[NoReturn]") -> ReadFile:
    """Read a file of `images` images, which `split_files.check` has passed, from its begin to its end.

    `threads` threads decode; `bar` counts images. Raises DataError if it cannot be read.
    """
    try:
        with open(path, "rb") as file, ThreadPoolExecutor(threads, "randwire-check") as pool:
            read = ReadFile(beton.read_tables(file, images))
            digest = hashlib.sha256()
            file.seek(0)
            pending: deque[list[Future[_Piece]]] = deque()
            # By their place in the file, which is the order of their numbers unless another program has written it.
            order = np.argsort(read.tables.images["offset"], kind="stable")
            offsets = read.tables.images["offset"][order].astype(np.int64)
            for start, content in _chunks(file, max(CHUNK_BYTES, read.tables.page_bytes)):
                digest.update(content)
                first, last = np.searchsorted(offsets, (start, start + len(content)))
                pending.append(_submit(pool, read.tables, order[first:last], start, content))
                if len(pending) > CHUNKS_AHEAD:
                    _take(pending.popleft(), read, bar)
            while pending:
                _take(pending.popleft(), read, bar)
            read.sha256 = digest.hexdigest()
    except (OSError, ValueError) as error:
        reason = system_text(error) if isinstance(error, OSError) else error
        raise DataError(f"{path}: cannot be read: {reason}") from None
    return read


def _chunks(file: IO[bytes], size: int) -> Iterator[tuple[int, bytes]]:
    """The content of a file in pieces of `size` bytes, each with its place."""
    start = 0
    while content := file.read(size):
        yield start, content
        start += len(content)


def _submit(
    pool: ThreadPoolExecutor, tables: beton.Tables, ids: Ids, start: int, content: bytes
) -> list[Future[_Piece]]:
    """Let the images `ids` be looked at, which are in `content`, the bytes of the file from `start`."""
    data, rows = np.frombuffer(content, np.uint8), tables.images[ids].copy()
    rows["offset"] -= np.uint64(start)
    sizes, checksums = tables.sizes[ids], tables.checksums[ids]

    def look(first: int, last: int) -> _Piece:
        state, histogram = np.zeros(last - first, np.uint8), np.zeros((3, 256), np.int64)
        survey(data, rows, sizes, checksums, np.arange(first, last), histogram, state)
        return _Piece(ids[first:last], state, histogram)

    return [pool.submit(look, first, min(first + PIECE_IMAGES, len(ids))) for first in range(0, len(ids), PIECE_IMAGES)]


def _take(pieces: list[Future[_Piece]], read: ReadFile, bar: "tqdm[NoReturn]") -> None:
    for piece in pieces:
        ids, state, histogram = piece.result()
        read.histogram += histogram
        for number in np.flatnonzero(state):
            changed = "its bytes are not those that were written"
            reason = "its JPEG cannot be decoded" if state[number] == UNDECODABLE else changed
            read.bad[int(ids[number])] = reason
        bar.update(len(ids))
