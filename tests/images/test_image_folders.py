"""The source `folder`: validation images that are a share of training, elsewhere, or without class folders."""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from data_helpers import fails
from PIL import Image

from randwire.data.convert import main
from randwire.data.sources import Split
from randwire.data.sources._val_share import quotas
from randwire.data.sources.folder import Folder

pytestmark = pytest.mark.usefixtures("own_cache")
SIZES = {"cat": 10, "dog": 21, "owl": 1, "wolf": 2}


def write(path: Path, red: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (red, 0, 0)).save(path, "PNG")


def classes(folder: Path, sizes: Mapping[str, int] = SIZES) -> Path:
    """Images in folders of classes."""
    for name, count in sizes.items():
        for number in range(count):
            write(folder / name / f"{name}{number}.png", number)
    return folder


def pairs(source: Folder, split: Split) -> dict[str, str]:
    """The class of each image of a split, by its path."""
    names = source.class_names()
    return {source.name(split, index): names[label] for index, label in enumerate(source.labels(split))}


def counts(source: Folder, split: Split) -> Counter[str]:
    return Counter(pairs(source, split).values())


# A share of the training images


@pytest.mark.image_data(
    "K",
    "`convert folder` of a folder of classes, or of train without val, with `--val-share 0.3`",
    "that share of each class validates, as close as can be; each class keeps an image to train; dataset.json says so",
)
@pytest.mark.parametrize("where", ["", "train"])
def test_a_share_validates(where: str, tmp_path: Path) -> None:
    classes(tmp_path / "in" / where)
    assert main(["folder", str(tmp_path / "in"), str(tmp_path / "out"), "--val-share", "0.3"]) == 0
    content = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert content["classes"] == list(SIZES)
    assert content["sizes"] == {"train": 24, "val": 10}
    assert content["options"] == {"val_share": 0.3, "val_seed": 0}
    source = Folder(tmp_path / "in", val_share=0.3)
    assert counts(source, "val") == {"cat": 3, "dog": 6, "wolf": 1}
    assert counts(source, "train") == {"cat": 7, "dog": 15, "owl": 1, "wolf": 1}
    train, val = pairs(source, "train"), pairs(source, "val")
    assert not set(train) & set(val)
    assert all(f"/{name}/" in path for path, name in (train | val).items())


@pytest.mark.image_data("K", "`--val-seed 1` beside `--val-share`", "other images validate, as many of each class")
def test_the_seed_of_a_share(tmp_path: Path) -> None:
    classes(tmp_path)
    chosen = [pairs(Folder(tmp_path, val_share=0.3, val_seed=seed), "val") for seed in (0, 1, 1)]
    assert chosen[0] != chosen[1] == chosen[2]
    assert Counter(chosen[0].values()) == Counter(chosen[1].values())
    before = set(chosen[1])
    write(tmp_path / "cat" / "another.png")
    after = set(pairs(Folder(tmp_path, val_share=0.3, val_seed=1), "val"))
    assert len(before ^ after) <= 2


@pytest.mark.image_data(
    "K", "Parquet files of train alone, and `--val-share`", "a share of them validates; refused beside val"
)
def test_a_share_of_parquet_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"image": {"bytes": path.read_bytes(), "path": path.name}, "label": path.parent.name}
        for path in sorted(classes(tmp_path / "files").rglob("*.png"))
    ]
    (tmp_path / "in").mkdir()
    table = pyarrow.Table.from_pylist(rows)
    pyarrow.parquet.write_table(table, tmp_path / "in" / "train-00000-of-00001.parquet")
    assert main(["folder", str(tmp_path / "in"), str(tmp_path / "out"), "--val-share", "0.3"]) == 0
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["sizes"] == {"train": 24, "val": 10}
    fails(["folder", tmp_path / "in", tmp_path / "out2"], capsys, "--val-share 0.1")
    pyarrow.parquet.write_table(table, tmp_path / "in" / "validation-00000-of-00001.parquet")
    fails(["folder", tmp_path / "in", tmp_path / "out2", "--val-share", "0.3"], capsys, "validation-00000-of-00001")
    fails(["folder", tmp_path / "in", tmp_path / "out2", "--val", "test"], capsys, "--val: is of images in folders")


def test_quotas() -> None:
    """By hand: whole shares, then the largest remainders, then the lower labels; none gives its last image."""
    cases = [
        ([10, 10, 10], 0.1, [1, 1, 1]),
        ([10, 21, 1, 2], 0.3, [3, 6, 0, 1]),
        ([5, 5, 5, 5], 0.1, [1, 1, 0, 0]),
        ([2, 2, 2], 0.75, [1, 1, 1]),
        ([1, 1, 100], 0.5, [0, 0, 51]),
        ([1, 1, 1], 0.5, [0, 0, 0]),
        ([3, 4], 0.99, [2, 3]),
        ([30] * 10, 0.1, [3] * 10),
    ]
    for sizes, share, expected in cases:
        assert quotas(np.array(sizes), share).tolist() == expected, (sizes, share)


