"""MNIST and CIFAR: what people have of them beside the files as published, and what is told of all else."""

import gzip
import hashlib
import io
import os
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_helpers import fails, write_mnist

from randwire.data.convert import main
from randwire.data.sources import mnist
from randwire.data.sources.cifar10 import Cifar10
from randwire.data.sources.mnist import MNIST

pytestmark = pytest.mark.usefixtures("own_cache")
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"

# MNIST


def _as_published(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the files of a folder are those that a set was published with."""
    digests = {hashlib.md5(path.read_bytes()).hexdigest(): name for path in folder.iterdir()}
    monkeypatch.setattr(mnist, "PUBLISHED", {**mnist.PUBLISHED, **digests})


@pytest.mark.image_data("D", "the files of Fashion-MNIST, gzipped or not, given as `mnist`", "refused by name")
@pytest.mark.parametrize("zipped", [False, True])
def test_another_set_is_not_mnist(
    zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_mnist(tmp_path / "published")
    _as_published(tmp_path / "published", "Fashion-MNIST", monkeypatch)
    write_mnist(tmp_path / "in", zipped=zipped)
    fails(["mnist", tmp_path / "in", tmp_path / "out"], capsys, IMAGES, "is that of Fashion-MNIST, not of MNIST")


def test_the_published_digests_are_of_four_files_each() -> None:
    names = list(mnist.PUBLISHED.values())
    assert {name: names.count(name) for name in names} == {"MNIST": 4, "Fashion-MNIST": 4, "Kuzushiji-MNIST": 4}


@pytest.mark.image_data("D", "labels of one published set beside the images of another", "refused by name")
def test_files_of_two_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    write_mnist(tmp_path / "in")
    path = tmp_path / "in" / LABELS
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setattr(mnist, "PUBLISHED", {digest: "Kuzushiji-MNIST"})
    fails(["mnist", tmp_path / "in", tmp_path / "out"], capsys, f"{LABELS}: is that of Kuzushiji-MNIST")


@pytest.mark.image_data("D", "files of MNIST's names that no known set was published with", "a note says so")
def test_unknown_files_are_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_mnist(tmp_path / "in")
    assert main(["mnist", str(tmp_path / "in"), str(tmp_path / "out")]) == 0
    assert "note: 4 of the 4 files are not those of MNIST as published" in capsys.readouterr().err
    _as_published(tmp_path / "in", "MNIST", monkeypatch)
    assert MNIST(tmp_path / "in").notes() == []


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


PLACES: dict[str, Callable[[Path], object]] = {
    "torchvision's root": lambda root: shutil.move(root / "idx", root / "MNIST" / "raw"),
    "torchvision's root with other sets": lambda root: (
        shutil.copytree(root / "idx", root / "FashionMNIST" / "raw"),
        shutil.move(root / "idx", root / "MNIST" / "raw"),
    ),
    "torchvision's folder": lambda root: shutil.move(root / "idx", root / "raw"),
    "a folder below": lambda root: shutil.move(root / "idx", root / "data" / "digits"),
    "Kaggle's folders": lambda root: [
        path.rename(path.with_suffix(".x")).rename(_made(path) / path.name) for path in list((root / "idx").iterdir())
    ],
    "unpacked under the packed name": lambda root: [
        path.rename(path.with_name(f"{path.name}.gz")) for path in list((root / "idx").iterdir())
    ],
    "gzipped under the unpacked name": lambda root: [
        path.write_bytes(gzip.compress(path.read_bytes())) for path in (root / "idx").iterdir()
    ],
}


@pytest.mark.image_data(
    "H", "MNIST in torchvision's or Kaggle's folders, or gzipped under the name of a file that is not", "read"
)
@pytest.mark.parametrize("case", PLACES)
def test_mnist_is_found(case: str, tmp_path: Path) -> None:
    root = tmp_path / "in"
    (root / "MNIST").mkdir(parents=True)
    (root / "data").mkdir()
    content = write_mnist(root / "idx")
    PLACES[case](root)
    source = MNIST(root)
    assert source.labels("val").tolist() == content["t10k"][1].tolist()
    assert np.array_equal(source.image("train", 7)[:, :, 0], content["train"][0][7])


def _emnist(root: Path) -> None:
    for path in list((root / "idx").iterdir()):
        path.rename(path.with_name(f"emnist-digits-{path.name}"))


def _gzipped_and_cut(root: Path) -> None:
    content = gzip.compress((root / "idx" / IMAGES).read_bytes())
    (root / "idx" / IMAGES).write_bytes(content[: len(content) // 2])


NO_MNIST: dict[str, tuple[str, Callable[[Path], object], tuple[str, ...]]] = {
    "a file": (
        f"idx/{IMAGES}",
        lambda root: None,
        ("is a file, a file of no known kind", "name the folder that holds the files of the set"),
    ),
    "other files": ("idx", _emnist, (f"holds no {IMAGES}", "it holds emnist-digits-t10k-images-idx3-ubyte, ")),
    "a pipe": ("pipe", lambda root: os.mkfifo(root / "pipe"), ("neither a folder nor a regular file",)),
    "two copies": (".", lambda root: shutil.copytree(root / "idx", root / "b"), ("more than once", "/b and ", "/idx")),
    "a page": ("idx", lambda root: (root / "idx" / LABELS).write_text("<html>404"), ("it is an HTML page of 9 bytes",)),
    "a cut gzip file": ("idx", _gzipped_and_cut, ("is not a whole gzip file", "name a whole copy")),
}


@pytest.mark.image_data(
    "H", "no MNIST, two copies of it, a file, a page of HTML, a cut file", "told with what was found"
)
@pytest.mark.parametrize("case", NO_MNIST)
def test_what_is_no_mnist(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, change, words = NO_MNIST[case]
    root = tmp_path / "in"
    root.mkdir()
    write_mnist(root / "idx")
    change(root)
    fails(["mnist", root / name, tmp_path / "out"], capsys, *words)
    assert not (tmp_path / "out").exists()


# CIFAR

TRAIN = [f"data_batch_{number}" for number in range(1, 6)]


def _cifar10(folder: Path, fill: int = 0) -> Path:
    """CIFAR-10 with two images in a file, all of the value `fill`."""
    folder.mkdir(parents=True)
    for name in (*TRAIN, "test_batch"):
        data = np.full((2, 3072), fill, np.uint8)
        content = {b"batch_label": name.encode(), b"data": data, b"labels": [3, 9]}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    names = {b"label_names": [f"class{number}".encode() for number in range(10)]}
    (folder / "batches.meta").write_bytes(pickle.dumps(names, protocol=2))
    return folder


def _cifar100(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in ("train", "test"):
        data = np.zeros((2, 3072), np.uint8)
        content = {b"batch_label": name.encode(), b"data": data, b"fine_labels": [3, 9]}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    names = {b"fine_label_names": [f"class{number}".encode() for number in range(100)]}
    (folder / "meta").write_bytes(pickle.dumps(names, protocol=2))
    return folder


def _tar(path: Path, *folders: Path) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for folder in folders:
            tar.add(folder, f"{folder.parent.name}/{folder.name}")
    return path


@pytest.mark.image_data("H", "two copies of CIFAR below INPUT, or in an archive", "refused, with both")
def test_two_copies_of_cifar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "in"
    folders = _cifar10(root / "a" / "cifar"), _cifar10(root / "b" / "cifar", 255)
    fails(["cifar10", root, tmp_path / "out"], capsys, "more than once", str(folders[0]), str(folders[1]))
    archive = _tar(tmp_path / "both.tar.gz", *folders)
    fails(["cifar10", archive, tmp_path / "out"], capsys, "more than once", "a/cifar", "b/cifar")
    assert Cifar10(root / "a").image("val", 0).max() == 0


@pytest.mark.image_data("H", "the folder above that of CIFAR, which holds its archive, too", "the folder is read")
def test_torchvisions_root_for_cifar(tmp_path: Path) -> None:
    _cifar10(tmp_path / "cifar-10-batches-py", 255)
    _cifar100(tmp_path / "cifar-100-python")
    _cifar10(tmp_path / "old" / "cifar", 7)
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"")
    assert Cifar10(tmp_path).image("val", 0).max() == 255


@pytest.mark.image_data("H", "the folder that holds the archive of CIFAR, or a zip of it", "the archive is read")
def test_archives_of_cifar(tmp_path: Path) -> None:
    folder = _cifar10(tmp_path / "source" / "cifar-10-batches-py", 9)
    (tmp_path / "in").mkdir()
    _tar(tmp_path / "in" / "cifar-10-python.tar.gz", folder)
    assert Cifar10(tmp_path / "in").image("train", 0).max() == 9
    with zipfile.ZipFile(tmp_path / "any.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"cifar/{path.name}")
    assert len(Cifar10(tmp_path / "any.zip").labels("train")) == 10


@pytest.mark.image_data("H", "CIFAR-10 given as `cifar100`, and the reverse", "refused, with the source to name")
@pytest.mark.parametrize("packed", [False, True])
def test_the_other_cifar(packed: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for given, make, source in (("cifar100", _cifar10, "cifar10"), ("cifar10", _cifar100, "cifar100")):
        path = make(tmp_path / given / "set")
        path = _tar(tmp_path / f"{given}.tar.gz", path) if packed else path
        fails(
            ["cifar10" if given == "cifar10" else given, path, tmp_path / "out"], capsys, f"the source {source}; name"
        )


def test_fewer_images_than_published_are_noted(tmp_path: Path) -> None:
    notes = Cifar10(_cifar10(tmp_path / "set")).notes()
    assert notes == ["10 train images; the published set has 50,000", "2 val images; the published set has 10,000"]


NO_CIFAR: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "a page": (lambda path: path.write_text("<html>404"), ("is neither tar nor zip", "HTML")),
    "an empty file": (lambda path: path.touch(), ("an empty file",)),
    "an empty folder": (lambda path: path.mkdir(), ("holds no test_batch or test_batch.bin; it holds nothing",)),
    "other files": (
        lambda path: (_made(path) / "cifar-10.h5").write_bytes(b"h5"),
        ("holds no test_batch", "it holds cifar-10.h5"),
    ),
    "an archive of other files": (
        lambda path: _tar(path, _other(path.parent / "dogs" / "a")),
        ("holds no test_batch or test_batch.bin, but rex.jpg",),
    ),
}


def _other(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "rex.jpg").write_bytes(io.BytesIO(b"jpeg").getvalue())
    return folder


@pytest.mark.image_data("H", "no CIFAR: a page of HTML, other files", "told with what was found")
@pytest.mark.parametrize("case", NO_CIFAR)
def test_what_is_no_cifar(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, words = NO_CIFAR[case]
    change(tmp_path / "in")
    fails(["cifar10", tmp_path / "in", tmp_path / "out"], capsys, *words)
    assert not (tmp_path / "out").exists()


@pytest.mark.image_data(
    "H", "CIFAR or MNIST, whose test images are a copy of training images, or two of whose files are one", "refused"
)
def test_files_that_are_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for source, copied in (("data_batch_1", "test_batch"), ("data_batch_2", "data_batch_5")):
        folder = _cifar10(tmp_path / copied)
        shutil.copy(folder / source, folder / copied)
        fails(["cifar10", folder, tmp_path / "out"], capsys, f"{source} and {copied} are the same file")
    write_mnist(tmp_path / "mnist")
    for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"):
        (tmp_path / "mnist" / f"train-{kind}").rename(tmp_path / f"{kind}")
        (tmp_path / "mnist" / f"t10k-{kind}").rename(tmp_path / "mnist" / f"train-{kind}")
        (tmp_path / kind).rename(tmp_path / "mnist" / f"t10k-{kind}")
    published = {hashlib.md5(path.read_bytes()).hexdigest(): "MNIST" for path in (tmp_path / "mnist").iterdir()}
    with monkeypatch.context() as patched:
        patched.setattr(mnist, "PUBLISHED", published)
        words = ("t10k-images-idx3-ubyte: holds the 30 images of the other split",)
        fails(["mnist", tmp_path / "mnist", tmp_path / "out"], capsys, *words)
    for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"):
        shutil.copy(tmp_path / "mnist" / f"t10k-{kind}", tmp_path / "mnist" / f"train-{kind}")
    words = ("t10k-images-idx3-ubyte: holds the same images as train-images-idx3-ubyte",)
    fails(["mnist", tmp_path / "mnist", tmp_path / "out"], capsys, *words)


@pytest.mark.image_data("H", "CIFAR with two classes of one name", "refused")
def test_classes_of_one_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = _cifar10(tmp_path / "in")
    (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": [b"cat"] * 10}, protocol=2))
    fails(["cifar10", folder, tmp_path / "out"], capsys, "two of its classes are called 'cat'")
