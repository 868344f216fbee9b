"""The sources and the command that converts them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from data_helpers import Image, InMemory, convert_status, epoch, idx, noise, plain, samples_of, write_mnist
from sklearn.datasets import load_digits

from randwire import registry
from randwire.config import DataConfig
from randwire.data import Batching, Loader, class_count, prepare, sources, train_images
from randwire.data.convert import convert, main
from randwire.data.sources import SPLITS, Split, load_source
from randwire.data.sources.digits import Digits
from randwire.data.sources.mnist import MNIST
from randwire.errors import DataError

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.mark.parametrize("name", registry.names("randwire.data.sources"))
def test_every_source_keeps_the_contract(name: str) -> None:
    source = load_source(name)
    assert source.class_count is None or source.class_count > 1
    assert (source.class_count is None) == (source.train_images is None)
    assert source.mode in ("raw", "jpg", "proportion")
    if source.embedded:
        built = source()
        assert len(built.class_names()) == source.class_count
        for split in SPLITS:
            samples = samples_of(built, split)
            assert {label for _, label in samples} == set(range(len(built.class_names())))
            assert all(image.dtype == np.uint8 and image.shape[2] == 3 for image, _ in samples)


SQUARES = """
import numpy as np

from randwire.data.sources import Source


class Squares(Source):
    class_count = 2
    train_images = 6
    embedded = True

    def class_names(self):
        return ("black", "white")

    def labels(self, split):
        return np.arange(6 if split == "train" else 4) % 2

    def image(self, split, index):
        return np.full((8, 8, 3), 255 * (index % 2), np.uint8)
