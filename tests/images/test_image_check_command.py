"""What `convert --check` refuses, and where its sheet is written."""

import os
import stat
from pathlib import Path

import pytest
from data_helpers import InMemory, build, fails, noise
from test_image_check import checked

from randwire.data.convert import check, convert, main
from randwire.data.convert.output import SHEET
from randwire.data.sidecar import SIDECAR


@pytest.mark.image_data(
    "L",
    "--check of no folder, a file, a folder without dataset.json, a set with a cut file or without one",
    "one line with what is there; exit code 2, and nothing is written",
)
def test_what_is_no_set_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fails(["--check", tmp_path / "none"], capsys, "none: no such folder")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "train.beton").write_bytes(b"")
    fails(["--check", tmp_path / "photos"], capsys, "photos: holds no dataset.json")
    fails(["--check", "s3://bucket/set"], capsys, "s3://bucket/set is a URL")
    fails(["--check", tmp_path / "photos" / "train.beton"], capsys, "train.beton: holds no dataset.json")
    folder = build(tmp_path / "set", noise(20), noise(5)).folder
    content = (folder / "train.beton").read_bytes()
    (folder / "train.beton").write_bytes(content[:-1])
    fails(["--check", folder], capsys, "train.beton: cut or damaged")
    (folder / "train.beton").unlink()
    fails(["--check", folder], capsys, "train.beton: missing")
    (folder / SIDECAR).write_text("{}")
    fails(["--check", folder], capsys, f"{SIDECAR}: damaged")
    assert {path.name for path in folder.iterdir()} == {"val.beton", SIDECAR}


@pytest.mark.image_data(
    "L",
    "--check with options that mean nothing: another SOURCE, a crop of 0, a sheet that is no PNG",
    "refused in one line; exit code 2",
)
def test_other_options_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fails(["--check"], capsys, "DIR")
    fails(["--check", ""], capsys, "invalid folder value")
    fails(["folder", "in", "out", "--check"], capsys, "--check")
    fails(["--check", "a", "b"], capsys, "unrecognized arguments: b")
    fails(["--check=a", "--mode", "raw"], capsys, "unrecognized arguments: --mode")
    for option, value in (("crop", "0"), ("crop", "1.1"), ("resolution", "7"), ("sheet", "dataset.json")):
        fails(["--check", "a", f"--{option}", value], capsys, f"--{option}", value)
    with pytest.raises(SystemExit) as end:
        main(["--check", "--help"])
    assert end.value.code == 0
    assert "--sheet" in capsys.readouterr().out


@pytest.mark.image_data(
    "L",
    "a DIR that cannot be written, a --sheet in no folder or that is a folder; an interrupt",
    "told before the set is read, --sheet is the way out (interrupt: exit code 130); nothing half-written is left",
)
def test_a_sheet_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build(tmp_path / "set", noise(20), noise(5)).folder
    before = {path.name for path in folder.iterdir()}

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "read_back", interrupted)
    fails(["--check", folder, "--sheet", tmp_path / "none" / "a.png"], capsys, "none/a.png", "No such file", "--sheet")
    (tmp_path / "b.png").mkdir()
    fails(["--check", folder, "--sheet", tmp_path / "b.png"], capsys, "b.png: is a folder", "--sheet")
    assert main(["--check", str(folder)]) == 130

    def read_only(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "touch", read_only)
    fails(["--check", folder], capsys, f"{folder}/{SHEET}: cannot be written: Permission denied", "--sheet")
    assert {path.name for path in folder.iterdir()} == before


@pytest.mark.image_data(
    "L",
    "a --sheet that is a pipe or a device, or a link to one",
    "refused in one line; what is there stays what it is",
)
def test_a_sheet_replaces_nothing_but_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = build(tmp_path / "set", noise(20), noise(5)).folder
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a.png").symlink_to(tmp_path / "pipe")
    fails(["--check", folder, "--sheet", tmp_path / "a.png"], capsys, "pipe: is a pipe or a device", "--sheet")
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.image_data(
    "L",
    "a second --check, a --sheet that is a link, and a conversion with --force after them",
    "the same sheet; the link stays one; a sheet is gone with its set",
)
def test_a_sheet_goes_with_its_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = build(tmp_path / "set", noise(20), noise(5)).folder
    assert checked(folder, capsys)[0] == 0
    first = (folder / SHEET).read_bytes()
    assert checked(folder, capsys)[0] == 0
    assert (folder / SHEET).read_bytes() == first
    assert stat.S_IMODE((folder / SHEET).stat().st_mode) & 0o444
    (tmp_path / "elsewhere.png").symlink_to(tmp_path / "sheet.png")
    assert checked(folder, capsys, "--sheet", str(tmp_path / "elsewhere.png"))[0] == 0
    assert (tmp_path / "elsewhere.png").is_symlink(), "a link stays one"
    assert (tmp_path / "sheet.png").read_bytes() == first
    source = InMemory({"train": noise(20, seed=1), "val": noise(5)})
    convert(source, "digits", folder, force=True)
    assert not (folder / SHEET).exists()
    assert checked(folder, capsys)[0] == 0
    assert (folder / SHEET).read_bytes() != first


@pytest.mark.image_data("L", "--check in a folder that has been removed meanwhile", "checked like anywhere else")
def test_a_working_folder_that_is_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build(tmp_path / "set", noise(20), noise(5)).folder
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert checked(folder, capsys)[0] == 0
