"""ImageNet's files, as published or unpacked: every image with its label, odd files, damage, kills, and a training."""

import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO

import numpy as np
import psutil
import pytest
from data_helpers import Image, epoch, fails
from PIL import Image as Picture

from benchmarks.imagenet_like import make, read_stamp
from randwire import config as configuration
from randwire.cli.train_command import train
from randwire.config import DataConfig
from randwire.data import Batching, Loader, beton, codec, prepare
from randwire.data.convert import convert, main
from randwire.data.sidecar import Sidecar
from randwire.data.sources import SPLITS, Split
from randwire.data.sources.digits import Digits
from randwire.data.sources.imagenet import ImageNet
from randwire.errors import DataError
from randwire.run import run
from randwire.training.worker import ProcessWorker, pick_device

TRAIN, VAL = 1500, 300
ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("RANDWIRE_KILLS", "3"))
"""How often a conversion is killed; RANDWIRE_KILLS=20 for a longer test."""


pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archives")
    make(folder, TRAIN, VAL, side=96)
    return folder


@pytest.fixture(scope="module")
def converted(archives: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("converted") / "imagenet"
    command = ["imagenet", "--train-tar", str(archives / "ILSVRC2012_img_train.tar"), "--val-tar",
               str(archives / "ILSVRC2012_img_val.tar"), str(output), "--processes", "2"]  # fmt: skip
    assert main(command) == 0
    return output


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def _stored(folder: Path, split: Split) -> list[tuple[Image, int]]:
    """The images of a converted split, read with none of our readers but the layout of the tables."""
    content = (folder / f"{split}.beton").read_bytes()
    header = np.frombuffer(content, beton.HEADER, 1)[0]
    rows = np.frombuffer(content, beton.SAMPLE, header["samples"], beton.START)
    table = np.frombuffer(content, beton.ALLOCATION, header["samples"], int(header["table"]))
    stored = []
    for row, extent in zip(rows, table, strict=True):
        payload = content[extent["offset"] : extent["offset"] + extent["size"]]
        shape = int(row["image"]["height"]), int(row["image"]["width"]), 3
        raw = row["image"]["mode"] == beton.RAW
        image = np.frombuffer(payload, np.uint8).reshape(shape) if raw else codec.pixels(payload, "stored")
        assert image.shape == shape
        stored.append((image, int(row["label"])))
    return stored


def test_every_image_has_the_label_of_its_archive(archives: Path, converted: Path) -> None:
    """Class and number stand in the pixels. The classes are sorted by name, which is not the order of the archive."""
    with tarfile.open(archives / "ILSVRC2012_img_train.tar") as tar:
        inside = [name.removesuffix(".tar") for name in tar.getnames()]
    classes = json.loads((converted / "dataset.json").read_text())["classes"]
    assert classes == sorted(inside) != inside
    assert len(classes) == 1000
    for split, count in (("train", TRAIN), ("val", VAL)):
        stored = _stored(converted, split)  # type: ignore[arg-type]
        stamps = [read_stamp(image) for image, _ in stored]
        assert [stamp[0] for stamp in stamps] == [label for _, label in stored]
        assert len({stamp[1] for stamp in stamps}) == len(stored) == count


def test_the_source_says_what_the_archive_holds(archives: Path) -> None:
    source = ImageNet(archives)
    numbers = {}
    for split in SPLITS:
        for index, label in enumerate(source.labels(split)):
            content = source.image(split, index)
            assert isinstance(content, bytes)
            stamp = read_stamp(codec.pixels(content, "image"))
            assert stamp[0] == label
            numbers[source.name(split, index)] = stamp[1]
    with tarfile.open(archives / "ILSVRC2012_img_train.tar") as outer:
        for member in list(outer)[:20]:
            file = outer.extractfile(member)
            with tarfile.open(fileobj=file) as inner:
                for name in inner.getnames():
                    image = inner.extractfile(name)
                    assert image is not None
                    assert read_stamp(codec.pixels(image.read(), name))[1] == numbers[name]
    assert source.notes() == [
        f"{TRAIN:,} train images; the published set has 1,281,167",
        f"{VAL} val images; the published set has 50,000",
    ]


def test_neighbours_are_of_many_classes(converted: Path) -> None:
    labels = [label for _, label in _stored(converted, "train")]
    assert len(set(labels[:100])) > 85
    assert np.mean(np.diff(labels) == 0) < 0.01


def test_odd_files_come_out_right(archives: Path, converted: Path) -> None:
    source = ImageNet(archives)
    stored = [image for image, _ in _stored(converted, "train")]
    seen = set()
    for index in range(TRAIN):
        content = source.image("train", index)
        assert isinstance(content, bytes)
        with Picture.open(io.BytesIO(content)) as picture:
            kind = (picture.format, picture.mode, bool(picture.info.get("progressive")))
            if kind == ("JPEG", "RGB", False):
                continue
            expected = np.asarray(picture.convert("RGB"), np.float64)
        seen.add(kind)
        assert stored[index].shape == expected.shape
        assert np.abs(stored[index] - expected).mean() < 6
    assert seen == {("PNG", "RGB", False), ("JPEG", "CMYK", False), ("JPEG", "L", False), ("JPEG", "RGB", True)}


def test_labels_and_folders_lead_to_the_same_files(
    archives: Path, converted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the synset labels or the development kit, packed or not; from archives or folders; by any processes."""
    expected = _files(converted)
    (tmp_path / "kit").mkdir()
    with tarfile.open(archives / "ILSVRC2012_devkit_t12.tar.gz") as tar:
        tar.extractall(tmp_path / "kit", filter="data")
    make(tmp_path / "folders", TRAIN, VAL, side=96, folders=True)
    flat = tmp_path / "flat"
    flat.mkdir()
    (flat / "train").symlink_to(tmp_path / "folders" / "train")
    with tarfile.open(archives / "ILSVRC2012_img_val.tar") as tar:
        tar.extractall(flat / "val", filter="data")
    (flat / "synset_labels.txt").write_bytes((archives / "synset_labels.txt").read_bytes())
    ways: dict[str, tuple[object, ...]] = {
        "kit.tar.gz": (archives, "--val-labels", archives / "ILSVRC2012_devkit_t12.tar.gz"),
        "kit": (archives, "--val-labels", tmp_path / "kit"),
        "folders": (tmp_path / "folders",),
        "flat": (flat, "--processes", "1"),
    }
    for name, (folder, *options) in ways.items():
        output = tmp_path / f"out-{name}"
        assert main(["imagenet", str(folder), str(output), *map(str, options)]) == 0, capsys.readouterr().err
        assert _files(output) == expected, name


def test_modes_sides_and_qualities(archives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {}
    for name, options in {
        "q90": [],
        "q50": ["--quality", "50"],
        "small": ["--max-side", "64"],
        "raw": ["--mode", "raw", "--max-side", "64"],
        "mixed": ["--mode", "proportion", "--compress-probability", "0.25", "--max-side", "64"],
    }.items():
        output = tmp_path / name
        capsys.readouterr()
        assert main(["imagenet", str(archives), str(output), *options]) == 0
        estimate = float(capsys.readouterr().err.split("will take about ")[1].split(" GB")[0])
        files = _files(output)
        sizes[name] = sum(map(len, files.values()))
        assert estimate == pytest.approx(sizes[name] / 1e9, rel=0.25, abs=0.011)
        sidecar = Sidecar.model_validate_json(files["dataset.json"])
        rows = np.frombuffer(files["train.beton"], beton.SAMPLE, TRAIN, beton.START)
        raw = float(np.mean(rows["image"]["mode"] == beton.RAW))
        assert raw == {"raw": 1.0, "mixed": pytest.approx(0.75, abs=0.05)}.get(name, 0.0)
        if name not in ("q90", "q50"):
            longer = np.maximum(rows["image"]["width"], rows["image"]["height"])
            assert longer.max() == sidecar.max_side == sidecar.reduced_to == 64
        stamps = [read_stamp(image) for image, _ in _stored(output, "val")] if "small" not in name else []
        assert len(set(stamps)) in (0, VAL)
    assert sizes["q50"] < sizes["q90"]
    assert sizes["small"] < sizes["mixed"] < sizes["raw"]


def test_an_estimate_writes_nothing(archives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["imagenet", str(archives), "--estimate", "--mode", "raw", "--max-side", "64"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["mode", "max", "side", "quality", "GB"]
    assert lines[1].split()[:3] == ["raw", "64", "-"]
    assert lines[1].endswith("as chosen")
    assert len(lines) == 8


# What is wrong


def test_corrupt_images_are_named_and_skipped_if_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "in", 1100, 20, side=64, corrupt=2)
    fails(["imagenet", tmp_path / "in", tmp_path / "out"], capsys, ".JPEG: is not an image", "--corrupt skip")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    for processes in ("1", "2"):
        output = tmp_path / f"out{processes}"
        arguments = ["imagenet", str(tmp_path / "in"), str(output), "--corrupt", "skip", "--processes", processes]
        assert main(arguments) == 0
        streams = capsys.readouterr()
        assert streams.out == f"{output}: 1098 train, 20 val images, 1000 classes, 2 skipped\n"
        sidecar = json.loads((output / "dataset.json").read_text())
        assert sidecar["sizes"] == {"train": 1098, "val": 20}
        skipped = sidecar["skipped"]["train"]
        assert len(skipped) == 2
        assert all(f"skipped: {name}: is not an image" in streams.err for name in skipped)
        assert all(read_stamp(image)[0] == label for image, label in _stored(output, "train"))
        prepare(DataConfig(source="imagenet", path=str(output)))
    assert _files(tmp_path / "out1") == _files(tmp_path / "out2")


TRAIN_TAR, VAL_TAR = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
LABELS, KIT = "synset_labels.txt", "ILSVRC2012_devkit_t12.tar.gz"


def _without(*names: str) -> Callable[[Path], object]:
    return lambda folder: [(folder / name).rename(folder / f"{name}.old") for name in names]


def _with(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def _cut(name: str, *without: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        os.truncate(folder / name, int((folder / name).stat().st_size * 0.6))
        _without(*without)(folder)

    return change


WRONG: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "no train": (_without(TRAIN_TAR), (f"holds no {TRAIN_TAR}", "--train-tar")),
    "no val": (_without(VAL_TAR), (f"holds no {VAL_TAR}", "--val-tar")),
    "no labels": (_without(LABELS, KIT), (f"holds no {LABELS}", "--val-labels")),
    "cut train": (_cut(TRAIN_TAR), (TRAIN_TAR, "not a whole archive", "bytes")),
    "cut val": (_cut(VAL_TAR), (VAL_TAR, "not a whole archive", "bytes")),
    "empty train": (_with(TRAIN_TAR, b""), ("neither tar nor zip, but an empty file",)),
    "foreign train": (_with(TRAIN_TAR, b"<html>" * 999), ("neither tar nor zip, but an HTML page",)),
    "val for train": (
        lambda folder: (folder / VAL_TAR).replace(folder / TRAIN_TAR),
        ("in no folder or tar of a class",),
    ),
    "fewer labels": (_with(LABELS, b"n01440764\n" * 7), (f"7 labels for the {VAL}",)),
    "foreign labels": (_with(LABELS, b"n00000000\n" * VAL), ("'n00000000' is not",)),
    "numbers": (_with(LABELS, b"490\n" * VAL), ("name the whole development kit",)),
    "damaged kit": (_cut(KIT, LABELS), (KIT,)),
    "labels are no text": (_with(LABELS, b"\xff\xfe" * 200), ("labels",)),
}


@pytest.mark.parametrize("case", WRONG)
def test_unusable_archives_are_refused_in_one_line(
    archives: Path, tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for path in archives.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    change, words = WRONG[case]
    change(folder)
    fails(["imagenet", folder, tmp_path / "out"], capsys, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_other_classes_are_not_imagenet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "few", 20, 10, classes=10, side=64)
    fails(["imagenet", tmp_path / "few", tmp_path / "out"], capsys, "holds 10 classes, ImageNet has 1000")
    make(tmp_path / "folders", 20, 10, classes=10, side=64, folders=True)
    train = tmp_path / "folders" / "train"
    next(train.iterdir()).rename(train / "cat")
    fails(["imagenet", tmp_path / "folders", tmp_path / "out"], capsys, "cat is not a class of ImageNet", "folder")


def test_space_is_looked_for_first(
    archives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=10_000_000))
    fails(["imagenet", archives, tmp_path / "out"], capsys, "needs about 0.0", "0.01 GB are free", "--estimate")
    assert list(tmp_path.iterdir()) == []


# Kills


def _begin(archives: Path, output: Path) -> "subprocess.Popen[bytes]":
    command = [
        sys.executable,
        "-m",
        "randwire.data.convert",
        "imagenet",
        str(archives),
        str(output),
        "--processes",
        "2",
    ]
    # Where tests run in the background, an interrupt is ignored, and would be by what they start.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=ROOT, env=os.environ, preexec_fn=heed
    )


def _children(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def test_a_conversion_may_be_killed_at_any_moment(archives: Path, converted: Path, tmp_path: Path) -> None:
    """However often it is killed, the next run ends with the files of an undisturbed one, and nothing is left over."""
    expected, output = _files(converted), tmp_path / "out"
    started = time.monotonic()
    assert _begin(archives, output).wait(timeout=200) == 0
    whole = time.monotonic() - started
    assert _files(output) == expected
    stream = random.Random(0)
    for kill in range(KILLS):
        for name in _files(output) if output.exists() else ():
            (output / name).unlink()
        process = _begin(archives, output)
        time.sleep(whole * stream.uniform(0.1, 0.9))
        children = _children(process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        _, alive = psutil.wait_procs(children, timeout=20)
        assert not alive
        moving = (output / ".partial" / "whole").exists()
        assert moving or not output.exists() or _files(output) in ({}, expected)
        if kill % 3 == 2:
            assert moving or not output.exists() or not _files(output)
            assert _begin(archives, output).wait(timeout=200) == (2 if moving else 0)
            assert _files(output) == expected
            assert [path.name for path in tmp_path.iterdir()] == ["out"]
            assert {path.name for path in output.iterdir()} == expected.keys()


def test_two_conversions_to_one_output(archives: Path, converted: Path, tmp_path: Path) -> None:
    first = _begin(archives, tmp_path / "out")
    while not (tmp_path / "out" / ".partial" / "lock").exists():
        assert first.poll() is None
        time.sleep(0.01)
    second = _begin(archives, tmp_path / "out")
    _, err = second.communicate(timeout=100)
    assert second.returncode == 2
    assert b"another conversion is writing it" in err or b"holds a converted set already" in err
    assert first.wait(timeout=200) == 0
    assert _files(tmp_path / "out") == _files(converted)


def test_a_process_that_is_killed_ends_the_conversion(archives: Path, tmp_path: Path) -> None:
    process = _begin(archives, tmp_path / "out")
    killed = False
    while process.poll() is None and not killed:
        for child in _children(process):
            if "spawn_main" in " ".join(child.cmdline()):
                child.kill()
                killed = True
                break
        time.sleep(0.01)
    _, err = process.communicate(timeout=100)
    assert (killed, process.returncode) == (True, 2), err
    assert b"a process of the conversion was killed" in err
    assert b"Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_is_killed_in_the_midst_of_an_answer_ends_the_conversion(
    archives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files are not written until the processes wait with answers that are too large for a pipe."""
    write, killed = beton.write, []

    def late(file: BinaryIO, samples: Iterator[beton.StoredImage], count: int) -> str:
        started, first = iter(samples), next(iter(samples))
        processes = [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]
        spent = -1.0
        while spent != (spent := sum(sum(process.cpu_times()[:2]) for process in processes)):
            time.sleep(1)
        for process in processes:
            process.kill()
            killed.append(process)
        return write(file, chain([first], started), count)

    monkeypatch.setattr(beton, "write", late)
    fails(["imagenet", archives, tmp_path / "out", "--processes", 2], capsys, "a process of the conversion was killed")
    assert len(killed) == 2
    assert list(tmp_path.iterdir()) == []


class Faulty(Digits):
    def name(self, split: Split, index: int) -> str:
        if index == 700:
            raise LookupError("no such name")
        return super().name(split, index)


def test_a_mistake_in_a_process_is_raised_as_what_it_is(tmp_path: Path) -> None:
    """Not as the end of a process, and with the line where it happened."""
    with pytest.raises(LookupError, match="no such name") as caught:
        convert(Faulty(), "digits", tmp_path / "out", processes=2)
    assert "in name\n" in "".join(caught.value.__notes__)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_nothing(archives: Path, tmp_path: Path) -> None:
    process = _begin(archives, tmp_path / "out")
    while not (tmp_path / "out" / ".partial" / "new" / "train.beton").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 130
    assert b"interrupted; nothing was written" in err
    assert b"Traceback" not in err
    assert list(tmp_path.iterdir()) == []


# Use


def test_small_is_trained_and_evaluated_on_it(
    converted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`small` for some steps at 64 pixels as by `train.py`, then `--evaluate`."""
    common = ["--runtime.wandb", "disabled", "--runtime.output", str(tmp_path / "runs")]
    values = {"data.path": converted, "data.resolution": 64, "data.start_resolution": 32, "data.ramp": "[0.5,0.6]",
              "train.epochs": 2, "train.batch_size": 500, "network.channels": 16, "graph.nodes": 6}  # fmt: skip
    keys = [word for key, value in values.items() for word in (f"--{key}", str(value))]
    assert train(["small", *keys, *common]) == 0
    assert json.loads(capsys.readouterr().out)["epochs"] == 2
    [record] = (tmp_path / "runs" / "local").iterdir()
    rows = [json.loads(line) for line in (record / "metrics.jsonl").read_text().splitlines()]
    assert [(row["steps"], row["resolution"]) for row in rows] == [(3, 32), (3, 64)]
    assert train([str(record), "--evaluate"]) == 0
    scores = json.loads((record / "evaluations.jsonl").read_text())
    assert scores["images"] == VAL
    assert scores["val_top1"] == rows[-1]["val_top1"]


def test_another_conversion_does_not_go_on_with_a_training(archives: Path, converted: Path, tmp_path: Path) -> None:
    assert main(["imagenet", str(archives), str(tmp_path / "other"), "--quality", "60"]) == 0
    keys = {"data.resolution": 32, "train.epochs": 2, "train.batch_size": 750, "network.channels": 4, "graph.nodes": 5,
            "runtime.output": str(tmp_path / "runs"), "runtime.wandb": "disabled", "network.head": 8}  # fmt: skip

    class Stops(ProcessWorker):
        def report(self, row: object) -> bool:
            raise KeyboardInterrupt

    first = configuration.load("small", {**keys, "data.path": str(converted)})
    with pytest.raises(KeyboardInterrupt):
        run(first, Stops(pick_device("cpu")))
    second = configuration.load("small", {**keys, "data.path": str(tmp_path / "other")})
    assert first.digest == second.digest
    with pytest.raises(DataError, match="was trained on another conversion of imagenet"):
        run(second, ProcessWorker(pick_device("cpu")))
    assert run(first, ProcessWorker(pick_device("cpu")))["epochs"] == 2


def test_validation_is_exact_over_any_number_of_ranks(converted: Path) -> None:
    config = DataConfig(source="imagenet", path=str(converted), resolution=32)
    dataset = prepare(config)
    seen: dict[int, list[int]] = {}
    for world in (1, 3, 7):
        seen[world] = []
        for rank in range(world):
            with closing(
                Loader(dataset, "val", config, Batching(batch_size=64, rank=rank, world_size=world))
            ) as loader:
                for images, labels in epoch(loader):
                    seen[world] += [int(image.astype(np.int64).sum()) * 1000 + label for image, label in
                                    zip(images, labels, strict=True)]  # fmt: skip
    assert sorted(seen[1]) == sorted(seen[3]) == sorted(seen[7])
    assert len(seen[1]) == VAL


def test_the_digest_of_the_source_is_that_of_its_images(archives: Path, converted: Path) -> None:
    source, sidecar = ImageNet(archives), Sidecar.model_validate_json((converted / "dataset.json").read_bytes())
    for split in SPLITS:
        digest = hashlib.sha256()
        for index in range(len(source.labels(split))):
            content = source.image(split, index)
            assert isinstance(content, bytes)
            digest.update(hashlib.sha256(content).digest())
        assert sidecar.source_sha256[split] == digest.hexdigest()
