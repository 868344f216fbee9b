"""Where a conversion writes: OUTPUT is a place, of which nothing but the set's files is touched."""

import errno
import fcntl
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from data_helpers import Image, InMemory, fails, noise, plain
from PIL import Image as Picture

from randwire.data import prepare
from randwire.data.convert import convert, main
from randwire.data.sources import Split
from randwire.errors import DataError

NAMES = {"train.beton", "val.beton", "dataset.json"}
OLD, NEW = noise(5, 8, 8, seed=1), noise(7, 8, 8, seed=2)
ROW = pytest.mark.image_data


def _convert(output: Path, images: Sequence[Image] = NEW, force: bool = False) -> None:
    convert(InMemory({"train": images, "val": images}), "digits", output, force)


def _images(folder: Path) -> int:
    """How many there are in the set, which is whole."""
    sizes = prepare(plain(folder)).sizes
    assert sizes["train"] == sizes["val"]
    return sizes["train"]


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of one tiny image in each split."""
    for split in ("train", "val"):
        for label, name in enumerate(("cat", "dog")):
            (tmp_path / "in" / split / name).mkdir(parents=True)
            Picture.fromarray(noise(2, 8, 8)[label]).save(tmp_path / "in" / split / name / "a.png")
    return tmp_path / "in"


@contextmanager
def _plain_user() -> Iterator[None]:
    """The block runs as a user whom permissions bind."""
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(65534)
        yield
    finally:
        if root:
            os.seteuid(0)


@ROW(
    "E", "OUTPUT is a link to an empty folder on another disk, or to none", "a link still; the files lie where it leads"
)
@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_a_link(tmp_path: Path, there: bool) -> None:
    (tmp_path / "big").mkdir()
    target, link = tmp_path / "big" / "set", tmp_path / "link"
    if there:
        target.mkdir()
    link.symlink_to(target)
    _convert(link, OLD)
    _convert(link, NEW, force=True)
    assert link.is_symlink()
    assert _names(target) == NAMES
    assert _images(link) == len(NEW)
    assert _names(tmp_path) == {"big", "link"}


@ROW(
    "E", "OUTPUT is a link to a folder on a disk that is full", "space is measured there; exit 2 before images are read"
)
def test_space_is_measured_where_the_files_will_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "full")

    def usage(path: Path) -> SimpleNamespace:
        return SimpleNamespace(free=1000 if tmp_path / "full" in Path(path).resolve().parents else 10**12)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with pytest.raises(DataError, match=r"link: needs about 0\.0. GB and 0\.00 GB are free there"):
        _convert(tmp_path / "link")
    assert _names(tmp_path / "full") == set()


@ROW("E", "raw images of which one fills a page but for a half", "the space that is asked for is what the files take")
def test_empty_ends_of_pages_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = noise(9, 620, 600)
    convert(InMemory({"train": images, "val": images[:2]}), "digits", tmp_path / "out", progress=True)
    estimate = 1e9 * float(capsys.readouterr().err.split("will take about ")[1].split(" GB")[0])
    taken = sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    assert taken > 1.7 * 11 * images[0].nbytes
    assert taken - 0.005e9 < estimate < taken + 0.015e9


@ROW(
    "E",
    "OUTPUT is a mount point or the volume of a container",
    "works: the folder itself is neither moved nor replaced",
)
def test_the_folder_itself_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()
    identity = mount.stat().st_ino
    replace = Path.replace

    def busy(path: Path, target: Path) -> Path:
        if mount in (path, target):
            raise OSError(errno.EBUSY, "Device or resource busy")
        return replace(path, target)

    monkeypatch.setattr(Path, "rename", busy)
    monkeypatch.setattr(Path, "replace", busy)
    for images, force in ((OLD, False), (NEW, True)):
        _convert(mount, images, force)
        assert _images(mount) == len(images)
        assert mount.stat().st_ino == identity
        assert _names(mount) == NAMES


@ROW("E", "OUTPUT may be written, its parent may not", "works")
def test_the_parent_is_not_written(tmp_path: Path) -> None:
    _convert(tmp_path / "first")  # all modules are loaded: afterwards they may be out of reach
    parent = Path(tempfile.mkdtemp())
    try:
        (parent / "out").mkdir()
        (parent / "out").chmod(0o777)
        parent.chmod(0o555)
        with _plain_user():
            assert not os.access(parent, os.W_OK, effective_ids=True)
            _convert(parent / "out")
            with pytest.raises(DataError, match=r"other: cannot be written: Permission denied"):
                _convert(parent / "other")
        assert _names(parent / "out") == NAMES
    finally:
        parent.chmod(0o755)
        shutil.rmtree(parent)


@ROW("E", ".DS_Store, lost+found, Thumbs.db or @eaDir in OUTPUT", "no obstacle; they stay")
def test_junk_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").touch()
    (tmp_path / "Thumbs.db").touch()
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "@eaDir").mkdir()
    _convert(tmp_path)
    _convert(tmp_path, force=True)
    assert _names(tmp_path) == NAMES | {".DS_Store", "Thumbs.db", "lost+found", "@eaDir"}


@ROW("E", "OUTPUT holds other files", "exit 2; one of them is named, and how many more there are; nothing is touched")
def test_what_is_in_the_way_is_named(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("all of it")
    for options in ([], ["--force"]):
        fails(["folder", folder, out, *options], capsys, "out: holds thesis.txt, no part of a converted set")
    (out / "a.csv").touch()
    fails(["folder", folder, out], capsys, "out: holds a.csv and 1 more")
    assert _names(out) == {"thesis.txt", "a.csv"}
    for name in ("train.beton", "contact-sheet.png"):
        (tmp_path / name / name).mkdir(parents=True)
        fails(["folder", folder, tmp_path / name, "--force"], capsys, f"{name}: holds a folder {name}")


@ROW("E", "OUTPUT holds train.beton, but no dataset.json", "exit 2 and said so, not that it is a set; --force replaces")
def test_a_part_of_a_set_is_told_as_such(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "train.beton").write_bytes(b"of another program")
    fails(
        ["folder", folder, tmp_path / "out"], capsys, "holds train.beton, but no dataset.json; replace it with --force"
    )
    assert (tmp_path / "out" / "train.beton").read_bytes() == b"of another program"
    _convert(tmp_path / "out", force=True)
    assert _images(tmp_path / "out") == len(NEW)


@ROW("E", "OUTPUT holds .partial that no conversion made", "exit 2 and named: what is in it, or where it leads, stays")
def test_a_foreign_folder_is_not_cleared(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Such as that of another program which copies files."""
    (tmp_path / "a" / ".partial").mkdir(parents=True)
    (tmp_path / "a" / ".partial" / "thesis.txt").touch()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / ".partial").symlink_to(tmp_path / "a" / ".partial")
    for output in (tmp_path / "a", tmp_path / "b"):
        fails(["folder", folder, output, "--force"], capsys, "holds .partial, no part of a converted set")
    assert _names(tmp_path / "a" / ".partial") == {"thesis.txt"}


