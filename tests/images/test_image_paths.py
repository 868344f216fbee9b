"""What `data.path` and `data.source` name that is no converted set, or one of another source."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data_helpers import InMemory, fails

from randwire import inference
from randwire.config import build
from randwire.config.texts import parse_all
from randwire.data import beton, dataset
from randwire.data.convert import convert
from randwire.errors import ConfigError, DataError, StorageError

PLACES: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "photos": (
        lambda path: (path / "train").mkdir(parents=True),
        ("no converted mnist there: it holds train/, and no dataset.json", "convert mnist /", "/2024 OUTPUT`"),
    ),
    "a folder with a converted set in it": (
        lambda path: _converted(path / "digits"),
        ("no converted mnist there, but in digits/ is a converted set; name that folder",),
    ),
    "a file": (lambda path: path.write_text("x"), ("2024: is a file; name the folder of a converted set",)),
}


def _converted(folder: Path) -> Path:
    folder.parent.mkdir(exist_ok=True)
    images = [np.full((4, 4, 3), 9, np.uint8)]
    convert(InMemory({"train": images, "val": images}), "digits", folder)
    return folder


@pytest.mark.image_data(
    "H",
    "`--data.path 2024` where no converted set is, but photos, a file, or a set one folder below",
    "told what is there",
)
@pytest.mark.parametrize("case", PLACES)
def test_what_is_no_converted_set(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, words = PLACES[case]
    make(tmp_path / "2024")
    monkeypatch.chdir(tmp_path)
    config = build({}, parse_all({"data.source": "mnist", "data.path": "2024"}))
    with pytest.raises(DataError) as caught:
        dataset.inspect(config.data)
    assert str(caught.value).startswith(f"{tmp_path}/2024: ")
    assert all(word in str(caught.value) for word in words)


@pytest.mark.image_data("H", "`--data.path set/train.beton`", "told to name the folder that holds it")
def test_a_file_of_a_set(tmp_path: Path) -> None:
    folder = _converted(tmp_path / "set")
    config = build({}, {"data.source": "digits", "data.path": str(folder / "train.beton")})
    with pytest.raises(DataError, match=r"train\.beton: is a file; name the folder that holds it"):
        dataset.inspect(config.data)


@pytest.mark.image_data(
    "H",
    "the source `folder`, and `--data.path` of photos that are not converted",
    "told what is there, and the command",
)
def test_a_folder_of_photos(tmp_path: Path) -> None:
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    from randwire import config as configuration

    with pytest.raises(
        ConfigError, match=r"holds cat/, and no dataset\.json; convert to another folder with `python -m"
    ):
        configuration.load("digits", {"data.source": "folder", "data.path": str(tmp_path / "photos")})


@pytest.mark.image_data(
    "H",
    "`--evaluate --data.source digits` of a record of another source, whose set is in `data.path`",
    "the set of digits is read; the recorded path is of the other source",
)
def test_another_source_is_evaluated(trained: Path, tmp_path: Path) -> None:
    network = inference.open_trained(trained)
    recorded = network.config.override({"data.source": "folder", "data.path": str(_converted(tmp_path / "set"))})
    network = replace(network, config=recorded)
    assert inference.evaluation_config(network, {"data.source": "digits"}).data.path is None
    assert inference.evaluation_config(network, {"data.source": "folder"}).data.path == recorded.data.path
    chosen = {"data.source": "mnist", "data.path": str(tmp_path)}
    assert inference.evaluation_config(network, chosen).data.path == str(tmp_path)


@pytest.mark.image_data(
    "H", "a train.beton that must not be read, or whose disk fails", "told so; no advice to convert the data again"
)
def test_a_file_that_is_not_read_is_not_told_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _converted(tmp_path / "set")

    def refused(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(beton, "_damage", refused)
    with pytest.raises(DataError) as caught:
        dataset.check(build({}, {"data.source": "digits", "data.path": str(folder)}).data)
    assert str(caught.value) == f"{folder}/train.beton: cannot be read: Permission denied"


@pytest.mark.image_data(
    "H", "a dataset.json that is a pipe, in `--data.path` and in `--check`", "one line; nobody waits for what may come"
)
def test_a_description_that_is_a_pipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "dataset.json")
    seen = f"{tmp_path}/dataset.json: cannot be read: it is no regular file"
    with pytest.raises(StorageError) as caught:
        dataset.inspect(build({}, {"data.source": "digits", "data.path": str(tmp_path)}).data)
    fails(["--check", tmp_path], capsys, seen)
    assert str(caught.value) == seen
