"""Labels of validation images that lie in no class folders: by name, or by the number in the name."""

import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from data_helpers import fails
from PIL import Image

from benchmarks.imagenet_like import make
from randwire.data.convert import main
from randwire.data.sources import _published
from randwire.data.sources.imagenet import ImageNet

WNIDS = ["n01440764", "n01443537", "n01484850", "n02119789", "n03000000"]
KIT = "ILSVRC2012_devkit_t12.tar.gz"
COUNT = 12
TRUE = [number % 5 for number in range(COUNT)][::-1]
"""The label of validation image number i + 1."""
pytestmark = pytest.mark.usefixtures("own_cache", "five_classes")


@pytest.fixture
def five_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageNet, "class_count", len(WNIDS))


def write(path: Path, label: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (40 * label + 20, 0, 0)).save(path, "PNG")


def published(number: int) -> str:
    return f"ILSVRC2012_val_{number:08}.JPEG"


def imagenet(root: Path, name: Callable[[int], str] = published, count: int = COUNT) -> Path:
    """Images of five classes, whose red says the label, in train/CLASS and in val without folders."""
    for label, wnid in enumerate(WNIDS):
        write(root / "train" / wnid / f"{wnid}_1.JPEG", label)
    for number in range(1, count + 1):
        write(root / "val" / name(number), TRUE[number - 1])
    return root


def column(root: Path, labels: Sequence[int] = TRUE) -> Path:
    (root / "synset_labels.txt").write_text("".join(f"{WNIDS[label]}\n" for label in labels))
    return root


def given(root: Path) -> dict[str, int]:
    """The label that each validation image gets."""
    source = ImageNet(root)
    labels = source.labels("val").tolist()
    return {source.name("val", index): label for index, label in enumerate(labels)}


def expected(name: Callable[[int], str] = published) -> dict[str, int]:
    return {name(number): TRUE[number - 1] for number in range(1, COUNT + 1)}


def notes(root: Path) -> str:
    return "\n".join(ImageNet(root).notes())


@pytest.mark.image_data("D", "images `1.JPEG` to `1000.JPEG` and a column of labels", "line N is the label of number N")
def test_the_number_is_the_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = column(imagenet(tmp_path / "in", lambda number: f"{number}.JPEG"))
    assert given(root) == expected(lambda number: f"{number}.JPEG")
    assert main(["imagenet", str(root), str(tmp_path / "out")]) == 0
    assert "synset_labels.txt in the order of the numbers" in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["sizes"] == {"train": 5, "val": COUNT}


@pytest.mark.image_data("D", "images numbered from 0 and a column of labels", "line N + 1 is the label of number N")
def test_numbers_from_zero(tmp_path: Path) -> None:
    root = column(imagenet(tmp_path, lambda number: f"img{number - 1}.png"))
    assert given(root) == expected(lambda number: f"img{number - 1}.png")


@pytest.mark.image_data("D", "a column of labels whose order nothing can check", "a note says that it is trusted")
def test_a_column_is_said_to_be_trusted(tmp_path: Path) -> None:
    assert "that they are in this order is trusted" in notes(column(imagenet(tmp_path)))


def _copy_of_2(val: Path) -> None:
    (val / published(3)).unlink()
    shutil.copy(val / published(2), val / "ILSVRC2012_val_00000002 (1).JPEG")


def _renamed(name: str, number: int = 3) -> Callable[[Path], object]:
    return lambda val: (val / published(number)).rename(val / name)


BROKEN: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "one picture missing and a (1) copy present": (_copy_of_2, ("(1).JPEG", "does not end in a number")),
    "a picture missing": (
        lambda val: (val / published(3)).unlink(),
        ("12 labels for the 11 images", "no image has the number 3"),
    ),
    "a picture with the number of another one": (_renamed("ILSVRC2012_val_2.JPEG"), ("same number, 2",)),
    "a number beyond the labels": (
        _renamed("ILSVRC2012_val_00000013.JPEG"),
        ("no image has the number 3", "ILSVRC2012_val_00000013.JPEG is beyond"),
    ),
    "published names from 0 on": (_renamed("ILSVRC2012_val_00000000.JPEG", 12), ("no image has the number 12",)),
    "a name without a number": (_renamed("third.JPEG"), ("third.JPEG does not end in a number",)),
    "names of two kinds": (_renamed("photo_3.JPEG"), ("photo_3.JPEG", "is named otherwise than")),
}


