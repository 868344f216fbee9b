"""Disks that fail, kills, interrupts and other conversions: what is in OUTPUT stays whole."""

import errno
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from data_helpers import InMemory, fails
from output_helpers import NAMES, NEW, OLD, convert_to, images_in, make_folder, names_in, plain_user

from randwire.data.convert import convert
from randwire.data.sidecar import SIDECAR
from randwire.data.sources import Split
from randwire.errors import DataError

ROW = pytest.mark.image_data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "in")


class _Unread(InMemory):
    def class_names(self) -> tuple[str, ...]:
        pytest.fail("read before OUTPUT was tried")


@ROW("E", "a file system that cannot rename, or sync, files", "exit 2 before anything is read")
@pytest.mark.parametrize("name", ["replace", "fsync"])
def test_what_is_not_possible_is_known_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path if name == "replace" else os, name, refuse)
    with pytest.raises(DataError, match="out: cannot be written: Operation not permitted"):
        convert(_Unread({"train": NEW, "val": NEW}), "digits", tmp_path / "out")
    monkeypatch.undo()
    assert names_in(tmp_path) == set()


@ROW("E", "--force over another user's set in a folder with the sticky bit", "exit 2 before anything is read")
def test_a_set_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    convert_to(tmp_path / "out", OLD)
    (tmp_path / "out").chmod(0o1777)
    user = os.geteuid()
    with monkeypatch.context() as patched:
        patched.setattr(os, "geteuid", lambda: user + 1)
        with pytest.raises(DataError, match=r"out: cannot be written: Operation not permitted \(.*train\.beton\)"):
            convert(_Unread({"train": NEW, "val": NEW}), "digits", tmp_path / "out", force=True)
    assert names_in(tmp_path / "out") == NAMES
    assert images_in(tmp_path / "out") == len(OLD)


@ROW("E", "--force over a dataset.json that cannot be removed", "exit 2; the set that was there stays, nothing else")
def test_a_description_that_cannot_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    convert_to(tmp_path / "out", OLD)
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.name == SIDECAR and path.exists():
            raise PermissionError(errno.EPERM, "Operation not permitted", str(path))
        unlink(path, missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        with pytest.raises(DataError, match="out: cannot be written: Operation not permitted"):
            convert_to(tmp_path / "out", NEW, True)
    assert names_in(tmp_path / "out") == NAMES
    assert images_in(tmp_path / "out") == len(OLD)


@ROW("E", "quota, full disk, read-only disk, no permission, an error without text", "exit 2, one line; nothing is left")
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), "Disk quota exceeded"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "No space left on device"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS)), "Read-only file system"),
        (OSError(errno.EACCES, os.strerror(errno.EACCES)), "Permission denied"),
        (OSError("lost"), "lost"),
        (OSError(), "OSError"),
    ],
)
@pytest.mark.parametrize("there", [False, True])
def test_a_disk_that_fails_is_one_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    error: OSError, words: str, there: bool,
) -> None:  # fmt: skip
    out = tmp_path / "new" / "deep" / "out"
    if there:
        convert_to(out, OLD)

    def fail(file: object, images: Iterator[object], capacity: int) -> None:
        next(images)  # the bar has begun its line
        raise error

    monkeypatch.setattr("randwire.data.beton.write", fail)
    fails(["folder", folder, out, "--force"], capsys, f"{out}: cannot be written: {words}")
    monkeypatch.undo()
    if there:
        assert names_in(out) == NAMES
        assert images_in(out) == len(OLD)
    else:
        assert names_in(tmp_path) == {"in"}  # the folders above OUTPUT were made by it, too


class _Unreadable(InMemory):
    def labels(self, split: Split) -> Any:
        raise OSError(errno.EIO, "Input/output error", "/disk/labels.txt")


