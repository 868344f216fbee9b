"""The folder that a conversion writes: it appears, or takes the place of another, when it is whole."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from randwire.data.sidecar import SIDECAR
from randwire.data.sources import SPLITS
from randwire.errors import DataError

FILES = {SIDECAR, *(f"{split}.beton" for split in SPLITS)}


def check_output(output: Path, force: bool) -> None:
    """Raise DataError unless `output` may be written: absent, empty, or a converted set if `force` is given."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not output.is_dir() or not {path.name for path in output.iterdir()} <= FILES:
        raise DataError(f"{output}: holds something else than a converted set; name another OUTPUT")
    if not force:
        raise DataError(f"{output}: holds a converted set already; replace it with --force or name another OUTPUT")


@contextmanager
def replacing(output: Path, force: bool) -> Iterator[Path]:
    """A new folder beside `output` that takes its place when the block ends well, and vanishes when it does not.

    It has one name, so that what a killed conversion left is found and cleared; its lock goes with the process.
    """
    output = output.absolute()
    scratch = output.parent / f".{output.name}.partial"
    output.parent.mkdir(parents=True, exist_ok=True)
    with _alone(scratch, output):
        new, old = scratch / "new", scratch / "old"
        try:
            if old.exists() and not output.exists():  # killed between the two steps of a replacement
                old.rename(output)
            check_output(output, force)
            for left in (new, old):
                shutil.rmtree(left, ignore_errors=True)
            new.mkdir()
            yield new
            if output.exists():
                output.rename(old)
            new.rename(output)
        except BaseException:
            if old.exists() and not output.exists():
                old.rename(output)
            raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def _alone(scratch: Path, output: Path) -> Iterator[None]:
    """Hold the lock in `scratch` against other conversions to `output`. Raises DataError if one is running."""
    while True:
        scratch.mkdir(exist_ok=True)
        try:
            descriptor = os.open(scratch / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # another conversion has just ended and removed it
            continue
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataError(f"{output}: another conversion is writing it; wait for its end") from None
            try:
                if (scratch / "lock").stat().st_ino != os.fstat(descriptor).st_ino:
                    continue
            except FileNotFoundError:
                continue
            yield
            return
        finally:
            os.close(descriptor)