@pytest.mark.image_data(
    "D",
    "a column of labels, and pictures without numbers, with missing or with doubled ones",
    "refused, with the first such picture or number",
)
@pytest.mark.parametrize("case", BROKEN)
def test_wrong_numbers_are_refused(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, words = BROKEN[case]
    root = column(imagenet(tmp_path / "in"))
    change(root / "val")
    fails(["imagenet", root, tmp_path / "out"], capsys, *words)
    assert not (tmp_path / "out").exists()


def _lines(
    separator: str, end: str = "\n", suffix: str = ".JPEG", text: Callable[[int], object] = WNIDS.__getitem__
) -> str:
    rows = [f"ILSVRC2012_val_{number:08}{suffix}{separator}{text(TRUE[number - 1])}" for number in range(1, COUNT + 1)]
    return end.join([*rows[::-1], ""])


KAGGLE = "ImageId,PredictionString\n" + "".join(
    f"ILSVRC2012_val_{number:08},{f'{WNIDS[TRUE[number - 1]]} 1 2 30 40 ' * (1 + number % 3)}\n"
    for number in range(COUNT, 0, -1)
)
BOXES = _lines("\t", text=lambda label: f"{WNIDS[label]}\t0\t32\t44\t62")
KEYED = {
    "Kaggle's solution": ("LOC_val_solution.csv", KAGGLE.encode()),
    "name wnid": ("val.txt", _lines(" ").encode()),
    "name,wnid": ("val_labels.csv", _lines(",").encode()),
    "name;wnid": ("val_labels.csv", _lines(";").encode()),
    "columns in another order": (
        "val.csv",
        "\n".join(
            [",label,filename,width", *(f"{n},{WNIDS[TRUE[n - 1]]},{published(n)},8" for n in range(1, COUNT + 1))]
        ).encode(),
    ),
    "a header": ("val.csv", ("filename,label\n" + _lines(",")).encode()),
    "boxes": ("val/val_annotations.txt", BOXES.encode()),
    "name number": ("val.txt", _lines(" ", text=str).encode()),
    "folders before the names": ("val.txt", _lines(" ").replace("ILSVRC", "data/val/ILSVRC").encode()),
    "byte-order mark, CRLF and empty lines": ("val.txt", _lines(" ", "\r\n\r\n").encode("utf-8-sig")),
    "UTF-16": ("val.txt", _lines(" ").encode("utf-16")),
    "names without suffix": ("val.txt", _lines(" ", suffix="").encode()),
    "names with another suffix": ("val.txt", _lines(" ", suffix=".jpg").encode()),
}


@pytest.mark.image_data(
    "D",
    "a file of names and labels: `LOC_val_solution.csv`, `name wnid`, `name number` from 0, `val_annotations.txt`; in "
    "any order, with a byte-order mark, CRLF",
    "each image has the label of its name, and nothing is said to be trusted",
)
@pytest.mark.parametrize("case", KEYED)
def test_keyed_files_are_read(case: str, tmp_path: Path) -> None:
    name, content = KEYED[case]
    root = imagenet(tmp_path)
    (root / name).write_bytes(content)
    assert given(root) == expected()
    assert "trusted" not in notes(root)


@pytest.mark.image_data("D", "a byte-order mark and CRLF in a column of labels", "read as without them")
def test_a_column_of_windows(tmp_path: Path) -> None:
    root = column(imagenet(tmp_path))
    path = root / "synset_labels.txt"
    path.write_bytes(path.read_text().replace("\n", "\r\n").encode("utf-8-sig") + b"\r\n")
    assert given(root) == expected()


@pytest.mark.image_data(
    "D", "files of which each name has its label in it, `..._n01440764.JPEG`", "read without a file of labels"
)
def test_labels_in_names(tmp_path: Path) -> None:
    def name(number: int) -> str:
        return f"ILSVRC2012_val_{number:08}_{WNIDS[TRUE[number - 1]]}.JPEG"

    root = imagenet(tmp_path, name)
    assert given(root) == expected(name)
    assert given(column(root)) == expected(name)


WRONG_FILES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "an image without a label": ("val.txt", _lines(" ").split("\n", 1)[1], ("no label for 1 of the 12", published(12))),
    "two labels": ("val.txt", _lines(" ") + f"{published(1)} {WNIDS[0]}\n", ("two labels", WNIDS[0])),
    "boxes of two classes": (
        "LOC_val_solution.csv",
        KAGGLE.replace("n01440764 1 2 30 40 n01440764", "n01440764 1 2 30 40 n02119789"),
        ("labels n01440764 and n02119789",),
    ),
    "numbers from 1": (
        "val.txt",
        _lines(" ", text=lambda label: str(label + 1)),
        ("numbers from 1 to 5", "from 0 to 4"),
    ),
    "numbers beyond": ("val.txt", _lines(" ", text=lambda label: str(2 * label)), ("numbers from 0 to 8",)),
    "another class": (
        "val.txt",
        _lines(" ").replace(WNIDS[0], "n00000001"),
        ("'n00000001' is not the name of a class",),
    ),
    "other images": (
        "val.txt",
        _lines(" ").replace("ILSVRC2012_val", "test"),
        ("no label for 12", "'test_00000012.JPEG'"),
    ),
    "a line without a label": ("val.txt", _lines(" ") + "photo.JPEG\n", ("line 13", "'photo.JPEG'")),
    "numbers behind a number": (
        "val.csv",
        _lines(",", text=lambda label: ",".join("01"[label == i] for i in range(5))),
        ("line 1", "is no name of an image and its label"),
    ),
    "a line with a name alone": ("val.csv", _lines(",").replace(f",{WNIDS[TRUE[4]]}", "", 1), ("val.csv",)),
    "a quote that is not closed": ("val.csv", _lines(",").replace("ILSVRC", '"ILSVRC', 1), ("line 1", "is no name of")),
    "a comma too many": (
        "val.csv",
        "filename,label\n" + _lines(",").replace(",", ",,", 1),
        ("line 2", "is no name of"),
    ),
    "nothing": ("synset_labels.txt", "\n", ("it is empty",)),
    "a list of classes": (
        "synset_labels.txt",
        "n02119789 1 kit_fox\nn02100735 2 English_setter\n",
        ("no label for 12", "it names 'n02119789 1', which is not there"),
    ),
}