@ROW("E", "the disk of INPUT fails while labels are read", "the line says what could not be read, and not OUTPUT")
def test_a_fault_of_input_is_not_told_of_output(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^/disk/labels\.txt: cannot be read: Input/output error$"):
        convert(_Unreadable({"train": NEW, "val": NEW}), "digits", tmp_path / "out")
    assert names_in(tmp_path) == set()


STEPS = ("touch", "unlink", "replace")
"""What changes files at the end of a conversion."""


def _killed_at(output: Path, step: int, force: bool) -> bool:
    """Convert in a process of its own that dies before its `step`-th change of files; False if it has fewer."""
    child = os.fork()
    if not child:
        left = step

        def dying(change: Callable[..., object]) -> Callable[..., object]:
            def changed(*arguments: object, **options: object) -> object:
                nonlocal left
                left -= 1
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)
                return change(*arguments, **options)

            return changed

        for name in STEPS:
            setattr(Path, name, dying(getattr(Path, name)))
        convert_to(output, NEW, force)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@ROW(
    "E",
    "a conversion that replaces a set is killed at any step of its end",
    "one set is whole, or is so after the next",
)
def test_a_kill_at_any_step_loses_no_set(tmp_path: Path) -> None:
    seen = set()
    for step in range(1, 100):
        output = tmp_path / str(step)
        convert_to(output, OLD)
        (output / "contact-sheet.png").touch()
        if not _killed_at(output, step, force=True):
            break
        if (output / "dataset.json").exists():
            seen.add(images_in(output))
            assert (output / "contact-sheet.png").exists() == (images_in(output) == len(OLD))
        else:
            seen.add(0)
            with pytest.raises(DataError, match="holds the whole set of an earlier conversion, whose end was cut"):
                convert_to(output)
            assert images_in(output) == len(NEW)
        convert_to(output, OLD, force=True)
        assert images_in(output) == len(OLD)
        assert names_in(output) == NAMES
    assert seen == {0, len(OLD), len(NEW)}
    assert step > 8


@ROW("E", "a first conversion is killed at any step of its end", "the next ends the moving of its set, or converts")
def test_a_kill_of_the_first_conversion(tmp_path: Path) -> None:
    for step in range(1, 100):
        output = tmp_path / str(step)
        if not _killed_at(output, step, force=False):
            break
        moving, whole = (output / ".partial" / "whole").exists(), (output / "dataset.json").exists()
        if moving or whole:
            with pytest.raises(DataError, match="holds the whole set" if moving else "holds a converted set already"):
                convert_to(output)
        else:
            convert_to(output)
        assert images_in(output) == len(NEW)
        if not whole or moving:
            assert names_in(output) == NAMES
    assert step > 6


@ROW("E", "an interrupt in the last moment of a conversion", "it is done; exit 0")
def test_an_interrupt_in_the_last_moment_is_too_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_handlers: None
) -> None:
    replace = Path.replace

    def interrupted(path: Path, target: Path) -> Path:
        if target.name in ("out", "dataset.json"):
            signal.raise_signal(signal.SIGINT)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    monkeypatch.setattr(Path, "rename", interrupted)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    convert_to(tmp_path / "out")
    assert images_in(tmp_path / "out") == len(NEW)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@ROW("E", "two conversions to one OUTPUT, one of them by a link", "the second one is refused, and harms nothing")
def test_the_lock_is_of_the_place(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "out")

    class Second(InMemory):
        def class_names(self) -> tuple[str, ...]:
            with pytest.raises(DataError, match="link: another conversion is writing it; wait for its end"):
                convert_to(tmp_path / "link")
            return super().class_names()

    convert(Second({"train": NEW, "val": NEW}), "digits", tmp_path / "out")
    assert images_in(tmp_path / "out") == len(NEW)
    assert names_in(tmp_path / "out") == NAMES


@ROW("E", "what a conversion of another user has left cannot be removed", "exit 2; the line names what and where")
def test_what_another_user_has_left(tmp_path: Path) -> None:
    convert_to(tmp_path / "first")  # all modules are loaded
    out = Path(tempfile.mkdtemp())
    try:
        out.chmod(0o755)
        (out / ".partial" / "new").mkdir(parents=True)
        (out / ".partial" / "new" / "train.beton").touch()
        (out / ".partial" / "lock").touch()
        for path, mode in ((out, 0o777), (out / ".partial", 0o777), (out / ".partial" / "new", 0o555)):
            path.chmod(mode)
        (out / ".partial" / "lock").chmod(0o666)
        left = re.escape(str(out / ".partial" / "new"))
        with plain_user(), pytest.raises(DataError, match=rf"cannot be written: Permission denied \({left}\)"):
            convert_to(out)
        assert (out / ".partial" / "new" / "train.beton").exists()
    finally:
        (out / ".partial" / "new").chmod(0o755)
        shutil.rmtree(out)