# Where the folders are


def _moved(old: str, new: str) -> Callable[[Path], object]:
    def move(root: Path) -> None:
        (root / new).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(root / old, root / new)

    return move


LAYOUTS: dict[str, tuple[Callable[[Path], object], dict[str, Path]]] = {
    "val is called test": (_moved("val", "test"), {"val": Path("test")}),
    "val is called valid": (_moved("val", "valid"), {}),
    "Training and Validation": (
        lambda root: (_moved("train", "Training")(root), _moved("val", "Validation")(root)),
        {},
    ),
    "train and val under other names": (
        lambda root: (_moved("train", "seen")(root), _moved("val", "unseen")(root)),
        {"train": Path("seen"), "val": Path("unseen")},
    ),
    "one folder around both": (
        lambda root: (_moved("train", "set/train")(root), _moved("val", "set/val")(root)),
        {},
    ),
    "two folders around both": (
        lambda root: (_moved("train", "set/of/train")(root), _moved("val", "set/of/val")(root)),
        {},
    ),
}


@pytest.mark.image_data(
    "K", "`--val test`; folders named `valid`, `Training`, or in one more folder", "read as train and val"
)
@pytest.mark.parametrize("case", LAYOUTS)
def test_folders_of_other_names(case: str, tmp_path: Path) -> None:
    change, options = LAYOUTS[case]
    root = tmp_path / "in"
    classes(root / "train")
    classes(root / "val", {"cat": 2, "dog": 1})
    change(root)
    source = Folder(root, **options)
    assert counts(source, "train") == SIZES
    assert counts(source, "val") == {"cat": 2, "dog": 1}


def test_validation_images_elsewhere(tmp_path: Path) -> None:
    classes(tmp_path / "in")
    classes(tmp_path / "other", {"cat": 2})
    assert counts(Folder(tmp_path / "in", val=tmp_path / "other"), "val") == {"cat": 2}


NO_FOLDERS: dict[str, tuple[tuple[str, ...], list[str], tuple[str, ...]]] = {
    "no val": (
        ("train/cat", "train/dog", "test/cat"),
        [],
        ("holds no folder val; it holds test/, train/", "--val", "--val-share 0.1"),
    ),
    "classes alone": (("cat", "dog"), [], ("holds no folder train; it holds cat/, dog/", "--val-share 0.1")),
    "no train": (("val/cat", "val/dog"), [], ("holds no folder train; it holds val/", "--train")),
    "val and valid": (("train/cat", "val/cat", "valid/cat"), [], ("holds val and valid; choose one with --val",)),
    "no such folder": (
        ("train/cat", "val/cat"),
        ["--val", "test"],
        ("--val: ", "no folder test; it holds train/, val/"),
    ),
    "val in train": (
        ("train/cat", "train/dog"),
        ["--val", "train/dog"],
        ("lies in the folder of the training images",),
    ),
    "a share beside val": (
        ("train/cat", "train/dog", "val/cat"),
        ["--val-share", "0.1"],
        ("--val-share: is for sets without validation images", "/val is there"),
    ),
    "a share and --val": (("train/cat", "test/cat"), ["--val-share", "0.1", "--val", "test"], ("--val: is for",)),
    "a seed alone": (("train/cat", "val/cat"), ["--val-seed", "1"], ("--val-seed: is of --val-share",)),
    "too small a share": (("cat", "dog"), ["--val-share", "0.1"], ("is no image to validate",)),
    "no classes in train": (
        ("train", "val/cat"),
        [],
        ("train: holds no class folders with images, but 1 image outside of the class folders",),
    ),
    "no share": (("cat", "dog"), ["--val-share", "1"], ("--val-share", "share between 0 and 1")),
}


