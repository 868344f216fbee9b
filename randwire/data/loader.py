"""Batches of a converted data set.

FFCV's file format and its C decoder, but not its `Loader`: that one waits for ever when an operation fails, leaks
a thread at every `break`, hands out buffers that it overwrites, sets torch's threads, and draws augmentations that
depend on the number of threads. Here each batch is new memory, cut into pieces that a pool of threads fills with one
compiled function; whatever fails in a piece is raised where the batch is taken. The pool belongs to the loader, not to
an epoch, because FFCV's library keeps a JPEG decoder for each thread and never frees it.
"""

import mmap
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from randwire import machine, streams
from randwire.config import DataConfig
from randwire.data import beton, holdout
from randwire.data.dataset import Dataset
from randwire.data.decoder import decode
from randwire.errors import DataError

BATCHES_AHEAD = 3
"""Batches in the making while one is in use."""

PART_BYTES = 1 << 30
"""Bytes of the file that are mixed with each other in quasi-random order."""

Ids = NDArray[np.int64]
Reading = Literal["train", "holdout", "val"]


class _Pending(NamedTuple):
    images: Tensor
    labels: Tensor
    pieces: Sequence[Future[None]]


@dataclass(frozen=True)
class Batching:
    """Which images a loader puts into a batch, by how many threads, and in which memory.

    `batch_size` counts the images of a step on this rank. `threads` threads decode, at most as many as the process may
    use CPUs; 0 means so many. `page_locked` memory, for which CUDA is needed, can be copied to a GPU without the host;
    it is scarce: for batches that are sent soon. Raises ValueError for impossible numbers.
    """

    batch_size: int
    rank: int = 0
    world_size: int = 1
    seed: int = 0
    threads: int = 1
    page_locked: bool = False

    def __post_init__(self) -> None:
        if self.batch_size < 1 or not 0 <= self.rank < self.world_size or self.threads < 0 or self.seed < 0:
            raise ValueError(f"impossible {self}")

    @property
    def global_batch_size(self) -> int:
        """The images of a step on all ranks together."""
        return self.batch_size * self.world_size