"""


def test_a_source_is_added_as_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    package, names = "randwire.data.sources", registry.names
    (tmp_path / "squares.py").write_text(SQUARES)
    monkeypatch.setattr(sources, "__path__", [*sources.__path__, str(tmp_path)])
    monkeypatch.setattr(registry, "names", lambda of: names(of) + (("squares",) if of == package else ()))
    monkeypatch.delitem(sys.modules, f"{package}.squares", raising=False)
    assert main(["squares", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.endswith("6 train, 4 val images, 2 classes\n")
    config = DataConfig(source="squares", path=str(tmp_path / "out"), resolution=8)
    assert (class_count(config), train_images(config)) == (2, 6)
    with closing(Loader(prepare(config), "val", config, Batching(batch_size=4))) as loader:
        [(images, labels)] = epoch(loader)
    assert labels == [0, 1, 0, 1]
    assert [image.max() for image in images] == [image.min() for image in images] == [0, 255, 0, 255]


# Digits


def test_digits_are_read_as_the_source_has_them() -> None:
    dataset, config = prepare(plain()), plain(resolution=32)
    for split in SPLITS:
        samples = samples_of(Digits(), split)
        with closing(Loader(dataset, split, config, Batching(batch_size=len(samples)))) as loader:
            [(images, labels)] = epoch(loader)
        if split == "train":  # a permutation of all: compare as multisets
            pairs = sorted((label, image.tobytes()) for image, label in zip(images, labels, strict=True))
            assert pairs == sorted((label, image.transpose(2, 0, 1).tobytes()) for image, label in samples)
        else:
            assert labels == [label for _, label in samples]
            assert np.array_equal(images.transpose(0, 2, 3, 1), np.stack([image for image, _ in samples]))


def test_digits_are_those_of_scikit_learn() -> None:
    bunch = load_digits()
    seen = []
    for split in SPLITS:
        for image, label in samples_of(Digits(), split):
            assert (image == image[:, :, :1]).all()
            blocks = image[:, :, 0].reshape(8, 4, 8, 4).mean(axis=(1, 3)) * (16 / 255)
            seen.append((label, blocks))
    assert len(seen) == len(bunch.target) == 1797
    assert np.bincount([label for label, _ in seen]).tolist() == np.bincount(bunch.target).tolist()
    originals = bunch.images.reshape(len(bunch.target), -1)
    for label, blocks in seen[::50]:
        distance = np.square(originals - blocks.ravel()).sum(axis=1)
        assert bunch.target[distance.argmin()] == label


def test_the_split_of_digits_never_changes() -> None:
    counts = np.bincount([label for _, label in samples_of(Digits(), "val")])
    assert counts.tolist() == [36, 36, 35, 37, 36, 37, 36, 36, 35, 36]
    digest = sha256()
    for image, label in samples_of(Digits(), "val"):
        digest.update(bytes([label]) + image[::4, ::4, 0].tobytes())
    assert digest.hexdigest()[:12] == "32aadba486ba"


# MNIST


@pytest.mark.parametrize("dotted", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
def test_mnist_is_converted(tmp_path: Path, dotted: bool, zipped: bool, capsys: pytest.CaptureFixture[str]) -> None:
    content = write_mnist(tmp_path / "idx", dotted, zipped)
    assert main(["mnist", str(tmp_path / "idx"), str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out'}: 30 train, 12 val images, 10 classes\n"
    config = plain(tmp_path / "out", resolution=28).model_copy(update={"source": "mnist"})
    with closing(Loader(prepare(config), "val", config, Batching(batch_size=12))) as loader:
        [(images, labels)] = epoch(loader)
    assert labels == content["t10k"][1].tolist()
    assert np.array_equal(images, np.repeat(content["t10k"][0][:, None], 3, axis=1))


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
WRONG: dict[str, tuple[str, Callable[[bytes], bytes | None], str]] = {
    "missing": (IMAGES, lambda content: None, f"holds no {IMAGES}"),
    "empty": (IMAGES, lambda content: b"", "starts with nothing"),
    "foreign": (IMAGES, lambda content: b"<html>", "starts with 3c 68 74 6d, not 00 00 08 03"),
    "labels for images": (IMAGES, lambda content: idx(np.zeros(30)), "not 00 00 08 03"),
    "cut header": (IMAGES, lambda content: content[:10], "ends within its header"),
    "cut": (IMAGES, lambda content: content[:-1], f"holds {30 * 784 - 1} values, its header says {30 * 784}"),
    "longer": (IMAGES, lambda content: content + b"0", "its header says"),
    "no images": (IMAGES, lambda content: idx(np.zeros((0, 28, 28))), "images of 28x28"),
    "other side": (IMAGES, lambda content: idx(np.zeros((30, 32, 32))), "holds 30x32x32 values"),
    "absurd size": (IMAGES, lambda content: content[:4] + b"\xff" * 12 + content[16:], "MNIST has images of 28x28"),
    "fewer labels": (LABELS, lambda content: idx(np.zeros(29)), "29 labels for the 30 images"),
    "label 10": (LABELS, lambda content: idx(np.full(30, 10)), "label 10 is not a digit"),
}


@pytest.mark.parametrize("case", WRONG)
def test_unusable_mnist_is_refused_in_one_line(tmp_path: Path, case: str) -> None:
    write_mnist(tmp_path / "idx")
    name, edit, reason = WRONG[case]
    content = edit((tmp_path / "idx" / name).read_bytes())
    (tmp_path / "idx" / name).unlink()
    if content is not None:
        (tmp_path / "idx" / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        convert(MNIST(tmp_path / "idx"), "mnist", tmp_path / "out")
    assert reason in str(caught.value)
    assert str(tmp_path / "idx") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["idx"]


@pytest.mark.parametrize("damage", [lambda content: content[:-20], lambda content: b"no gzip", lambda content: b"",
                                    lambda content: content[:40] + bytes(40) + content[80:]])  # fmt: skip
def test_damaged_gzip_is_refused_in_one_line(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    write_mnist(tmp_path / "idx", zipped=True)
    path = tmp_path / "idx" / f"{IMAGES}.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz: "):
        MNIST(tmp_path / "idx").labels("train")


def test_mnist_needs_its_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        MNIST(tmp_path / "none").labels("train")


# The command


def _fails(arguments: list[str], capsys: pytest.CaptureFixture[str], *words: str) -> None:
    assert convert_status(arguments) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.startswith("error: ")
    assert streams.err.count("\n") == 1
    for word in words:
        assert word in streams.err


def test_wrong_usage_exits_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    _fails([], capsys, "--help")
    _fails(["digits"], capsys, "digits: takes OUTPUT, not 0 paths", "--help")
    _fails(["digits", out, "--forse"], capsys, "--forse")
    _fails(["nothing", out], capsys, "unknown name 'nothing'", ", ".join(registry.names("randwire.data.sources")))
    _fails(["_base", out], capsys, "unknown name '_base'")
    _fails(["digits", "in", out], capsys, "digits: takes OUTPUT, not 2 paths")
    _fails(["mnist", out], capsys, "mnist: takes INPUT OUTPUT, not 1 paths")
    _fails(["mnist", "nowhere", out], capsys, "nowhere: no such folder")
    _fails(["imagenet", "in", out, "x"], capsys, "imagenet: takes [INPUT] OUTPUT, not 3 paths")
    for option in (["--processes", "0"], ["--quality", "101"], ["--max-side", "-3"], ["--mode", "png"],
                   ["--corrupt", "x"], ["--compress-probability", "1.1"], ["--mod", "jpg"]):  # fmt: skip
        _fails(["digits", out, *option], capsys, option[0])
    assert list(tmp_path.iterdir()) == []


def test_only_a_converted_set_is_replaced_and_only_if_forced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    assert main(["digits", str(out)]) == 0  # an empty folder may be filled
    before = (out / "dataset.json").stat().st_ino
    capsys.readouterr()
    _fails(["digits", str(out)], capsys, "holds a converted set already", "--force")
    assert main(["digits", str(out), "--force"]) == 0
    assert (out / "dataset.json").stat().st_ino != before
    capsys.readouterr()
    (out / "thesis.txt").touch()
    _fails(["digits", str(out), "--force"], capsys, "holds thesis.txt, no part of a converted set")
    _fails(["digits", str(out / "thesis.txt"), "--force"], capsys, "thesis.txt: is a file; name a folder")
    _fails(["digits", str(out / "thesis.txt" / "x")], capsys, "cannot be written")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_sidecar_has_size_and_sha256(tmp_path: Path) -> None:
    assert main(["digits", str(tmp_path / "out")]) == 0
    sidecar = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert (sidecar["source"], sidecar["mode"], sidecar["max_side"]) == ("digits", "raw", 32)
    assert (sidecar["quality"], sidecar["compress_probability"], sidecar["reduced_to"]) == (None, None, None)
    for split in SPLITS:
        record, digest = sidecar["files"][f"{split}.beton"], sha256()
        content = (tmp_path / "out" / f"{split}.beton").read_bytes()
        assert (record["bytes"], record["sha256"]) == (len(content), sha256(content).hexdigest())
        for image, _ in samples_of(Digits(), split):
            digest.update(sha256(image.tobytes()).digest())
        assert sidecar["source_sha256"][split] == digest.hexdigest()


def test_conversion_is_reproducible(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert main(["digits", str(tmp_path / name)]) == 0
    for file in ("train.beton", "val.beton", "dataset.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


class Failing(InMemory):
    error: BaseException = KeyboardInterrupt()

    def image(self, split: Split, index: int) -> Image | bytes:
        if index == 3:
            raise self.error
        return super().image(split, index)


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), RuntimeError("bug"), DataError("bad image"), OSError(28, "full")]
)
@pytest.mark.parametrize("there", [False, True])
def test_a_failing_conversion_leaves_all_as_it_was(tmp_path: Path, error: BaseException, there: bool) -> None:
    images = noise(5)
    if there:
        convert(InMemory({"train": images, "val": images}), "digits", tmp_path / "out")
    source = Failing({"train": images, "val": images})
    source.error = error
    with pytest.raises((type(error), DataError)):
        convert(source, "digits", tmp_path / "out", force=True)
    assert [path.name for path in tmp_path.iterdir()] == (["out"] if there else [])
    if there:
        assert prepare(plain(tmp_path / "out")).sizes == {"train": 5, "val": 5}


def test_importing_and_counting_classes_loads_nothing_heavy() -> None:
    code = (
        "import sys; from randwire.config import DataConfig; from randwire import data;"
        "print(data.class_count(DataConfig(source='imagenet')),"
        " [name for name in ('torch', 'ffcv', 'numba', 'sklearn') if name in sys.modules])"
    )
    assert _run("-c", code) == (0, "1000 []\n", "")


def test_the_command_line_has_no_traceback() -> None:
    code, out, err = _run("-m", "randwire.data.convert", "imagenet", "in", "out")
    assert (code, out) == (2, "")
    assert err.startswith("error: in: no such folder")
    assert err.count("\n") == 1


def _run(*arguments: str) -> tuple[int, str, str]:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    ended = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment, timeout=120, check=False
    )
    return ended.returncode, ended.stdout, ended.stderr
