"""`ray job submit --working-dir .` runs a job in a copy of the folder that Ray removes: nothing may be left there."""

from pathlib import Path

import pytest
from study_helpers import command

from randwire import config, storage
from randwire.errors import ConfigError
from randwire.run import run
from randwire.training.worker import ProcessWorker, pick_device


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of a submitted job."""
    folder = tmp_path / "session_x/runtime_resources/working_dir_files/_ray_pkg_0a1b2c3d"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.condition("H", "ray job submit --working-dir . with a relative runtime.output", "refused in one line")
def test_a_sweep_leaves_nothing_in_the_copy(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("sweep", "--no-open") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"error: runtime.output: runs is in the copy of the submitted folder ({copy}), which Ray removes; give "
        "--runtime.output an absolute path that all machines see"
    )
    assert list(copy.iterdir()) == []


@pytest.mark.condition("H", "ray job submit --working-dir . with a relative data.path", "refused in one line")
def test_data_is_not_looked_for_in_the_copy(copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = ("--runtime.output", str(tmp_path / "runs"), "--data.path", "images")
    assert command("sweep", "--no-open", *keys) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: data.path: ")
    assert "is in the copy of the submitted folder" in line
    assert not (tmp_path / "runs").exists()


@pytest.mark.condition("H", "ray job submit --working-dir . -- python train.py", "refused in one line")
def test_a_single_training_leaves_nothing_in_the_copy(copy: Path) -> None:
    with pytest.raises(ConfigError, match=r"^runtime\.output: runs is in the copy"):
        run(config.load("digits"), ProcessWorker(pick_device("cpu")))
    assert list(copy.iterdir()) == []


def test_places_outside_of_the_copy_are_taken(copy: Path) -> None:
    for folder in ("/mnt/shared/runs", "s3://bucket/runs"):
        storage.check_lasting("runtime.output", folder)


def test_a_relative_place_is_taken_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    storage.check_lasting("runtime.output", "runs")
