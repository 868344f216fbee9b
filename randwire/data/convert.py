"""Convert a source to the form that training reads: `python -m randwire.data.convert SOURCE [INPUT] OUTPUT`.

OUTPUT becomes a folder with train.beton, val.beton and dataset.json. It appears when all of it is written; a conversion
that ends in any other way leaves what was there, and the next one clears what is left of a killed one.
"""

import hashlib
import multiprocessing
import os
import pickle
import shutil
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from randwire.data import beton, codec
from randwire.data.codec import Encoding
from randwire.data.output import refuse, replacing
from randwire.data.sidecar import SIDECAR, Channels, FileRecord, Sidecar
from randwire.data.sources import SPLITS, Source, Split
from randwire.errors import DataError

Corrupt = Literal["fail", "skip"]
_Channel: TypeAlias = "Connection[Any, Any]"

CHUNK = 16
"""Images that a process converts at a time: 12 MB of raw ones at 500 pixels."""
PROBES = 48
"""Images of a split that are encoded beforehand to know how much space all will need."""
MARGIN = 1.05
AHEAD = 4
"""Chunks for each process that may be in the making or wait to be written."""
WORTH_A_PROCESS = 500
"""Images that another process is worth its start for."""


class _Failure(NamedTuple):
    """An image that cannot be used: what it is called, and the line that says why."""

    name: str
    reason: str


class _Image(NamedTuple):
    sample: beton.Sample
    histogram: NDArray[np.int64]
    digest: bytes


@dataclass
class _Seen:
    """What is known of a split when it is written: value counts (3, 256), largest side, digest, unusable images."""

    histogram: NDArray[np.int64] = field(default_factory=lambda: np.zeros((3, 256), np.int64))
    side: int = 0
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    count: int = 0
    skipped: list[str] = field(default_factory=list)

    def add(self, image: _Image) -> None:
        self.histogram += image.histogram
        self.side = max(self.side, image.sample.width, image.sample.height)
        self.digest.update(image.digest)
        self.count += 1

    def channels(self) -> tuple[Channels, Channels]:
        """Mean and standard deviation of each channel, in 0..255."""
        values, weights = np.arange(256.0), self.histogram / self.histogram.sum(axis=1, keepdims=True)
        mean = weights @ values
        std = np.sqrt((weights * (values[None, :] - mean[:, None]) ** 2).sum(axis=1))
        return _channels(mean), _channels(std)


