"""Convert a source to the form that training reads: `python -m randwire.data.convert SOURCE [INPUT] OUTPUT`.

OUTPUT becomes a folder with train.beton, val.beton and dataset.json. It appears when all of it is written.
"""

import argparse
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from randwire import registry
from randwire.data import beton
from randwire.data.dataset import SIDECAR, Channels, FileRecord, Sidecar, load_source
from randwire.data.errors import DataError
from randwire.data.sources import SPLITS, Source, Split


def convert(source: Source, name: str, output: Path, force: bool = False) -> Sidecar:
    """Write the folder `output`; a progress bar shows on stderr if that is a terminal.

    `force` replaces a converted set that is there. Raises DataError for an unusable source or output, and then, as
    with any other end but success, leaves `output` as it was.
    """
    _refuse(output, force)
    names, sizes = source.class_names(), source.sizes()
    try:
        with _replacing(output) as folder:
            pixels = {split: _write(source, split, folder / f"{split}.beton", sizes[split]) for split in SPLITS}
            sidecar = Sidecar(
                source=name,
                classes=names,
                sizes=dict(sizes),
                mean=_channels(pixels["train"].mean),
                std=_channels(pixels["train"].std),
                mode=source.mode,
                max_side=max(part.side for part in pixels.values()),
                files={path.name: _record(path) for path in sorted(folder.glob("*.beton"))},
            )
            (folder / SIDECAR).write_text(sidecar.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise DataError(f"{output}: cannot be written: {error.strerror}") from None
    return sidecar


def _write(source: Source, split: Split, path: Path, count: int) -> beton.Pixels:
    samples = tqdm(source.images(split), desc=split, total=count, unit="img", disable=None)
    with open(path, "wb") as file:
        pixels = beton.write(file, samples, count, source.mode)
        file.flush()
        os.fsync(file.fileno())
    return pixels


def _channels(values: NDArray[np.float64]) -> Channels:
    red, green, blue = (round(float(value), 6) for value in values)
    return red, green, blue


def _record(path: Path) -> FileRecord:
    with open(path, "rb") as file:
        return FileRecord(bytes=path.stat().st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest())


def _refuse(output: Path, force: bool) -> None:
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not output.is_dir() or not {path.name for path in output.iterdir()} <= {
        SIDECAR,
        *(f"{split}.beton" for split in SPLITS),
    }:
        raise DataError(f"{output}: holds something else than a converted set; name another OUTPUT")
    if not force:
        raise DataError(f"{output}: holds a converted set already; replace it with --force or name another OUTPUT")


@contextmanager
def _replacing(output: Path) -> Iterator[Path]:
    """A new folder beside `output` that takes its place when the block ends well, and vanishes when it does not."""
    output = output.absolute()
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.", suffix=".partial") as scratch:
        new, old = Path(scratch, "new"), Path(scratch, "old")
        new.mkdir()
        yield new
        try:
            if output.exists():
                output.rename(old)
            new.rename(output)
        except BaseException:
            if old.exists():
                old.rename(output)
            raise


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise DataError(f"{message}; see --help")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0 done, 2 wrong usage or unusable data, 130 interrupted."""
    parser = _Parser(prog="python -m randwire.data.convert", description=__doc__.splitlines()[0])
    known = ", ".join(registry.names("randwire.data.sources"))
    parser.usage = "%(prog)s [-h] [--force] SOURCE [INPUT] OUTPUT"
    parser.add_argument("source", metavar="SOURCE", help=f"one of {known}")
    parser.add_argument("paths", metavar="[INPUT] OUTPUT", nargs="+", type=Path, help="INPUT unless embedded; OUTPUT")
    parser.add_argument("--force", action="store_true", help="replace a converted set at OUTPUT")
    try:
        chosen = parser.parse_args(arguments)
        source = load_source(chosen.source)
        if len(chosen.paths) != (1 if source.embedded else 2):
            needed = "OUTPUT" if source.embedded else "INPUT OUTPUT"
            raise DataError(f"{chosen.source}: takes {needed}, not {len(chosen.paths)} paths")
        output = chosen.paths[-1]
        sidecar = convert(source(None if source.embedded else chosen.paths[0]), chosen.source, output, chosen.force)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("error: interrupted; nothing was written", file=sys.stderr)
        return 130
    sizes = ", ".join(f"{sidecar.sizes[split]} {split}" for split in SPLITS)
    print(f"{output}: {sizes} images, {len(sidecar.classes)} classes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
