"""The source `folder`: what files of labels say in columns and paths that can be taken for others."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from data_helpers import fails
from PIL import Image

from randwire.data.convert import main
from randwire.data.sources.folder import Folder
from randwire.errors import DataError

CLASSES = ("bird", "cat", "dog", "fox")
COUNT = 8
OWN_NUMBERS = (3, 0, 1, 2)
"""What a user calls the classes by."""
pytestmark = pytest.mark.usefixtures("own_cache")


def write(path: Path, label: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (40 * label + 20, 0, 0)).save(path)


def name_of(number: int) -> str:
    return CLASSES[number * 3 % 4]


def flat(root: Path) -> Path:
    """Images whose red says the label, in train/CLASS and in val without folders."""
    for label, name in enumerate(CLASSES):
        write(root / "train" / name / "1.png", label)
    for number in range(1, COUNT + 1):
        write(root / "val" / f"{number}.png", number * 3 % 4)
    return root


def nested(root: Path, folder: str = "{}") -> Path:
    """Images of equal names in folders of val."""
    for label, name in enumerate(CLASSES):
        for number in range(2):
            write(root / "train" / name / f"{number}.png", label)
            write(root / "val" / folder.format(name) / f"{number}.png", label)
    return root


def wrong(source: Folder) -> list[str]:
    """The validation images whose label is not what their pixels show."""
    return [
        source.name("val", index)
        for index, label in enumerate(source.labels("val"))
        if np.asarray(Image.open(source.name("val", index)))[0, 0, 0] != 40 * label + 20
    ]


def rows(text: str, first: int = 1) -> str:
    """A line for each image: of its number, its class, the number that the user calls this by, and the next image."""
    return "".join(
        text.format(
            n=number,
            name=name_of(number),
            own=OWN_NUMBERS[CLASSES.index(name_of(number))],
            next=number % COUNT + 1,
            next_name=name_of(number % COUNT + 1),
        )
        for number in range(first, COUNT + 1)
    )


READ = {
    "numbers and names of the classes": "filename,label,class_name\n" + rows("{n}.png,{own},{name}\n"),
    "numbers of rows called image_id": "image_id,file_name,label\n" + rows("{n},{next}.png,{next_name}\n"),
    "quotes behind blanks": rows('"{n}.png", "{name}"\n'),
    "a column of splits": "filename,label,split\n" + rows("{n}.png,fox,train\n") + rows("{n}.png,{name},valid\n"),
    "paths of training images, too": rows("train/{n}.png,fox\n") + rows("val/{n}.png,{name}\n"),
}


@pytest.mark.image_data(
    "D",
    "a file of labels with several columns of labels or numbers, or with the labels of training images of equal names",
    "each image has the label of its name and folder; names of classes count before numbers",
)
@pytest.mark.parametrize("case", READ)
def test_columns_and_paths(case: str, tmp_path: Path) -> None:
    (flat(tmp_path) / "val.csv").write_text(READ[case])
    assert not wrong(Folder(tmp_path))


REFUSED: Mapping[str, tuple[str, str]] = {
    "paths of training images alone": (rows("train/{n}.png,fox\n"), "it names 'train/1.png', which is not there"),
    "a column that says train": (
        "filename,label,split\n" + rows("{n}.png,{name},Train\n"),
        "it names 'Train/1.png', which is not there",
    ),
    "a line without the commas of the others": (
        "filename,label\n" + rows("{n}.png,{name}\n") + "end\n",
        "line 10 is no name of an image and its label: 'end'",
    ),
    "some paths of training images": (
        "train/1.png,fox\n" + rows("val/{n}.png,{name}\n", 2),
        "no label for 1 of the 8 images",
    ),
    "a field of 200,000 letters": ('{"imageData": "' + "A" * 200_000 + '", "x": 1}', "line 1 is no name of an image"),
}


@pytest.mark.image_data(
    "D", "a file with the labels of training images of the same names, or with endless fields", "refused in one line"
)
@pytest.mark.parametrize("case", REFUSED)
def test_other_files_are_refused(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, words = REFUSED[case]
    (flat(tmp_path / "in") / "val.csv").write_text(text)
    fails(["folder", tmp_path / "in", tmp_path / "out"], capsys, "val.csv", words)


@pytest.mark.image_data(
    "D", "images of equal names in several folders, and labels by path", "told apart by their folders"
)
@pytest.mark.parametrize("folder", ["{}", "part-{}"])
def test_equal_names_in_folders(folder: str, tmp_path: Path) -> None:
    root = nested(tmp_path, folder)
    lines = [f"{folder.format(name)}/{number}.png,{name}\n" for name in CLASSES for number in range(2)]
    (root / "val.csv").write_text("".join(lines))
    source = Folder(root, val_labels=root / "val.csv")
    assert len(source.labels("val")) == 8
    assert not wrong(source)
    (root / "val.csv").write_text("".join(f"other/{line.partition('/')[2]}" for line in lines))
    with pytest.raises(DataError, match="may be"):
        Folder(root, val_labels=root / "val.csv").labels("val")


@pytest.mark.image_data(
    "D",
    "class folders in val beside a list that numbers the classes in an order of its own",
    "the folders count, and a note says so; other numbers for the images of one class are refused",
)
def test_a_list_with_numbers_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = nested(tmp_path / "in")
    lines = [f"val/{name}/{n}.png {own}\n" for name, own in zip(CLASSES, OWN_NUMBERS, strict=True) for n in range(2)]
    (root / "val.txt").write_text("".join(lines))
    assert main(["folder", str(root), str(tmp_path / "out")]) == 0
    assert "its numbers are not the places of the sorted classes" in capsys.readouterr().err
    assert not wrong(Folder(root))
    (root / "val.txt").write_text("".join(["val/bird/0.png 1\n", *lines[1:]]))
    fails(["folder", root, tmp_path / "other"], capsys, "labels differ", "bird/0.png is bird by its folder")


@pytest.mark.image_data("K", "validation images in one folder that is no class, without labels", "told what they need")
def test_a_folder_that_is_no_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = flat(tmp_path / "in")
    (root / "val").rename(root / "images")
    (root / "val").mkdir()
    (root / "images").rename(root / "val" / "images")
    words = ("val: holds 8 images in the folder 'images', no class of training; name a file", "--val-labels")
    fails(["folder", root, tmp_path / "out"], capsys, *words)
