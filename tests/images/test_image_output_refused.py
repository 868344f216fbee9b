"""What cannot be OUTPUT is refused before anything is read, with what was seen."""

import os
from pathlib import Path

import pytest
from data_helpers import fails
from output_helpers import NEW, convert_to, images_in, make_folder, names_in

from randwire.data.convert import main

ROW = pytest.mark.image_data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "in")


@ROW("E", "OUTPUT holds other files", "exit 2; one of them is named, and how many more there are; nothing is touched")
def test_what_is_in_the_way_is_named(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("all of it")
    for options in ([], ["--force"]):
        fails(["folder", folder, out, *options], capsys, "out: holds thesis.txt, no part of a converted set")
    (out / "a.csv").touch()
    fails(["folder", folder, out], capsys, "out: holds a.csv and 1 more")
    assert names_in(out) == {"thesis.txt", "a.csv"}
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
    convert_to(tmp_path / "out", force=True)
    assert images_in(tmp_path / "out") == len(NEW)


@ROW("E", "OUTPUT holds .partial that no conversion made", "exit 2 and named: what is in it, or where it leads, stays")
def test_a_foreign_folder_is_not_cleared(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Such as that of another program which copies files."""
    (tmp_path / "a" / ".partial").mkdir(parents=True)
    (tmp_path / "a" / ".partial" / "thesis.txt").touch()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / ".partial").symlink_to(tmp_path / "a" / ".partial")
    for output in (tmp_path / "a", tmp_path / "b"):
        fails(["folder", folder, output, "--force"], capsys, "holds .partial, no part of a converted set")
    assert names_in(tmp_path / "a" / ".partial") == {"thesis.txt"}


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
    assert names_in(tmp_path) == {"in", "file", "pipe", "loop"}


@ROW("E", "OUTPUT or INPUT is a URL, such as s3://bucket/set", "exit 2, one line; no folder of the name s3: is made")
def test_urls_are_no_places_of_a_conversion(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    fails(["folder", folder, "s3://bucket/set"], capsys, "OUTPUT: s3://bucket/set is a URL", "copy")
    fails(["folder", "https://example.org/set.zip", "out"], capsys, "https://example.org/set.zip is a URL", "copy")
    fails(["digits", "gs://bucket/set"], capsys, "OUTPUT: gs://bucket/set is a URL")
    assert names_in(tmp_path) == {"in"}
