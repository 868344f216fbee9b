"""The conversion: the images of both splits, and dataset.json, into a folder that appears when it is whole."""

import errno
import hashlib
import os
import sys
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from randwire.data import beton
from randwire.data.codec import Encoding
from randwire.data.convert.estimate import check_space
from randwire.data.convert.image import ConvertedImage, UnusableImage, convert_image
from randwire.data.convert.output import check_output, replacing
from randwire.data.convert.processes import ProcessPool, process_pool
from randwire.data.convert.summary import SplitSummary, warnings
from randwire.data.formats import counted
from randwire.data.reading import Reading
from randwire.data.sidecar import MIN_STD, SIDECAR, FileRecord, Sidecar
from randwire.data.sources import SPLITS, Source, Split
from randwire.errors import DataError, ProcessKilledError, one_line, system_text
from randwire.names import composed, is_utf8, printable, quoted
from randwire.stdio import bar_interval

Corrupt = Literal["fail", "skip"]

IMAGES_PER_PROCESS = 500
"""Images that another process is worth its start for."""
SHOWN_REASONS = 6
"""Reasons why files are left out that are told one by one."""
HASHED_BYTES = 1 << 24
"""Bytes of a file that are read at a time."""
OF_FULL_DISKS = (errno.ENOSPC, errno.EDQUOT)
"""Errors of writing alone, though what is unpacked is written while it is read."""