@pytest.mark.image_data(
    "K", "train, val or classes that are not where `folder` looks", "told with what is there, and the options for it"
)
@pytest.mark.parametrize("case", NO_FOLDERS)
def test_missing_folders(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders, options, words = NO_FOLDERS[case]
    for folder in folders:
        write(tmp_path / "in" / folder / "a.png")
    fails(["folder", tmp_path / "in", tmp_path / "out", *options], capsys, *words)
    assert not (tmp_path / "out").exists()


@pytest.mark.image_data("H", "`convert folder` of an INPUT that is not there", "`no such folder or archive`")
def test_a_missing_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fails(["folder", tmp_path / "in", tmp_path / "out"], capsys, "in: no such folder or archive")


# Validation images without class folders


def tiny_imagenet(root: Path) -> Path:
    """As tiny-imagenet-200 is published, with three classes."""
    wnids = ["n01443537", "n01629819", "n01641577"]
    for label, wnid in enumerate(wnids):
        for number in range(3):
            write(root / "train" / wnid / "images" / f"{wnid}_{number}.JPEG", label)
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text(f"{wnid}_0.JPEG\t0\t0\t62\t62\n")
    lines = []
    for number in range(9, -1, -1):
        write(root / "val" / "images" / f"val_{number}.JPEG")
        lines.append(f"val_{number}.JPEG\t{wnids[number % 3]}\t0\t32\t44\t62\n")
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    write(root / "test" / "images" / "test_0.JPEG")
    (root / "wnids.txt").write_text("".join(f"{wnid}\n" for wnid in wnids))
    (root / "words.txt").write_text("n00001740\tentity\n")
    return root


@pytest.mark.image_data(
    "K", "tiny-imagenet as published", "read, with the labels of val_annotations.txt; a note says that test is not"
)
def test_tiny_imagenet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tiny_imagenet(tmp_path / "in")
    assert main(["folder", str(root), str(tmp_path / "out")]) == 0
    err = capsys.readouterr().err
    assert "not read: test" in err
    assert "left out of train: 3 text files" in err
    assert "left out of val" not in err
    content = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert content["sizes"] == {"train": 9, "val": 10}
    found = pairs(Folder(root), "val")
    names = content["classes"]
    assert found == {f"{root}/val/images/val_{number}.JPEG": names[number % 3] for number in range(10)}


@pytest.mark.image_data("K", "imagenette as published, with its noisy labels beside", "read from its class folders")
def test_imagenette(tmp_path: Path) -> None:
    for split, count in (("train", 3), ("val", 2)):
        classes(tmp_path / "imagenette2-160" / split, {"n01440764": count, "n02102040": count})
    (tmp_path / "imagenette2-160" / "noisy_imagenette.csv").write_text(
        "path,noisy_labels_0,is_valid\ntrain/n01440764/n014407640.png,n02102040,False\n"
    )
    (tmp_path / "imagenette2-160" / ".DS_Store").write_bytes(b"\0")
    source = Folder(tmp_path)
    assert counts(source, "val") == {"n01440764": 2, "n02102040": 2}
    assert source.notes() == []


def flat(root: Path) -> Path:
    classes(root / "train", {"cat": 2, "polar bear": 2, "ünï": 2})
    for number in range(3):
        write(root / "val" / f"photo {number}.png", number)
    return root


FLAT: dict[str, tuple[str, str, list[str]]] = {
    "found": ("val.txt", "photo 0.png cat\nphoto 1.png polar bear\nphoto 2.png ünï\n", []),
    "named": ("any.txt", "photo 2.png\tünï\nphoto 0.png\tcat\nphoto 1.png\tpolar bear\n", ["--val-labels"]),
    "quoted": ("val.csv", '"photo 1.png","polar bear"\n"photo 0.png","cat"\n"photo 2.png","ünï"\n', []),
    "decomposed": ("val.csv", "photo 1.png,polar bear\nphoto 0.png,cat\nphoto 2.png,u\u0308ni\u0308\n", []),
    "places of classes": ("val.csv", "photo 1.png,1\nphoto 0.png,0\nphoto 2.png,2\n", []),
    "a column": ("any.txt", "cat\npolar bear\nünï\n", ["--val-labels"]),
}


@pytest.mark.image_data(
    "K", "validation images in one folder, and a file of their labels: found, or `--val-labels`", "read by name"
)
@pytest.mark.parametrize("case", FLAT)
def test_flat_validation_images(case: str, tmp_path: Path) -> None:
    name, text, options = FLAT[case]
    root = flat(tmp_path)
    (root / name).write_text(text, encoding="utf-8")
    source = Folder(root, **({"val_labels": root / name} if options else {}))
    expected = ["cat", "polar bear", "ünï"]
    assert pairs(source, "val") == {f"{root}/val/photo {number}.png": expected[number] for number in range(3)}
    assert any("trusted" in note for note in source.notes()) == (case == "a column")
    assert any("0 is cat, 2 is ünï" in note for note in source.notes()) == (case == "places of classes")


NO_LABELS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "no file": ("x", "", ("holds 3 images in no folders of classes", "--val-labels")),
    "a column that was found": (
        "val.txt",
        "cat\ncat\ncat\n",
        ("val.txt: is a column without the names", "--val-labels"),
    ),
    "an image without a label": (
        "val.csv",
        "photo 0.png,cat\nphoto 1.png,cat\n",
        ("no label for 1 of the 3", "photo 2.png"),
    ),
    "no class": (
        "val.csv",
        "photo 0.png,cat\nphoto 1.png,cow\nphoto 2.png,cat\n",
        ("'cow' is not the name of a class",),
    ),
}


