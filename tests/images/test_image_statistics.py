"""Sets that a network would be trained on in vain: channels without contrast, classes without images."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data_helpers import Image, InMemory, epoch, noise, plain
from PIL import Image as Picture

from randwire.data import Batching, Loader, prepare
from randwire.data.convert import convert, main
from randwire.data.sidecar import parse
from randwire.training.evaluate import Normalise

ROW = pytest.mark.image_data


def _convert(output: Path, train: list[Image], val: list[Image], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The warnings of a conversion of these images."""
    capsys.readouterr()
    convert(InMemory({"train": train, "val": val}), "digits", output, progress=True)
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]


def _with_red(value: int) -> list[Image]:
    images = noise(20, 8, 8)
    for image in images:
        image[:, :, 0] = value
    return images


@ROW(
    "G", "a channel of all training images has one value", "a warning of the channel and the value; its std is 1, not 0"
)
def test_a_constant_channel_is_told_and_can_be_divided_by(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = _convert(tmp_path / "out", _with_red(14), noise(20, 8, 8), capsys)
    assert lines == [
        "warning: the red channel of all training images has the one value 14; its std is stored as 1, not 0"
    ]
    stored = json.loads((tmp_path / "out" / "dataset.json").read_text())
    dataset = prepare(plain(tmp_path / "out", 8))
    assert dataset.std == tuple(stored["std"])
    assert dataset.std[0] == dataset.in_checkpoints()["std"][0] == 1
    assert dataset.mean[0] == 14
    assert min(dataset.std[1:]) > 60
    normalise = Normalise(dataset.mean, dataset.std)
    for split in ("train", "val"):
        loader = Loader(dataset, split, plain(tmp_path / "out", 8), Batching(10))
        for images, _ in epoch(loader):
            normalised = normalise(torch.from_numpy(images))
            assert normalised.isfinite().all()
            assert (normalised[:, 0] == 0).all() == (split == "train")


@ROW("G", "all training images are black", "three warnings, exit 0")
def test_every_channel_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / "in" / split / name).mkdir(parents=True)
            Picture.new("L", (9, 9)).save(tmp_path / "in" / split / name / "a.png")
    assert main(["folder", str(tmp_path / "in"), str(tmp_path / "out")]) == 0
    streams = capsys.readouterr()
    for colour in ("red", "green", "blue"):
        assert f"warning: the {colour} channel of all training images has the one value 0; its std is " in streams.err
    assert "warning" not in streams.out
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["std"] == [1, 1, 1]


@ROW(
    "G",
    "a channel is constant but for a few pixels, or has values 0 and 1 alone",
    "a warning with mean and std; its std is 1, so that no pixel becomes hundreds",
)
def test_a_nearly_constant_channel_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = _with_red(200)
    images[3][0, 0, 0] = 210
    [line] = _convert(tmp_path / "out", images, noise(20, 8, 8), capsys)
    channel = "the red channel of all training images is nearly constant, with a mean of 200"
    assert line == f"warning: {channel}; its std is stored as 1, not 0.28"
    assert prepare(plain(tmp_path / "out")).std[0] == 1


@ROW("G", "a set with std 0 that was converted before", "read with std 1, as if it was converted now")
def test_sets_that_there_are_can_be_divided_by(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _convert(tmp_path / "out", _with_red(14), noise(20, 8, 8), capsys)
    path = tmp_path / "out" / "dataset.json"
    content: dict[str, Any] = json.loads(path.read_text())
    content["std"] = [0.0, content["std"][1], 0]
    path.write_text(json.dumps(content))
    assert parse(path.read_bytes(), "x").std == prepare(plain(tmp_path / "out")).std == (1, content["std"][1], 1)


@ROW("G", "a set with a std between 0 and 1 that was converted before", "read as it is: numbers of trainings stay")
def test_small_deviations_that_there_are_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = _with_red(200)
    images[3][0, 0, 0] = 210
    _convert(tmp_path / "out", images, noise(20, 8, 8), capsys)
    path = tmp_path / "out" / "dataset.json"
    content: dict[str, Any] = json.loads(path.read_text())
    content["std"][0] = 0.279508
    path.write_text(json.dumps(content))
    assert prepare(plain(tmp_path / "out")).std[0] == 0.279508
    assert main(["--check", str(tmp_path / "out")]) == 0


def test_ordinary_images_are_not_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = noise(20, 8, 8)
    assert _convert(tmp_path / "out", images, images, capsys) == []
    dataset, pixels = prepare(plain(tmp_path / "out")), np.stack(images).astype(np.float64)
    assert dataset.mean == pytest.approx(pixels.mean(axis=(0, 1, 2)), abs=1e-5)
    assert dataset.std == pytest.approx(pixels.std(axis=(0, 1, 2)), abs=1e-5)


def _save(folder: Path, files: Mapping[str, bytes | None]) -> None:
    """Files of noise, or with this content."""
    for number, (name, content) in enumerate(files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            Picture.fromarray(noise(1, 9, 9, number)[0]).save(path)
        else:
            path.write_bytes(content)


@ROW("G", "--corrupt skip leaves a class without a training image", "a warning names it; exit 0")
@ROW("G", "a class without a validation image", "a warning names it; exit 0")
def test_classes_without_images_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = {f"{split}/{name}/1.png": None for split in ("train", "val") for name in ("cat", "cow", "dog")}
    _save(tmp_path / "a", {**good, "train/cow/1.png": b"\x89PNG cut", "val/dog/1.png": b"", "train/cat/2.png": b""})
    command = ["folder", str(tmp_path / "a"), str(tmp_path / "out"), "--corrupt", "skip"]
    assert main(command) == 0
    streams = capsys.readouterr()
    assert [line for line in streams.err.splitlines() if line.startswith("warning: ")] == [
        "warning: the class 'cow' has no training image",
        "warning: the class 'dog' has no validation image",
    ]
    assert streams.out.endswith("2 train, 2 val images, 3 classes, 3 skipped\n")
    _save(tmp_path / "b", {**good, "train/cow/1.png": b"", "train/a\nb/1.png": b"", "train/dog/1.png": b""})
    assert main(["folder", str(tmp_path / "b"), str(tmp_path / "other"), "--corrupt", "skip"]) == 0
    err = capsys.readouterr().err
    assert "warning: 3 classes have no training image, such as 'a\\nb'\n" in err
    assert "warning: the class 'a\\nb' has no validation image\n" in err


def test_a_split_without_images_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _save(tmp_path / "in", {"train/a/1.png": None, "train/b/1.png": None, "val/a/1.png": b"", "val/b/1.png": b""})
    assert main(["folder", str(tmp_path / "in"), str(tmp_path / "out"), "--corrupt", "skip"]) == 2
    assert "error: folder: no image of val can be used" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