def convert(
    source: Source,
    name: str,
    output: Path,
    force: bool = False,
    encoding: Encoding | None = None,
    reading: Reading | None = None,
    corrupt: Corrupt = "fail",
    processes: int = 1,
    progress: bool = False,
) -> Sidecar:
    """Write the folder `output` with `processes` processes; the result does not depend on their number.

    `force` replaces a converted set that is there. `corrupt`: whether an image that cannot be used ends the conversion
    or is left out and listed in dataset.json. Raises DataError for an unusable source or output, and then, as with any
    other end but success, leaves `output` as it was.
    """
    encoding, reading = encoding or default_encoding(type(source)), reading or default_reading(type(source))
    try:
        check_output(output, force, _inputs(source))
        with replacing(output, force) as folder:
            source.scratch = folder.parent
            with _reading_errors(source.input or name):
                classes = tuple(source.class_names())
                labels = {split: source.labels(split) for split in SPLITS}
                _check_names(name, classes)
                if progress:
                    _print_notes(source)
            check_space(source, labels, encoding, reading, folder, output, progress)
            processes = min(processes, max(1, sum(map(len, labels.values())) // IMAGES_PER_PROCESS))
            summaries, files = {}, {}
            with process_pool(source, processes, folder.parent / "source.pickle") as pool:
                for split in SPLITS:
                    images = _converted(source, split, len(labels[split]), encoding, reading, pool)
                    path = folder / f"{split}.beton"
                    summaries[split] = SplitSummary()
                    usable = _usable(images, summaries[split], split, labels[split], corrupt, progress)
                    with closing(usable):  # the bar ends its line before an error begins one
                        tables_sha256 = _write(path, usable, len(labels[split]))
                    if not summaries[split].count:
                        raise DataError(f"{name}: no image of {split} can be used")
                    files[path.name] = path, tables_sha256
            if progress:
                for line in warnings(classes, summaries):
                    print(f"warning: {line}", file=sys.stderr)
            records = {file: _file_record(path, sha256, progress) for file, (path, sha256) in files.items()}
            left_out = {split: source.left_out(split) for split in SPLITS}
            sidecar = _sidecar(name, classes, encoding, reading, source.recorded(), summaries, left_out, records)
            with open(folder / SIDECAR, "w", encoding="utf-8") as file:
                file.write(sidecar.model_dump_json(indent=1) + "\n")
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        where = f" ({printable(str(error.filename))})" if error.filename else ""
        raise DataError(f"{printable(output)}: cannot be written: {system_text(error)}{where}") from None
    except ProcessKilledError:
        raise DataError(
            f"{printable(output)}: a process of the conversion was killed; if memory is short, choose fewer --processes"
        ) from None
    return sidecar


def _inputs(source: Source) -> list[Path]:
    """What the user names to be read. Names of options are first looked for in INPUT, as some sources do."""
    named = [path for path in source.given.values() if isinstance(path, Path)]
    if source.input is None:
        return named
    inside = [source.input / path for path in named]
    return [source.input, *(path if path.exists() else other for path, other in zip(inside, named, strict=True))]


@contextmanager
def _reading_errors(input: Path | str) -> Iterator[None]:
    """What the system does not let us read in the block is told as such, and not as a fault of OUTPUT."""
    try:
        yield
    except OSError as error:
        if error.errno in OF_FULL_DISKS:
            raise
        raise DataError(f"{printable(str(error.filename or input))}: cannot be read: {system_text(error)}") from None


def default_encoding(source: type[Source]) -> Encoding:
    """How images of a source are stored unless the user says otherwise."""
    return Encoding(source.mode, source.max_side)


def default_reading(source: type[Source]) -> Reading:
    """How image files of a source are read unless the user says otherwise."""
    return Reading(upright=source.upright)


def _print_notes(source: Source) -> None:
    """What the user should know of a source before it is converted."""
    for line in source.notes():
        print(f"note: {one_line(line)}", file=sys.stderr)
    for split in SPLITS:
        left_out = list(source.left_out(split).items())
        for reason, paths in left_out[:SHOWN_REASONS]:
            example = f"{'such as ' if len(paths) > 1 else ''}{printable(paths[0])}"
            print(f"left out of {split}: {counted(len(paths), reason)}, {example}", file=sys.stderr)
        if rest := left_out[SHOWN_REASONS:]:
            files = sum(len(paths) for _, paths in rest)
            print(
                f"left out of {split}: {files:,} more, of {len(rest)} other kinds, which {SIDECAR} names",
                file=sys.stderr,
            )


def _check_names(source: str, classes: Sequence[str]) -> None:
    """Raise DataError for names of classes that dataset.json cannot hold, or that two classes have."""
    if wrong := [name for name in classes if not is_utf8(name)]:
        raise DataError(f"{source}: the name of the class {quoted(wrong[0])} is not UTF-8; rename it")
    if twice := [name for name, count in Counter(map(composed, classes)).items() if count > 1]:
        raise DataError(f"{source}: two of its classes are called {quoted(twice[0])}")


def _converted(
    source: Source, split: Split, count: int, encoding: Encoding, reading: Reading, pool: ProcessPool | None
) -> Iterator[ConvertedImage | UnusableImage]:
    """The images of a split in order."""
    if pool is None:
        return (convert_image(source, split, index, encoding, reading) for index in range(count))
    return pool.convert(split, count, encoding, reading)


def _usable(
    images: Iterable[ConvertedImage | UnusableImage],
    summary: SplitSummary,
    split: Split,
    labels: "NDArray[np.integer]",
    corrupt: Corrupt,
    progress: bool,
) -> Generator[beton.StoredImage, None, None]:
    """The images that can be stored, with their labels; adds each to `summary`."""
    interval = bar_interval()
    with tqdm(images, desc=split, total=len(labels), unit=" images", disable=not progress, mininterval=interval) as bar:
        for image, label in zip(bar, labels, strict=True):
            if isinstance(image, UnusableImage):
                if corrupt == "fail":
                    raise DataError(f"{image.reason} (--corrupt skip leaves such images out)")
                summary.skipped.append(image.name)
                bar.write(f"skipped: {one_line(image.reason)}", file=sys.stderr)
                continue
            summary.add(image, int(label))
            yield image.stored._replace(label=int(label))


def _write(path: Path, images: Iterator[beton.StoredImage], capacity: int) -> str:
    """Write at most `capacity` images, to the disk; returns the SHA-256 of the file's tables."""
    with open(path, "wb") as file:
        tables_sha256 = beton.write(file, images, capacity)
        file.flush()
        os.fsync(file.fileno())
    return tables_sha256


def _sidecar(
    name: str,
    classes: tuple[str, ...],
    encoding: Encoding,
    reading: Reading,
    options: Mapping[str, float],
    summaries: dict[Split, SplitSummary],
    left_out: Mapping[Split, Mapping[str, Sequence[str]]],
    files: dict[str, FileRecord],
) -> Sidecar:
    mean, (red, green, blue) = summaries["train"].mean_and_std()
    return Sidecar(
        source=name,
        classes=classes,
        sizes={split: summary.count for split, summary in summaries.items()},
        mean=mean,
        std=(max(red, MIN_STD), max(green, MIN_STD), max(blue, MIN_STD)),
        mode=encoding.mode,
        quality=None if encoding.mode == "raw" else encoding.quality,
        compress_probability=encoding.compress_probability if encoding.mode == "proportion" else None,
        reduced_to=encoding.max_side,
        max_side=max(summary.max_side for summary in summaries.values()),
        source_sha256={split: summary.source_sha256.hexdigest() for split, summary in summaries.items()},
        skipped={split: tuple(summary.skipped) for split, summary in summaries.items()},
        left_out={
            split: {reason: len(paths) for reason, paths in by_reason.items()} for split, by_reason in left_out.items()
        },
        reading=reading,
        options=dict(options),
        files=files,
    )


def _file_record(path: Path, tables_sha256: str, progress: bool) -> FileRecord:
    digest, size = hashlib.sha256(), path.stat().st_size
    hidden = not progress or not sys.stderr.isatty()
    description = f"{path.name} SHA-256"
    with (
        open(path, "rb") as file,
        tqdm(desc=description, total=size, unit="B", unit_scale=True, leave=False, disable=hidden) as bar,
    ):
        while block := file.read(HASHED_BYTES):
            digest.update(block)
            bar.update(len(block))
    return FileRecord(bytes=size, sha256=digest.hexdigest(), tables_sha256=tables_sha256)
