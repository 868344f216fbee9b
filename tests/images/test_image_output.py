"""Where a conversion writes: OUTPUT is a place, of which nothing but the set's files is touched."""

import errno
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from data_helpers import InMemory, fails, noise
from output_helpers import NAMES, NEW, OLD, convert_to, images_in, make_folder, names_in, plain_user

from randwire.data.convert import convert, main
from randwire.errors import DataError

ROW = pytest.mark.image_data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "in")


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
    convert_to(link, OLD)
    convert_to(link, NEW, force=True)
    assert link.is_symlink()
    assert names_in(target) == NAMES
    assert images_in(link) == len(NEW)
    assert names_in(tmp_path) == {"big", "link"}


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
        convert_to(tmp_path / "link")
    assert names_in(tmp_path / "full") == set()


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
        convert_to(mount, images, force)
        assert images_in(mount) == len(images)
        assert mount.stat().st_ino == identity
        assert names_in(mount) == NAMES


@ROW("E", "OUTPUT may be written, its parent may not", "works")
def test_the_parent_is_not_written(tmp_path: Path) -> None:
    convert_to(tmp_path / "first")  # all modules are loaded: afterwards they may be out of reach
    parent = Path(tempfile.mkdtemp())
    try:
        (parent / "out").mkdir()
        (parent / "out").chmod(0o777)
        parent.chmod(0o555)
        with plain_user():
            assert not os.access(parent, os.W_OK, effective_ids=True)
            convert_to(parent / "out")
            with pytest.raises(DataError, match=r"other: cannot be written: Permission denied"):
                convert_to(parent / "other")
        assert names_in(parent / "out") == NAMES
    finally:
        parent.chmod(0o755)
        shutil.rmtree(parent)


@ROW("E", ".DS_Store, lost+found, Thumbs.db or @eaDir in OUTPUT", "no obstacle; they stay")
def test_junk_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").touch()
    (tmp_path / "Thumbs.db").touch()
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "@eaDir").mkdir()
    convert_to(tmp_path)
    convert_to(tmp_path, force=True)
    assert names_in(tmp_path) == NAMES | {".DS_Store", "Thumbs.db", "lost+found", "@eaDir"}


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
    assert names_in(tmp_path / "home" / "set") == NAMES
    fails(["folder", "in", "~nobody-of-this-name/set"], capsys, "OUTPUT: ~nobody-of-this-name/set: no such user")
    assert names_in(tmp_path) == {"in", "home"}
    (tmp_path / "~old").mkdir()
    assert main(["folder", "in", "~old/set"]) == 0
    assert names_in(tmp_path / "~old" / "set") == NAMES


@ROW("E", "the name of OUTPUT is as long as the file system allows", "works")
def test_long_names(tmp_path: Path) -> None:
    convert_to(tmp_path / ("x" * 255))
    assert images_in(tmp_path / ("x" * 255)) == len(NEW)


@ROW("E", "OUTPUT on storage that has no locks", "works")
def test_storage_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    convert_to(tmp_path / "out")
    monkeypatch.undo()
    assert images_in(tmp_path / "out") == len(NEW)


@pytest.mark.image_data(
    "E",
    "`--estimate` of images that cannot be used, some or all of a split, or not as chosen (pixels that fit no page)",
    "a warning with the first; where there are no others, an error: no number stands for what cannot be converted",
)
def test_an_estimate_of_unusable_images(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "train" / "cat" / "broken.png").write_bytes(b"x")
    assert main(["folder", str(folder), "--estimate"]) == 0
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: 1 of ")
    assert " images of train that were looked at cannot be used; " in line
    assert "broken.png" in line
    for path in (folder / "train").rglob("*.*"):
        path.write_bytes(b"x")
    fails(["folder", folder, "--estimate"], capsys, "3 of 3 images of train that were looked at cannot be used; ")
