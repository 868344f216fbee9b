"""CIFAR from its archives, and any folder of images."""

import io
import json
import os
import pickle
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_helpers import Image, epoch, fails, noise, plain
from numpy.typing import NDArray
from PIL import Image as Picture

from randwire import config as configuration
from randwire import data
from randwire.cli.train_command import train
from randwire.config import DataConfig
from randwire.data import Batching, Loader, prepare
from randwire.data.convert import main
from randwire.data.sources import Split
from randwire.data.sources.cifar10 import Cifar10
from randwire.data.sources.cifar100 import Cifar100
from randwire.data.sources.folder import Folder
from randwire.errors import ConfigError, DataError

pytestmark = pytest.mark.usefixtures("own_cache")


def _read(source: str, folder: Path, split: Split, resolution: int) -> tuple[list[Image], list[int]]:
    config = plain(folder, resolution=resolution).model_copy(update={"source": source})
    dataset = prepare(config)
    with closing(Loader(dataset, split, config, Batching(batch_size=dataset.sizes[split]))) as loader:
        [(images, labels)] = epoch(loader)
    return list(images.transpose(0, 2, 3, 1)), labels


# CIFAR

FILES = {
    10: {"train": [f"data_batch_{k}" for k in range(1, 6)], "val": ["test_batch"]},
    100: {"train": ["train"], "val": ["test"]},
}