@ROW("E", "OUTPUT is INPUT, inside of it, or a link into it", "exit 2 before anything is read; nothing is written")
def test_output_in_input_is_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(folder.rglob("*"))
    (tmp_path / "link").symlink_to(folder / "train")
    (tmp_path / "input").symlink_to(folder)
    for output in (folder, folder / "out", folder / "train" / "cat" / "x", tmp_path / "link", tmp_path / "link" / "x"):
        for given in (folder, tmp_path / "input"):
            fails(["folder", given, output], capsys, f"{output}: lies in {given}, which is read")
    fails(["imagenet", "--val-labels", folder, folder / "out"], capsys, f"lies in {folder}, which is read")
    assert sorted(folder.rglob("*")) == before
    assert main(["folder", str(folder), str(tmp_path / "in-out")]) == 0  # a name that begins alike


def test_a_folder_that_is_not_read_is_no_input(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An option names a folder in INPUT, and another one here has this name."""
    (folder / "val").rename(folder / "test")
    (tmp_path / "test").mkdir()
    monkeypatch.chdir(tmp_path)
    fails(["folder", folder, folder / "test" / "out", "--val", "test"], capsys, "lies in ")
    assert main(["folder", str(folder), "test/out", "--val", "test"]) == 0


@ROW(
    "E", "OUTPUT is a file, a pipe, a device, below a file, a link to itself, too long", "exit 2, one line that says so"
)
def test_what_is_no_folder_is_named(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("mine")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for output, words in {
        tmp_path / "file": "file: is a file; name a folder",
        tmp_path / "pipe": "pipe: is a pipe; name a folder",
        Path("/dev/null"): "/dev/null: is a device; name a folder",
        tmp_path / "file" / "out": "out: cannot be written: Not a directory",
        tmp_path / "loop": "loop: cannot be written: ",
        tmp_path / ("x" * 300): "cannot be written: File name too long",
    }.items():
        fails(["folder", folder, output], capsys, words)
    fails(["folder", folder, ""], capsys, "OUTPUT")
    fails(["folder", folder, "a\0b"], capsys, "OUTPUT")
    assert (tmp_path / "file").read_text() == "mine"
    assert _names(tmp_path) == {"in", "file", "pipe", "loop"}


@ROW("E", "OUTPUT or INPUT is a URL, such as s3://bucket/set", "exit 2, one line; no folder of the name s3: is made")
def test_urls_are_no_places_of_a_conversion(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    fails(["folder", folder, "s3://bucket/set"], capsys, "OUTPUT: s3://bucket/set is a URL", "copy")
    fails(["folder", "https://example.org/set.zip", "out"], capsys, "https://example.org/set.zip is a URL", "copy")
    fails(["digits", "gs://bucket/set"], capsys, "OUTPUT: gs://bucket/set is a URL")
    assert _names(tmp_path) == {"in"}


@ROW(
    "E",
    "OUTPUT is '~/set' in quotes, or of an unknown user",
    "that of the home; exit 2. No folder of the name ~ is made",
)
def test_the_home_is_a_place(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert main(["folder", "in", "~/set"]) == 0
    assert _names(tmp_path / "home" / "set") == NAMES
    fails(["folder", "in", "~nobody-of-this-name/set"], capsys, "OUTPUT: ~nobody-of-this-name/set: no such user")
    assert _names(tmp_path) == {"in", "home"}
    (tmp_path / "~old").mkdir()
    assert main(["folder", "in", "~old/set"]) == 0
    assert _names(tmp_path / "~old" / "set") == NAMES


@ROW("E", "the name of OUTPUT is as long as the file system allows", "works")
def test_long_names(tmp_path: Path) -> None:
    _convert(tmp_path / ("x" * 255))
    assert _images(tmp_path / ("x" * 255)) == len(NEW)


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
    assert _names(tmp_path) == set()


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
        _convert(out, OLD)

    def fail(file: object, images: Iterator[object], capacity: int) -> None:
        next(images)  # the bar has begun its line
        raise error

    monkeypatch.setattr("randwire.data.beton.write", fail)
    fails(["folder", folder, out, "--force"], capsys, f"{out}: cannot be written: {words}")
    monkeypatch.undo()
    if there:
        assert _names(out) == NAMES
        assert _images(out) == len(OLD)
    else:
        assert _names(tmp_path) == {"in"}  # the folders above OUTPUT were made by it, too


class _Unreadable(InMemory):
    def labels(self, split: Split) -> Any:
        raise OSError(errno.EIO, "Input/output error", "/disk/labels.txt")


@ROW("E", "the disk of INPUT fails while labels are read", "the line says what could not be read, and not OUTPUT")
def test_a_fault_of_input_is_not_told_of_output(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^/disk/labels\.txt: cannot be read: Input/output error$"):
        convert(_Unreadable({"train": NEW, "val": NEW}), "digits", tmp_path / "out")
    assert _names(tmp_path) == set()


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
        _convert(output, NEW, force)
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
        _convert(output, OLD)
        (output / "contact-sheet.png").touch()
        if not _killed_at(output, step, force=True):
            break
        if (output / "dataset.json").exists():
            seen.add(_images(output))
            assert (output / "contact-sheet.png").exists() == (_images(output) == len(OLD))
        else:
            seen.add(0)
            with pytest.raises(DataError, match="holds the whole set of an earlier conversion, whose end was cut"):
                _convert(output)
            assert _images(output) == len(NEW)
        _convert(output, OLD, force=True)
        assert _images(output) == len(OLD)
        assert _names(output) == NAMES
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
                _convert(output)
        else:
            _convert(output)
        assert _images(output) == len(NEW)
        if not whole or moving:
            assert _names(output) == NAMES
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
    _convert(tmp_path / "out")
    assert _images(tmp_path / "out") == len(NEW)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@ROW("E", "two conversions to one OUTPUT, one of them by a link", "the second one is refused, and harms nothing")
def test_the_lock_is_of_the_place(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "out")

    class Second(InMemory):
        def class_names(self) -> tuple[str, ...]:
            with pytest.raises(DataError, match="link: another conversion is writing it; wait for its end"):
                _convert(tmp_path / "link")
            return super().class_names()

    convert(Second({"train": NEW, "val": NEW}), "digits", tmp_path / "out")
    assert _images(tmp_path / "out") == len(NEW)
    assert _names(tmp_path / "out") == NAMES


@ROW("E", "what a conversion of another user has left cannot be removed", "exit 2; the line names what and where")
def test_what_another_user_has_left(tmp_path: Path) -> None:
    _convert(tmp_path / "first")  # all modules are loaded
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
        with _plain_user(), pytest.raises(DataError, match=rf"cannot be written: Permission denied \({left}\)"):
            _convert(out)
        assert (out / ".partial" / "new" / "train.beton").exists()
    finally:
        (out / ".partial" / "new").chmod(0o755)
        shutil.rmtree(out)


@ROW("E", "OUTPUT on storage that has no locks", "works")
def test_storage_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    _convert(tmp_path / "out")
    monkeypatch.undo()
    assert _images(tmp_path / "out") == len(NEW)