@pytest.mark.image_data(
    "D", "a file of labels that leaves an image out, or says what is no class", "refused, with the image or the line"
)
@pytest.mark.parametrize("case", WRONG_FILES)
def test_wrong_files_are_refused(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, text, words = WRONG_FILES[case]
    root = imagenet(tmp_path / "in")
    (root / name).write_text(text)
    fails(["imagenet", root, tmp_path / "out"], capsys, name, *words)


@pytest.mark.image_data("D", "labels of images that are not there", "a note says how many")
def test_more_labels_than_images(tmp_path: Path) -> None:
    root = imagenet(tmp_path, count=10)
    (root / "val.txt").write_text(_lines(" "))
    assert given(root) == {name: label for name, label in expected().items() if name < published(11)}
    assert "2 labels are of images that" in notes(root)


@pytest.mark.image_data(
    "D", "labels in two forms", "they agree, or are refused with the first image of which they differ"
)
def test_two_forms_must_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = column(imagenet(tmp_path / "in"))
    (root / "LOC_val_solution.csv").write_text(KAGGLE)
    assert given(root) == expected()
    assert "trusted" not in notes(root)
    column(root, TRUE[::-1])
    fails(["imagenet", root, tmp_path / "out"], capsys, "labels differ", "LOC_val_solution.csv", "--val-labels")
    chosen = str(root / "LOC_val_solution.csv")
    assert main(["imagenet", str(root), str(tmp_path / "out"), "--val-labels", chosen]) == 0


@pytest.mark.image_data(
    "D", "class folders in val, and a file of labels that says something else", "refused, with the first such image"
)
def test_folders_and_files_must_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = imagenet(tmp_path / "in")
    (root / "val.txt").write_text(_lines(" "))
    for number in range(1, COUNT + 1):
        place = root / "val" / WNIDS[TRUE[number - 1]]
        place.mkdir(exist_ok=True)
        (root / "val" / published(number)).rename(place / published(number))
    assert sorted(given(root).values()) == sorted(TRUE)
    moved = root / "val" / WNIDS[TRUE[0]] / published(1)
    moved.rename(root / "val" / WNIDS[0] / published(1))
    fails(["imagenet", root, tmp_path / "out"], capsys, published(1), f"{WNIDS[0]} by its folder", "val.txt")


@pytest.mark.image_data("D", "the published 50,000 images, and labels that are not 50 of each class", "refused")
def test_published_images_are_50_of_each_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_published, "IMAGES", 10)
    monkeypatch.setattr(_published, "OF_A_CLASS", 2)
    root = column(imagenet(tmp_path / "in", count=10), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
    assert np.bincount(list(given(root).values())).tolist() == [2] * 5
    column(root, [0, 0, 1, 1, 2, 2, 3, 3, 4, 3])
    fails(["imagenet", root, tmp_path / "out"], capsys, "gives n02119789 to 3 of the 10 published", "each class has 2")


TWICE = [0, 1, 2, 3, 4, 4, 3, 2, 1, 0]


def _publish(monkeypatch: pytest.MonkeyPatch, labels: Sequence[int]) -> None:
    """From now on ImageNet has five classes, and ten validation images with these labels."""
    for name, value in (("IMAGES", 10), ("OF_A_CLASS", 2)):
        monkeypatch.setattr(_published, name, value)
    for name, words in (("CLASSES_SHA256", WNIDS), ("LABELS_SHA256", [WNIDS[label] for label in labels])):
        monkeypatch.setattr(_published, name, hashlib.sha256("\n".join(words).encode()).hexdigest())


@pytest.mark.image_data(
    "D",
    "the published 50,000 images, and a column with the published labels, or with these in another order",
    "read, and not only trusted; or refused",
)
def test_the_published_order_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = column(imagenet(tmp_path / "in", count=10), TWICE)
    assert "trusted" in notes(root)
    _publish(monkeypatch, TWICE)
    assert "trusted" not in notes(root)
    column(root, sorted(TWICE))
    fails(["imagenet", root, tmp_path / "out"], capsys, "synset_labels.txt", "not those that the", "published with")


@pytest.mark.image_data(
    "D", "the published 50,000 images in wrong class folders, or with other labels by name", "a note says so"
)
def test_other_labels_of_published_images_are_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _publish(monkeypatch, TWICE)
    root = imagenet(tmp_path / "in", count=10)
    (root / "val.txt").write_text("".join(f"{published(n + 1)} {WNIDS[sorted(TWICE)[n]]}\n" for n in range(10)))
    assert "val.txt: the labels are not those that the" in notes(root)
    (root / "val.txt").unlink()
    for n in range(10):
        write(root / "val" / WNIDS[sorted(TWICE)[n]] / published(n + 1), 0)
        (root / "val" / published(n + 1)).unlink()
    assert "val: the labels are not those that the" in notes(root)


@pytest.mark.image_data(
    "D", "`name number` with the numbers of the development kit, from 1 on", "read with the kit beside; else refused"
)
def test_numbers_of_the_kit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "in"
    make(root, 10, 20, classes=5, side=36)
    expected = given(root)
    truth = _ground_truth(root / KIT)
    lines = "".join(f"{published(number)} {label}\n" for number, label in enumerate(truth, 1))
    (root / "val.txt").write_text(lines)
    (root / "synset_labels.txt").unlink()
    assert given(root) == expected
    source = ImageNet(root, val_labels=root / "val.txt")
    labels = {source.name("val", index): label for index, label in enumerate(source.labels("val").tolist())}
    assert labels == expected
    (root / KIT).unlink()
    fails(["imagenet", root, tmp_path / "out"], capsys, "val.txt", "numbers from 1 to 5", "from 0 to 4")


@pytest.mark.image_data(
    "D",
    "a development kit with several files of the labels, with words or foreign numbers",
    "refused, with what it holds",
)
def test_kits_that_are_not_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "in"
    make(root, 10, 20, classes=5, side=36)
    (root / "synset_labels.txt").unlink()
    expected = given(root)
    with tarfile.open(root / KIT) as tar:
        tar.extractall(root, filter="data")
    (root / KIT).unlink()
    data = root / "ILSVRC2012_devkit_t12" / "data"
    shutil.copytree(data, data.parent / "old")
    assert given(root) == expected
    truth = "ILSVRC2012_validation_ground_truth.txt"
    (data.parent / "old" / truth).write_text("1\n" * 20)
    fails(["imagenet", root, tmp_path / "out"], capsys, f"ILSVRC2012_devkit_t12: holds several {truth}, which differ")
    shutil.rmtree(data.parent / "old")
    for text in ("99", "tench"):
        (data / truth).write_text(f"{text}\n" * 20)
        fails(["imagenet", root, tmp_path / "out"], capsys, f"{truth} holds '{text}', which is no number of a class")


def _ground_truth(kit: Path) -> list[str]:
    with tarfile.open(kit) as tar:
        file = tar.extractfile("ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt")
        assert file is not None
        return file.read().decode().split()


@pytest.mark.image_data("D", "`--val-labels` of a pipe", "refused, and not waited for")
def test_labels_from_a_pipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = imagenet(tmp_path / "in")
    os.mkfifo(tmp_path / "pipe")
    arguments = ["imagenet", root, tmp_path / "out", "--val-labels", tmp_path / "pipe"]
    fails(arguments, capsys, "pipe: holds no labels: it is no regular file")


@pytest.mark.image_data(
    "D",
    "training images named as of another class than that of their folder or tar",
    "the folder counts; a note says so",
)
@pytest.mark.parametrize("packed", [False, True])
def test_misnamed_training_images_are_noted(packed: bool, tmp_path: Path) -> None:
    root = column(imagenet(tmp_path))
    assert "named as of another class" not in notes(root)
    write(root / "train" / WNIDS[2] / f"{WNIDS[1]}_1.JPEG", 1)
    if packed:
        with tarfile.open(root / "train.tar", "w") as tar:
            tar.add(root / "train", ".")
        shutil.rmtree(root / "train")
    assert f"1 images are named as of another class than their folder or tar, such as {WNIDS[1]}_1" in notes(
        root
    ).replace(f"{WNIDS[2]}/", "")
    assert f"of {WNIDS[2]}; their names do not count" in notes(root)


@pytest.mark.image_data(
    "D", "class folders in val, and names that end in another class", "refused, with the first such image"
)
def test_folders_and_names_must_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = imagenet(tmp_path / "in")
    for number in range(1, COUNT + 1):
        wnid = WNIDS[TRUE[number - 1]]
        write(root / "val" / wnid / f"ILSVRC2012_val_{number:08}_{wnid}.JPEG", TRUE[number - 1])
        (root / "val" / published(number)).unlink()
    assert sorted(given(root).values()) == sorted(TRUE)
    name = f"ILSVRC2012_val_00000001_{WNIDS[TRUE[0]]}.JPEG"
    (root / "val" / WNIDS[TRUE[0]] / name).rename(root / "val" / WNIDS[4] / name)
    fails(
        ["imagenet", root, tmp_path / "out"], capsys, name, f"{WNIDS[4]} by its folder", f"{WNIDS[TRUE[0]]} by its name"
    )


@pytest.mark.image_data("H", "imagenet: folders val and validation", "refused: one is to be chosen")
def test_two_folders_of_val(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = column(imagenet(tmp_path / "in"))
    shutil.copytree(root / "val", root / "validation")
    fails(["imagenet", root, tmp_path / "out"], capsys, "in: holds val and validation; choose one with --val-tar")
    assert ImageNet(root, val_tar=root / "val").notes()


@pytest.mark.image_data(
    "H", "imagenet: one folder for the training and the validation images, also by a link", "refused"
)
def test_one_folder_for_both_splits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = column(imagenet(tmp_path / "in"))
    words = ("in/train: is named for the training and for the validation images",)
    fails(["imagenet", root, tmp_path / "out", "--val-tar", root / "train"], capsys, *words)
    shutil.rmtree(root / "val")
    (root / "val").symlink_to("train")
    fails(["imagenet", root, tmp_path / "out"], capsys, *words)


@pytest.mark.image_data("D", "one of the published validation images in two class folders", "refused, with its name")
@pytest.mark.parametrize("packed", [False, True])
def test_an_image_in_two_class_folders(packed: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = imagenet(tmp_path / "in", lambda number: f"{WNIDS[TRUE[number - 1]]}/{published(number)}")
    assert sorted(given(root).values()) == sorted(TRUE)
    write(root / "val" / WNIDS[TRUE[1]] / published(1), TRUE[0])
    if packed:
        with tarfile.open(root / "val.tar", "w") as tar:
            tar.add(root / "val", ".")
        shutil.rmtree(root / "val")
    fails(["imagenet", root, tmp_path / "out"], capsys, "holds ILSVRC2012_val_00000001 more than once")