def _batches(classes: int) -> dict[str, tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """Planes as CIFAR stores them (n, 3072), and labels, by the name of the file."""
    stream, batches = np.random.default_rng(classes), {}
    for names in FILES[classes].values():
        for name in names:
            batches[name] = stream.integers(0, 256, (40, 3072), np.uint8), stream.integers(0, classes, 40)
    return batches


def _archive(path: Path, files: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(f"cifar/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def _python(classes: int) -> dict[str, bytes]:
    labels, names = (b"labels", b"label_names") if classes == 10 else (b"fine_labels", b"fine_label_names")
    files = {
        name: pickle.dumps({b"data": pixels, labels: given.tolist(), b"batch_label": b"x"}, protocol=2)
        for name, (pixels, given) in _batches(classes).items()
    }
    meta = {names: [f"class{k}".encode() for k in range(classes)]}
    return {**files, "batches.meta" if classes == 10 else "meta": pickle.dumps(meta, protocol=2)}


def _binary(classes: int) -> dict[str, bytes]:
    files = {}
    for name, (pixels, labels) in _batches(classes).items():
        before = [labels] if classes == 10 else [np.zeros(40), labels]
        rows = np.concatenate([np.stack(before, axis=1).astype(np.uint8), pixels], axis=1)
        files[f"{name}.bin"] = rows.tobytes()
    meta = "\n".join(f"class{k}" for k in range(classes)) + "\n"
    return {**files, "batches.meta.txt" if classes == 10 else "fine_label_names.txt": meta.encode()}


@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize("form", ["python", "binary", "python folder", "binary folder"])
def test_cifar_is_converted(tmp_path: Path, classes: int, form: str) -> None:
    files = _python(classes) if "python" in form else _binary(classes)
    if "folder" in form:
        path = tmp_path / "files"
        (path / "inside").mkdir(parents=True)
        for name, content in files.items():
            (path / "inside" / name).write_bytes(content)
    else:
        path = _archive(tmp_path / "cifar.tar.gz", files)
    name = f"cifar{classes}"
    assert main([name, str(path), str(tmp_path / "out")]) == 0
    batches = _batches(classes)
    expected: dict[Split, list[str]] = FILES[classes]  # type: ignore[assignment]
    for split, parts in expected.items():
        pixels = np.concatenate([batches[part][0] for part in parts])
        labels = np.concatenate([batches[part][1] for part in parts])
        images, labels_read = _read(name, tmp_path / "out", split, 32)
        wanted = sorted(
            (int(label), planes.reshape(3, 32, 32).transpose(1, 2, 0).tobytes())
            for planes, label in zip(pixels, labels, strict=True)
        )
        assert sorted((label, image.tobytes()) for image, label in zip(images, labels_read, strict=True)) == wanted
    sidecar = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert sidecar["classes"] == [f"class{k}" for k in range(classes)]


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch /tmp/randwire-evil",)


CIFAR: dict[str, tuple[Callable[[dict[str, bytes]], object], str]] = {
    "missing batch": (lambda files: files.pop("data_batch_3"), "holds no data_batch_3"),
    "missing names": (lambda files: files.pop("batches.meta"), "holds no batches.meta"),
    "cut": (lambda files: files.update(data_batch_2=files["data_batch_2"][:-500]), "data_batch_2 is damaged"),
    "code": (lambda files: files.update(data_batch_1=pickle.dumps(_Evil())), "no part of an array"),
    "no dictionary": (lambda files: files.update(test_batch=pickle.dumps([1])), "test_batch is foreign"),
    "no labels": (lambda files: files.update(test_batch=pickle.dumps({b"data": 1})), "holds no images with labels"),
    "other pixels": (
        lambda files: files.update(test_batch=pickle.dumps({b"data": np.zeros((2, 9), np.uint8), b"labels": [1, 2]})),
        "32x32",
    ),
    "label 10": (
        lambda files: files.update(
            test_batch=pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"labels": [10]}, protocol=2)
        ),
        "label 10",
    ),
    "names": (
        lambda files: files.update({"batches.meta": pickle.dumps({b"label_names": [b"a"]}, protocol=2)}),
        "names 1 classes, not 10",
    ),
    "names that are no UTF-8": (
        lambda files: files.update({"batches.meta": pickle.dumps({b"label_names": [b"caf\xe9"] * 10}, protocol=2)}),
        r"the name of the class 'caf\xe9' is not UTF-8",
    ),
    "no names": (
        lambda files: files.update({"batches.meta": pickle.dumps({b"label_names": [1] * 10}, protocol=2)}),
        "batches.meta holds no label_names",
    ),
}


@pytest.mark.parametrize("case", CIFAR)
def test_unusable_cifar_is_refused_in_one_line(tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    files = _python(10)
    change, reason = CIFAR[case]
    change(files)
    fails(["cifar10", _archive(tmp_path / "a.tar", files, "w"), tmp_path / "out"], capsys, reason)
    assert not Path("/tmp/randwire-evil").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


def test_damaged_archives_are_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = _archive(tmp_path / "whole.tar.gz", _binary(10)).read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    fails(["cifar10", tmp_path / "cut.tar.gz", tmp_path / "out"], capsys, "cut.tar.gz: is not a whole archive")
    (tmp_path / "foreign.tar.gz").write_bytes(b"<html>")
    fails(
        ["cifar10", tmp_path / "foreign.tar.gz", tmp_path / "out"],
        capsys,
        "foreign.tar.gz: is neither tar nor zip",
        "HTML",
    )
    fails(["cifar10", tmp_path / "none.tar.gz", tmp_path / "out"], capsys, "no such archive")
    fails(["cifar10", _archive(tmp_path / "c100", _binary(100)), tmp_path / "out"], capsys, "the source cifar100")
    odd = {**_binary(100), "test.bin": b"12345"}
    fails(["cifar100", _archive(tmp_path / "odd", odd), tmp_path / "out"], capsys, "test.bin of 5 bytes is no number")


def test_the_pickles_of_python_2_are_read(tmp_path: Path) -> None:
    """As CIFAR has them: names of modules that numpy has moved since, and text as bytes."""
    files = {name: content.replace(b"numpy._core", b"numpy.core") for name, content in _python(10).items()}
    source = Cifar10(_archive(tmp_path / "old.tar.gz", files))
    assert source.class_names()[3] == "class3"
    assert len(source.labels("train")) == 200
    assert len(Cifar100(_archive(tmp_path / "100.tar.gz", _python(100))).labels("val")) == 40


# Folders


def _save(path: Path, image: Image, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.fromarray(image).save(path, **options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes, with images of several formats at several depths, and what is no image."""
    images = noise(20, 24, 24)
    suffixes = ("png", "bmp", "tif", "ppm", "webp")
    for index, image in enumerate(images):
        split, name = ("train", "val")[index >= 14], ("cat", "dog", "ünï cødé")[index % 3]
        suffix = suffixes[index % 5].upper() if index % 2 else suffixes[index % 5]
        inside = "deep/er" if index % 4 == 0 else ""
        options = {"lossless": True} if suffix.lower() == "webp" else {}
        _save(tmp_path / "in" / split / name / inside / f"{index:02}.{suffix}", image, **options)
    (tmp_path / "in" / "train" / "cat" / "notes.txt").write_text("no image")
    (tmp_path / "in" / "train" / "cat" / ".hidden.png").write_bytes(b"")
    (tmp_path / "in" / "train" / ".git").mkdir()
    return tmp_path / "in"


def test_a_folder_is_converted(folder: Path, tmp_path: Path) -> None:
    assert main(["folder", str(folder), str(tmp_path / "out"), "--mode", "raw"]) == 0
    images = noise(20, 24, 24)
    splits: dict[Split, range] = {"train": range(14), "val": range(14, 20)}
    for split, numbers in splits.items():
        pairs = sorted(
            zip(*_read("folder", tmp_path / "out", split, 24)[::-1], strict=True), key=lambda pair: pair[1][0, 0, 1]
        )
        assert [label for label, _ in pairs] == [index % 3 for index in numbers]
        for (_, image), index in zip(pairs, numbers, strict=True):
            assert np.array_equal(image, images[index])
    config = DataConfig(source="folder", path=str(tmp_path / "out"))
    assert data.class_count(config) == 3
    assert data.train_images(config) == 14
    assert prepare(config).classes == ("cat", "dog", "ünï cødé")


def test_photographs_are_turned_upright(folder: Path, tmp_path: Path) -> None:
    image = noise(1, 10, 30)[0]
    exif = Picture.Exif()
    exif[0x0112] = 6
    path = folder / "val" / "cat" / "turned.png"
    _save(path, image, exif=exif)
    source = Folder(folder)
    assert main(["folder", str(folder), str(tmp_path / "out"), "--mode", "raw"]) == 0
    from randwire.data import codec

    assert np.array_equal(codec.pixels(path.read_bytes(), "x"), np.rot90(image, -1))
    number = [source.name("val", index) for index in range(7)].index(str(path))
    from randwire.data import beton

    content = (tmp_path / "out" / "val.beton").read_bytes()
    row = np.frombuffer(content, beton.SAMPLE, 7, beton.START)[number]["image"]
    assert (row["width"], row["height"]) == (10, 30)


FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no val": (lambda path: (path / "val").rename(path / "test"), "holds no folder val; it holds test/, train/"),
    "empty class": (lambda path: (path / "train" / "empty").mkdir(), "empty: holds no image"),
    "foreign class": (lambda path: _save(path / "val" / "wolf" / "a.png", noise(1)[0]), "has the class 'wolf'"),
    "one class": (lambda path: [(path / "train" / name).rename(path / name) for name in ("dog", "ünï cødé")],
                  "holds the one class 'cat'"),
    "no classes": (lambda path: [inside.rename(path / inside.name) for inside in (path / "val").iterdir()],
                   "holds no class folders"),
    "corrupt": (lambda path: (path / "train" / "cat" / "bad.jpg").write_bytes(b"JFIF"), "bad.jpg: is not an image"),
    "cut": (lambda path: os.truncate(next((path / "val").rglob("*.bmp")), 300), "is not an image that can be read"),
    "empty file": (lambda path: (path / "train" / "cat" / "bad.jpg").touch(), "bad.jpg: is not an image"),
}  # fmt: skip


@pytest.mark.parametrize("case", FOLDERS)
def test_unusable_folders_are_refused_in_one_line(
    folder: Path, tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change, reason = FOLDERS[case]
    change(folder)
    fails(["folder", folder, tmp_path / "out"], capsys, reason)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_which_set_it_is_belongs_to_the_identity_of_a_run(folder: Path, tmp_path: Path) -> None:
    for name, options in (("a", []), ("b", ["--mode", "raw"]), ("c", [])):
        assert main(["folder", str(folder), str(tmp_path / name), *options]) == 0
    keys = {"data.source": "folder", "data.resolution": 32}
    a, b, c = (configuration.load("digits", {**keys, "data.path": str(tmp_path / name)}) for name in "abc")
    assert a.digest == c.digest != b.digest
    assert configuration.resolve(a.override({"data.path": str(tmp_path / "b")})).digest == b.digest
    assert a.override({"data.source": "digits"}).digest == configuration.load("digits", {"data.resolution": 32}).digest
    (tmp_path / "a" / "dataset.json").write_bytes((tmp_path / "b" / "dataset.json").read_bytes())
    with pytest.raises(DataError, match=r"has changed since data\.path_sha256 was taken"):
        prepare(a.data)
    with pytest.raises(
        ConfigError, match=r"no converted set there; make it with `python -m randwire\.data\.convert folder"
    ):
        configuration.load("digits", {**keys, "data.path": str(tmp_path / "none")})
    with pytest.raises(ConfigError, match="source folder needs path"):
        configuration.load("digits", keys)


def test_a_folder_is_trained_on(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["folder", str(folder), str(tmp_path / "out")]) == 0
    values = {"data.source": "folder", "data.path": tmp_path / "out", "train.batch_size": 7, "train.epochs": 1,
              "graph.nodes": 5, "runtime.wandb": "disabled", "runtime.output": tmp_path / "runs"}  # fmt: skip
    assert train(["digits", *(f"{word}" for k, v in values.items() for word in (f"--{k}", v))]) == 0
    [record] = (tmp_path / "runs" / "local").iterdir()
    picture = next((folder / "val" / "dog").rglob("*.*"))
    capsys.readouterr()
    assert train([str(record), "--predict", str(picture)]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("cat", "dog", "ünï cødé"))