class Loader:
    """Batches of one split on one rank.

    train: in step t, the ranks together see positions t*G to (t+1)*G of a permutation drawn from (seed, epoch), where
    G = batch_size * world_size, rank r its r-th part; the rest below G is left out. Crop and flip are drawn from
    (seed, epoch, image). So pixels depend neither on threads nor on ranks nor on where a run was resumed. In
    quasi-random order, the file is read in parts of about `PART_BYTES`: its pages are permuted, those of a part read
    ahead, and the images of a part permuted.

    val: rank r sees images r, r + world_size, ...: every image once over all ranks, the last batch may be smaller, and
    a rank may have no batch at all. The crop is the centered square of `eval_crop` of the shorter side.

    holdout: as val, but over the `data.holdout` images of the file of train that are held out; train is without them.

    `split` says which of them it is, `path` which file it reads. Use a loader in the process that made it.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: Reading,
        config: DataConfig,
        batching: Batching,
    ) -> None:
        """Map the file and compile the decoder.

        Raises DataError if there is less than a global batch to train on or if the file cannot be opened, ValueError
        for split holdout where nothing is held out.
        """
        self._batching = batching
        self.split: Reading = split
        self._train = split == "train"
        if split == "holdout" and not config.holdout:
            raise ValueError("data.holdout is 0: nothing is held out")
        of_file = "val" if split == "val" else "train"
        images = dataset.sizes[of_file]
        if of_file == "train":
            holdout.check(dataset.source, images, config.holdout, batching.global_batch_size if self._train else 1)
        self._config = config
        self.path = dataset.file(of_file)
        self._open(images)
        self._ids = self._images_of(split)
        usable = machine.cpus()
        self._threads = min(batching.threads or usable, usable)
        self._pool = ThreadPoolExecutor(self._threads, f"randwire-{split}")
        self._decode(np.empty(0, np.int64), np.empty((0, 1, 1, 3), np.uint8), np.uint64(0))  # compiles it

    def __len__(self) -> int:
        """Steps of an epoch on this rank."""
        if self._train:
            return len(self._ids) // self._batching.global_batch_size
        return -(-len(self._shard()) // self._batching.batch_size)

    def epoch(self, number: int, resolution: int | None = None, first_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch, the same at every call: images uint8 (B, 3, R, R) channels last, labels int64 (B,).

        R is `resolution`, or that of the configuration. The batches of the steps before `first_step` are left out, and
        nothing is read for them; those after it are what they would have been. Each batch is memory of its own that
        nothing overwrites. Raises DataError at the batch that cannot be read.
        """
        order, key = streams.images(self._batching.seed, number)
        pending: deque[_Pending] = deque()
        try:
            for ids in self._batches(order, first_step):
                pending.append(self._submit(ids, key, resolution or self._config.resolution))
                if len(pending) > BATCHES_AHEAD:
                    yield self._take(pending.popleft())
            while pending:
                yield self._take(pending.popleft())
        finally:
            wait([piece for batch in pending for piece in batch.pieces if not piece.cancel()])

    def close(self) -> None:
        """End the threads; the loader cannot be used afterwards. Batches taken remain valid."""
        self._pool.shutdown(cancel_futures=True)

    def _open(self, images: int) -> None:
        try:
            with open(self.path, "rb") as file:
                self._tables = beton.read_tables(file, images)
                self._map = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path}: cannot be opened ({error}); convert the data again") from None
        self._data = np.frombuffer(self._map, np.uint8)

    def _images_of(self, split: Reading) -> Ids:
        """The numbers in the file, ascending, of the images of a split."""
        labels, config = self._tables.labels, self._config
        if split == "val" or not config.holdout:
            return np.arange(len(labels))
        held_out = holdout.held_out(labels, config.holdout, config.holdout_seed)
        return held_out if split == "holdout" else np.delete(np.arange(len(labels)), held_out)

    def _shard(self) -> Ids:
        """The images that this rank takes in evaluation."""
        return self._ids[self._batching.rank :: self._batching.world_size]

    def _batches(self, order: np.random.Generator, first_step: int = 0) -> Iterator[Ids]:
        size = self._batching.batch_size
        if not self._train:
            shard = self._shard()
            yield from (shard[start : start + size] for start in range(first_step * size, len(shard), size))
            return
        parts, page_bytes = self._parts(order), self._tables.page_bytes
        permutation, ends = np.concatenate([ids for _, ids in parts]), np.cumsum([len(ids) for _, ids in parts])
        # Parts that are trained already are not read again.
        requested = int(np.searchsorted(ends, first_step * self._batching.global_batch_size, "right"))
        for step in range(first_step, len(self)):
            start = step * self._batching.global_batch_size + self._batching.rank * size
            while requested < len(parts) and requested <= np.searchsorted(ends, start, "right") + 1:
                for page in parts[requested][0]:  # of the part in use and the next one
                    self._map.madvise(mmap.MADV_WILLNEED, page * page_bytes, page_bytes)
                requested += 1
            yield permutation[start : start + size]

    def _parts(self, stream: np.random.Generator) -> list[tuple[Sequence[int], Ids]]:
        """The images of an epoch in order, cut into parts, each with the pages of the file to be read before it."""
        if self._config.order == "random":
            return [((), self._ids[stream.permutation(len(self._ids))])]
        page_of = (self._tables.images["offset"][self._ids] // self._tables.page_bytes).astype(np.int64)
        pages = stream.permutation(np.unique(page_of))
        turn = np.empty(page_of.max() + 1, np.int64)
        turn[pages] = np.arange(len(pages)) // max(1, PART_BYTES // self._tables.page_bytes)
        order = stream.permutation(len(self._ids))
        order = order[np.argsort(turn[page_of[order]], kind="stable")]
        cuts = np.flatnonzero(np.diff(turn[page_of[order]])) + 1
        parts = enumerate(np.split(self._ids[order], cuts))
        return [(pages[turn[pages] == number].tolist(), ids) for number, ids in parts]

    def _submit(self, ids: Ids, key: np.uint64, side: int) -> _Pending:
        # Made in the thread that takes batches: page-locked memory belongs to that thread's device.
        images = torch.empty(len(ids), side, side, 3, dtype=torch.uint8, pin_memory=self._batching.page_locked)
        array = images.numpy()
        cuts = np.linspace(0, len(ids), min(self._threads, len(ids)) + 1).astype(int)
        pieces = [self._pool.submit(self._decode, ids[a:b], array[a:b], key) for a, b in pairwise(cuts)]
        return _Pending(images.permute(0, 3, 1, 2), torch.from_numpy(self._tables.labels[ids]), pieces)

    def _take(self, batch: _Pending) -> tuple[Tensor, Tensor]:
        try:
            for piece in batch.pieces:
                piece.result()
        except CancelledError:
            raise RuntimeError("the loader was closed") from None
        return batch.images, batch.labels

    def _decode(self, ids: Ids, images: NDArray[np.uint8], key: np.uint64) -> None:
        config, tables = self._config, self._tables
        area, aspect = np.array(config.crop_area, np.float64), np.array(config.crop_aspect, np.float64)
        damaged = decode(
            self._data, tables.images, tables.sizes, tables.checksums, ids, images, int(self._train), key, area,
            aspect, config.flip, config.eval_crop,
        )  # fmt: skip
        if damaged >= 0:
            raise DataError(f"{self.path}: image {damaged} is damaged; convert the data again")