@pytest.mark.image_data(
    "K", "validation images in one folder without a file of labels, or with one that does not fit", "refused"
)
@pytest.mark.parametrize("case", NO_LABELS)
def test_flat_images_without_labels(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, text, words = NO_LABELS[case]
    root = flat(tmp_path / "in")
    (root / name).write_text(text)
    fails(["folder", root, tmp_path / "out"], capsys, *words)


@pytest.mark.image_data(
    "K", "class folders in val, and a file of labels that says something else", "refused, with the first such image"
)
def test_class_folders_and_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    classes(tmp_path / "in" / "train", {"cat": 2, "dog": 2})
    classes(tmp_path / "in" / "val", {"cat": 2, "dog": 1})
    path = tmp_path / "in" / "val_labels.csv"
    path.write_text("cat0.png,cat\ncat1.png,cat\ndog0.png,dog\n")
    assert counts(Folder(tmp_path / "in"), "val") == {"cat": 2, "dog": 1}
    path.write_text("cat0.png,cat\ncat1.png,dog\ndog0.png,dog\n")
    fails(["folder", tmp_path / "in", tmp_path / "out"], capsys, "cat1.png is cat by its folder and dog by")


@pytest.mark.image_data(
    "K",
    "tiny-imagenet whose val was sorted into class folders, an empty `images` left",
    "read from them, checked by val_annotations.txt",
)
def test_tiny_imagenet_in_class_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tiny_imagenet(tmp_path / "in")
    label = dict(line.split("\t")[:2] for line in (root / "val" / "val_annotations.txt").read_text().splitlines())
    for path in list((root / "val" / "images").iterdir()):
        (root / "val" / label[path.name] / "images").mkdir(parents=True, exist_ok=True)
        path.rename(root / "val" / label[path.name] / "images" / path.name)
    assert pairs(Folder(root), "val") == {f"{root}/val/{wnid}/images/{name}": wnid for name, wnid in label.items()}
    wrong = root / "val" / label["val_1.JPEG"] / "images" / "val_1.JPEG"
    wrong.rename(root / "val" / label["val_2.JPEG"] / "images" / "val_1.JPEG")
    fails(["folder", root, tmp_path / "out"], capsys, "val_1.JPEG", "by its folder", "val_annotations.txt")


@pytest.mark.image_data(
    "K",
    "the folder of one split in that of the other, whether named from INPUT or by its path",
    "refused: its images would be in both",
)
def test_splits_inside_of_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = classes(tmp_path / "in")
    classes(root / "test")
    for named in ("test", root / "test"):
        fails(["folder", root, tmp_path / "out", "--val", named], capsys, "holds no folder train; it holds cat/")
    whole = ["folder", root, tmp_path / "out", "--train", ".", "--val"]
    fails([*whole, "test"], capsys, "test: lies in the folder of the training images")
    (root / "all.csv").write_text("".join(f"{name}0.png,{name}\n" for name in SIZES))
    labels = ["--val-labels", root / "all.csv"]
    arguments = ["folder", root, tmp_path / "out", "--train", "test", "--val", ".", *labels]
    fails(arguments, capsys, "test: lies in the folder of the validation images")


@pytest.mark.image_data("K", "a class called train, and `--train .`", "read, and no class is said not to be")
def test_a_class_called_train(tmp_path: Path) -> None:
    source = Folder(classes(tmp_path, {"train": 4, "cat": 4}), train=Path(), val_share=0.5)
    assert source.class_names() == ["cat", "train"]
    assert not source.notes()


@pytest.mark.image_data(
    "K", "folders of classes, and among them test with the same classes, and `--val-share`", "refused"
)
def test_a_split_among_the_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    classes(tmp_path / "in")
    classes(tmp_path / "in" / "test")
    words = ("in/test: lies among the folders of the classes",)
    fails(["folder", tmp_path / "in", tmp_path / "out", "--val-share", "0.3"], capsys, *words)


@pytest.mark.image_data(
    "K", "train.zip beside the folder train", "the folder is read; a note says that the archive is not"
)
def test_archives_beside_folders(tmp_path: Path) -> None:
    for split in ("train", "val"):
        classes(tmp_path / split)
    (tmp_path / "train.zip").write_bytes(b"PK")
    assert "not read: train.zip" in "".join(Folder(tmp_path).notes())
