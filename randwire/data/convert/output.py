"""The folder that a conversion writes: its files are made inside it, and moved to their places when all are whole.

Nothing else of the folder is touched, so that it may be a mount point, a link, or all that can be written there:

    OUTPUT/.partial/lock    held by the conversion that writes OUTPUT
    OUTPUT/.partial/new     the files in the making
    OUTPUT/.partial/whole   is there while they are moved: if that is cut short, the next conversion goes on with it
"""

import errno
import fcntl
import os
import shutil
import signal
import stat
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from randwire.data.sidecar import SIDECAR
from randwire.data.sources import SPLITS, is_junk
from randwire.errors import DataError
from randwire.names import printable
from randwire.records import NO_LOCKS
from randwire.storage import kind_of_file

SHEET = "contact-sheet.png"
"""A picture of the set that may lie beside its files; it goes with the set."""
FILES = (*(f"{split}.beton" for split in SPLITS), SIDECAR)
"""In the order in which they are moved: a set without its dataset.json is none."""
STAGING, TRIAL = ".partial", ".partial-trial"


def check_output(output: Path, force: bool, inputs: Iterable[Path] = ()) -> None:
    """Raise DataError unless `output` may be written: absent, empty, or a converted set if `force` is given.

    Nor may it lie in one of the folders `inputs`, which are read.
    """
    place, shown = _place(output), printable(output)
    for folder in inputs:
        if folder.is_dir() and any(path.exists() and path.samefile(folder) for path in (place, *place.parents)):
            raise DataError(f"{shown}: lies in {printable(folder)}, which is read; name an OUTPUT outside of it")
    if not place.exists():
        return
    if not place.is_dir():
        raise DataError(f"{shown}: is {kind_of_file(place.stat().st_mode)}; name a folder as OUTPUT")
    names = {path.name for path in place.iterdir() if not is_junk(path.name)} - {TRIAL}
    names -= {STAGING} if _is_staging(place / STAGING) else set()
    if foreign := sorted(names - {*FILES, SHEET}):
        more = f" and {len(foreign) - 1:,} more" if len(foreign) > 1 else ""
        raise DataError(
            f"{shown}: holds {printable(foreign[0])}{more}, no part of a converted set; name another OUTPUT"
        )
    if folders := [name for name in (*FILES, SHEET) if (place / name).is_dir()]:
        raise DataError(f"{shown}: holds a folder {folders[0]}, no part of a converted set; name another OUTPUT")
    if not force and (there := sorted(names & {*FILES})) and not (place / STAGING / "whole").exists():
        what = "a converted set already" if SIDECAR in there else f"{there[0]}, but no {SIDECAR}"
        raise DataError(f"{shown}: holds {what}; replace it with --force or name another OUTPUT")


@contextmanager
def replacing(output: Path, force: bool) -> Iterator[Path]:
    """A new folder inside of `output`, whose files move to `output` when the block ends well, and vanish if not.

    What a killed conversion left is found and cleared; its lock goes with the process. Raises, before the block,
    DataError if `output` cannot be used (`check_output`) or another conversion writes it, OSError if it cannot be
    written.
    """
    place = _place(output)
    staging = place / STAGING
    new, whole = staging / "new", staging / "whole"
    with _made(place), _alone(staging, output):
        try:
            if whole.exists():
                _move(new, place, whole)
                if not force:
                    raise DataError(
                        f"{printable(output)}: holds the whole set of an earlier conversion, whose end was cut short; "
                        "use it, replace it with --force or name another OUTPUT"
                    )
            check_output(output, force)
            _clear(staging, ignore_errors=False)
            new.mkdir()
            _try(new, place)
            yield new
            with _uninterrupted():
                whole.touch()
                _move(new, place, whole)
        finally:
            if not whole.exists():
                _clear(staging, ignore_errors=True)


def _place(output: Path) -> Path:
    """Where `output` leads: links stay what they are."""
    return Path(os.path.realpath(output))


def _is_staging(folder: Path) -> bool:
    """Whether it is what a conversion has made: only then its content is removed."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    names = {path.name for path in folder.iterdir()}
    return not names or "lock" in names


def _move(new: Path, place: Path, whole: Path) -> None:
    """Move what is left in `new` to its place. At any moment either set can be told whole, or `whole` is there."""
    if (new / SIDECAR).exists():
        try:
            (place / SIDECAR).unlink(missing_ok=True)
        except OSError:  # the set that is there is whole still, and stays
            whole.unlink()
            raise
        (place / SHEET).unlink(missing_ok=True)
    for name in FILES:
        with suppress(FileNotFoundError):  # moved before
            (new / name).replace(place / name)
    whole.unlink()


def _try(new: Path, place: Path) -> None:
    """Write and move a file as those of the set will be: what is not possible is better known now than in the end."""
    with open(new / TRIAL, "wb") as file:
        file.write(b"\0")
        file.flush()
        os.fsync(file.fileno())
    (new / TRIAL).replace(place / TRIAL)
    (place / TRIAL).unlink()
    folder, user = place.stat(), os.geteuid()
    if folder.st_mode & stat.S_ISVTX and user not in (0, folder.st_uid):  # others' files can be replaced by nobody else
        for path in (place / name for name in (*FILES, SHEET)):
            if path.exists() and path.lstat().st_uid != user:
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(path))


def _clear(staging: Path, ignore_errors: bool) -> None:
    """Remove what is in the making, but not the lock."""
    for path in staging.iterdir():
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != "lock":
                path.unlink()
        except OSError as error:
            if not ignore_errors:
                raise OSError(error.errno, error.strerror, str(path)) from None


@contextmanager
def _made(place: Path) -> Iterator[None]:
    """The folder, made if need be with those above it; the made ones are removed if they are empty in the end."""
    made = [path for path in (place, *place.parents) if not path.exists()]
    try:
        place.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        with suppress(OSError):
            for path in made:
                path.rmdir()


@contextmanager
def _alone(staging: Path, output: Path) -> Iterator[None]:
    """Hold the lock in `staging` against other conversions to `output`. Raises DataError if one is running."""
    while True:
        try:
            staging.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(staging / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # another conversion has just ended and removed it
            continue
        try:
            if not _locked(descriptor):
                raise DataError(f"{printable(output)}: another conversion is writing it; wait for its end")
            try:
                if (staging / "lock").stat().st_ino != os.fstat(descriptor).st_ino:
                    continue
            except FileNotFoundError:
                continue
            try:
                yield
            finally:
                if not (staging / "whole").exists():
                    (staging / "lock").unlink(missing_ok=True)
            return
        finally:
            os.close(descriptor)
            with suppress(OSError):
                staging.rmdir()


def _locked(descriptor: int) -> bool:
    """Whether the file could be locked; True also on storage that has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return True


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A block of some milliseconds after which all is done: an interrupt that comes in it is too late."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