def convert(
    source: Source,
    name: str,
    output: Path,
    force: bool = False,
    encoding: Encoding | None = None,
    corrupt: Corrupt = "fail",
    workers: int = 1,
    progress: bool = False,
) -> Sidecar:
    """Write the folder `output` with `workers` processes; the result does not depend on their number.

    `force` replaces a converted set that is there. `corrupt`: whether an image that cannot be used ends the conversion
    or is left out and listed in dataset.json. Raises DataError for an unusable source or output, and then, as with any
    other end but success, leaves `output` as it was.
    """
    refuse(output, force)
    encoding = encoding or default_encoding(type(source))
    names = tuple(source.class_names())
    labels = {split: source.labels(split) for split in SPLITS}
    if progress:
        for line in source.notes():
            print(f"note: {line}", file=sys.stderr)
    try:
        with replacing(output, force) as folder:
            _check_space(source, labels, encoding, output, progress)
            seen, tables = {}, {}
            workers = min(workers, max(1, sum(map(len, labels.values())) // WORTH_A_PROCESS))
            with _pool(source, workers, folder.parent / "source.pickle") as pool:
                for split in SPLITS:
                    seen[split] = _Seen()
                    images = _converted(source, split, len(labels[split]), encoding, pool)
                    samples = _usable(images, seen[split], split, labels[split], corrupt, progress)
                    with open(folder / f"{split}.beton", "wb") as file:
                        tables[split] = beton.write(file, samples, len(labels[split]))
                        file.flush()
                        os.fsync(file.fileno())
                    if not seen[split].count:
                        raise DataError(f"{name}: no image of {split} can be used")
            mean, std = seen["train"].channels()
            sidecar = Sidecar(
                source=name,
                classes=names,
                sizes={split: seen[split].count for split in SPLITS},
                mean=mean,
                std=std,
                mode=encoding.mode,
                quality=None if encoding.mode == "raw" else encoding.quality,
                compress_probability=encoding.compress_probability if encoding.mode == "proportion" else None,
                reduced_to=encoding.max_side,
                max_side=max(part.side for part in seen.values()),
                source_sha256={split: seen[split].digest.hexdigest() for split in SPLITS},
                skipped={split: tuple(seen[split].skipped) for split in SPLITS},
                files={
                    f"{split}.beton": _record(folder / f"{split}.beton", tables[split], progress) for split in SPLITS
                },
            )
            (folder / SIDECAR).write_text(sidecar.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise DataError(f"{output}: cannot be written: {error.strerror}") from None
    except _WorkerError:
        raise DataError(
            f"{output}: a process of the conversion was killed (out of memory?); try fewer --workers"
        ) from None
    return sidecar


def default_encoding(source: type[Source]) -> Encoding:
    """How images of a source are stored unless the user says otherwise."""
    return Encoding(source.mode, source.max_side)


def estimate(source: Source, split: Split, labels: "NDArray[np.integer]", encoding: Encoding) -> float:
    """Bytes that the file of a split will take, from some of its images, spread evenly."""
    probed = np.unique(np.linspace(0, len(labels) - 1, min(PROBES, len(labels))).astype(int))
    sizes = [
        len(image.sample.payload)
        for index in probed
        if isinstance(image := _one(source, split, int(index), encoding), _Image)
    ]
    rows = beton.SAMPLE.itemsize + beton.ALLOCATION.itemsize
    return len(labels) * (float(np.mean(sizes or [0])) + rows) + 3 * beton.PAGE


def _check_space(
    source: Source, labels: "dict[Split, NDArray[np.integer]]", encoding: Encoding, output: Path, progress: bool
) -> None:
    needed = sum(estimate(source, split, labels[split], encoding) for split in SPLITS)
    free = shutil.disk_usage(output.absolute().parent).free
    if progress:
        counts = ", ".join(f"{len(labels[split]):,} {split}" for split in SPLITS)
        print(f"{counts} images will take about {needed / 1e9:,.2f} GB; {free / 1e9:,.1f} GB are free", file=sys.stderr)
    if needed * MARGIN > free:
        raise DataError(
            f"{output}: needs about {needed * MARGIN / 1e9:,.2f} GB and {free / 1e9:,.2f} GB are free there; choose "
            "another disk or a smaller --max-side (--estimate shows what each would take)"
        )


def _usable(
    images: Iterable[_Image | _Failure],
    seen: _Seen,
    split: Split,
    labels: "NDArray[np.integer]",
    corrupt: Corrupt,
    progress: bool,
) -> Iterator[beton.Sample]:
    # A bar for a terminal, a line now and then for a log.
    interval = 0.2 if sys.stderr.isatty() else 30.0
    bar = tqdm(images, desc=split, total=len(labels), unit=" images", disable=not progress, mininterval=interval)
    for image, label in zip(bar, labels, strict=True):
        if isinstance(image, _Failure):
            if corrupt == "fail":
                raise DataError(f"{image.reason} (--corrupt skip leaves such images out)")
            seen.skipped.append(image.name)
            bar.write(f"skipped: {image.reason}", file=sys.stderr)
            continue
        seen.add(image)
        yield image.sample._replace(label=int(label))


def _one(source: Source, split: Split, index: int, encoding: Encoding) -> _Image | _Failure:
    name = source.name(split, index)
    content = source.image(split, index)
    try:
        image = codec.pixels(content, name, source.upright) if isinstance(content, bytes) else content
        if max(image.shape[:2]) >= 1 << 16:
            raise DataError(f"{name}: {image.shape[1]}x{image.shape[0]} pixels are too large to be stored")
        stored = codec.encode(image, encoding, split, index)
    except DataError as error:
        return _Failure(name, str(error))
    digest = hashlib.sha256(content if isinstance(content, bytes) else np.ascontiguousarray(content).tobytes())
    checksum = beton.checksum(stored.payload)
    sample = beton.Sample(stored.payload, stored.jpg, stored.width, stored.height, -1, checksum, name)
    return _Image(sample, stored.histogram, digest.digest())


class _Task(NamedTuple):
    """Images of a split, [start, stop), that a process converts in one go."""

    split: Split
    start: int
    stop: int
    encoding: Encoding


class _WorkerError(Exception):
    """A process of the pool has ended that should not have."""


def _serve(channel: _Channel, place: Path) -> None:
    """A process of the pool: do the tasks that come, until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent sees it, and ends the pool
    source: Source = pickle.loads(place.read_bytes())
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            task: _Task = channel.recv()
            try:
                done: list[_Image | _Failure] | Exception = [
                    _one(source, task.split, index, task.encoding) for index in range(task.start, task.stop)
                ]
            except Exception as error:
                error.add_note(f"in a process of the conversion:\n{traceback.format_exc()}")
                done = error
            channel.send(done)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A block, such as the start of a process, that SIGINT does not tear: KeyboardInterrupt comes after it.

    A process started in it has SIGINT blocked: it would print a traceback if it came before `_begin`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupts: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, frame: interrupts.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
    if interrupts:
        raise KeyboardInterrupt


class _Pool:
    """Processes that are started anew, not forked: the caller may hold threads and locks.

    Each has a pipe of its own, whose other end it alone holds: if it is killed, the pipe ends, even in the midst of a
    message, for whose rest the caller would wait at a queue that processes share. They get the source by a file at
    `place`: large arguments block for ever if a process dies before it has read them.
    """

    def __init__(self, source: Source, workers: int, place: Path) -> None:
        place.write_bytes(pickle.dumps(source))
        context = multiprocessing.get_context("spawn")
        self._processes: dict[_Channel, BaseProcess] = {}
        try:
            with _undisturbed():
                for _ in range(workers):
                    ours, theirs = context.Pipe()
                    process = context.Process(target=_serve, args=(theirs, place), daemon=True)
                    process.start()
                    theirs.close()
                    self._processes[ours] = process
        except BaseException:
            self.close()
            raise

    def convert(self, tasks: Sequence[_Task]) -> Iterator[_Image | _Failure]:
        """The images of all tasks in order, while AHEAD further tasks for each process are in the making.

        Raises _WorkerError if a process has been killed.
        """
        asked: dict[_Channel, deque[int]] = {channel: deque() for channel in self._processes}
        done: dict[int, list[_Image | _Failure]] = {}
        sent = 0
        for number in range(len(tasks)):
            while sent < min(len(tasks), number + AHEAD * len(asked)):
                channel = min(asked, key=lambda one: len(asked[one]))
                with _alive():
                    channel.send(tasks[sent])
                asked[channel].append(sent)
                sent += 1
            while number not in done:
                for ready in wait([channel for channel, numbers in asked.items() if numbers]):
                    assert isinstance(ready, Connection)
                    with _alive():
                        found = ready.recv()
                    if isinstance(found, Exception):
                        raise found
                    done[asked[ready].popleft()] = found
            yield from done.pop(number)

    def close(self) -> None:
        """End all processes, whatever they do."""
        for process in self._processes.values():
            process.kill()
        for channel, process in self._processes.items():
            process.join()
            channel.close()


@contextmanager
def _alive() -> Iterator[None]:
    """What happens to a pipe in the block is told as the end of the process behind it."""
    try:
        yield
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise _WorkerError from None


@contextmanager
def _pool(source: Source, workers: int, place: Path) -> Iterator[_Pool | None]:
    """None for one worker: this process."""
    if workers == 1:
        yield None
        return
    pool = _Pool(source, workers, place)
    try:
        yield pool
    finally:
        pool.close()


def _converted(
    source: Source, split: Split, count: int, encoding: Encoding, pool: _Pool | None
) -> Iterator[_Image | _Failure]:
    """The images of a split in order."""
    if pool is None:
        return (_one(source, split, index, encoding) for index in range(count))
    return pool.convert([_Task(split, start, min(start + CHUNK, count), encoding) for start in range(0, count, CHUNK)])


def _channels(values: NDArray[np.float64]) -> Channels:
    red, green, blue = (round(float(value), 6) for value in values)
    return red, green, blue


def _record(path: Path, tables_sha256: str, progress: bool) -> FileRecord:
    digest, size = hashlib.sha256(), path.stat().st_size
    with (
        open(path, "rb") as file,
        tqdm(desc=f"{path.name} SHA-256", total=size, unit="B", unit_scale=True, leave=False, disable=not progress
             or not sys.stderr.isatty()) as bar,
    ):  # fmt: skip
        while block := file.read(1 << 24):
            digest.update(block)
            bar.update(len(block))
    return FileRecord(bytes=size, sha256=digest.hexdigest(), tables_sha256=tables_sha256)


USUAL = (
    Encoding("jpg", 500),
    Encoding("jpg", 400),
    Encoding("jpg", 256),
    Encoding("proportion", 400),
    Encoding("raw", 400),
    Encoding("raw", 256),
)


def show_estimate(source: Source, chosen: Encoding) -> None:
    """Print what the set would take on disk as chosen, and as some usual choices."""
    labels = {split: source.labels(split) for split in SPLITS}
    print(f"{'mode':<12}{'max side':>9}{'quality':>9}{'GB':>10}")
    others = (replace(usual, quality=chosen.quality) for usual in USUAL)
    for encoding in (chosen, *(other for other in others if other != chosen)):
        size = sum(estimate(source, split, labels[split], encoding) for split in SPLITS)
        quality = "-" if encoding.mode == "raw" else str(encoding.quality)
        mark = "  as chosen" if encoding is chosen else ""
        print(f"{encoding.mode:<12}{encoding.max_side or 'any':>9}{quality:>9}{size / 1e9:>10.2f}{mark}")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0 done, 2 wrong usage or unusable data, 130 interrupted."""
    from randwire.data import _command

    return _command.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
