"""The contact sheet: the pixels are those that a network sees, each class stands where its name is, in any script."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_helpers import Image, build, epoch, noise, plain
from matplotlib.ft2font import FT2Font
from PIL import Image as Pictures
from test_image_check import Classes, of_folder

from randwire.config import DataConfig
from randwire.data import Batching, Loader, beton, prepare
from randwire.data.convert import contact_sheet as sheets
from randwire.data.convert import lettering, main
from randwire.data.convert.contact_sheet import BETWEEN_CLASSES, BETWEEN_SPLITS, GAP, LINE, MARGIN, Layout, layout
from randwire.data.convert.lettering import Lettering
from randwire.data.convert.output import SHEET

COLOURS = np.random.default_rng(7).integers(20, 236, (2000, 3), dtype=np.uint8)


def coloured(classes: int) -> Classes:
    """Two training images of each class, in its colour, and one for validation, which is its inverse."""
    train = [(np.full((8, 8, 3), COLOURS[label], np.uint8), label) for label in range(classes) for _ in range(2)]
    val = [(np.full((8, 8, 3), 255 - COLOURS[label], np.uint8), label) for label in range(classes)]
    return Classes([f"name {label}" for label in range(classes)], {"train": train, "val": val})


def opened(folder: Path) -> Image:
    with Pictures.open(folder / SHEET) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def strips(sheet: Image, form: Layout, classes: int) -> list[Image]:
    """The rows of crops of the classes, from the bottom and the left of the sheet."""
    rows = -(-classes // form.columns)
    top = len(sheet) - MARGIN - rows * form.height
    found = []
    for number in range(classes):
        column, row = divmod(number, rows)
        left, y = MARGIN + column * (form.width + BETWEEN_CLASSES), top + row * form.height + LINE
        found.append(sheet[y : y + form.side, left : left + form.width])
    return found


@pytest.mark.image_data(
    "L",
    "sets of 2, 10, 100, 1,000 and more classes",
    "a contact sheet with training crops left and validation crops right of each; of more than 1,000, evenly spread",
)
@pytest.mark.parametrize("classes", [1, 2, 10, 100, 1000, 1500])
def test_every_class_stands_in_its_place(classes: int, tmp_path: Path) -> None:
    folder = of_folder(tmp_path / "set", coloured(classes))
    assert main(["--check", str(folder), "--resolution", "16"]) == 0
    shown = np.linspace(0, classes - 1, min(1000, classes)).astype(int)
    form, sheet = layout(len(shown), 16), opened(folder)
    assert max(sheet.shape) < 4500
    assert classes < 10 or 0.5 < sheet.shape[0] / sheet.shape[1] < 2
    for label, strip in zip(shown, strips(sheet, form, len(shown)), strict=True):
        train = strip[:, : form.crops["train"] * (form.side + GAP)]
        val = strip[:, train.shape[1] + BETWEEN_SPLITS :]
        for part, colour, count in ((train, COLOURS[label], 2), (val, 255 - COLOURS[label], 1)):
            own = (part == colour).all(2)
            assert own[:, : form.side].all()
            assert own.sum() == min(count, 2) * form.side**2


@pytest.mark.image_data(
    "L", "the crops of a contact sheet", "are the pixels that the loader gives in a first epoch and in evaluation"
)
def test_crops_are_those_of_the_loader(tmp_path: Path) -> None:
    dataset = build(tmp_path / "set", noise(30, 40, 50), noise(20, 30, 44), "jpg")
    config = DataConfig(source="digits", path=str(dataset.folder), resolution=24, eval_crop=0.8)
    for split, count in (("train", 30), ("val", 20)):
        loader = Loader(prepare(config), split, config, Batching(count))  # type: ignore[arg-type]
        ((images, labels),) = epoch(loader)
        with open(dataset.file(split), "rb") as file:
            tables = beton.read_tables(file, count)
        crops = sheets.Crops(dataset.file(split), tables, split, config)(np.arange(count))  # type: ignore[arg-type]
        expected = sorted(zip(labels, (image.tobytes() for image in images.transpose(0, 2, 3, 1)), strict=True))
        assert sorted(zip(tables.labels, (image.tobytes() for image in crops), strict=True)) == expected
        loader.close()


@pytest.mark.image_data(
    "L",
    "--check with --resolution and --crop, and of a source with a preset",
    "crops so on the sheet; else as a training on the source does by default",
)
def test_crops_are_as_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = build(tmp_path / "set", noise(20), noise(10)).folder
    seen: list[DataConfig] = []

    def crops(_: Path, __: beton.Tables, ___: str, config: DataConfig) -> Callable[[np.ndarray], Image]:
        seen.append(config)
        return lambda ids: np.full((len(ids), 9, 9, 3), 99, np.uint8)

    monkeypatch.setattr(sheets, "Crops", crops)
    for options in ([], ["--resolution", "9"], ["--crop", "0.5"]):
        assert main(["--check", str(folder), *options]) == 0
    digits = plain(folder).model_copy(update={"crop_area": (0.75, 1.0), "crop_aspect": (0.9, 1.1), "resolution": 32})
    changes: list[dict[str, object]] = [{}, {"resolution": 9}, {"eval_crop": 0.5}]
    for config, change in zip(seen[::2], changes, strict=True):
        expected = digits.model_copy(update=change)
        for key in ("resolution", "eval_crop", "crop_area", "crop_aspect", "flip"):
            assert getattr(config, key) == getattr(expected, key)


def _letters(path: Path) -> set[int]:
    return set(FT2Font(str(path)).get_charmap())


@pytest.mark.image_data(
    "L",
    "class names in Greek, Cyrillic, Arabic and Chinese, with a line break, or too long",
    "drawn by a font that has the letters; escaped where the machine has none; one line, which fits",
)
def test_names_are_drawn_in_any_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering, "_fonts_of_machine", lambda: [])
    names = ["Γάτα", "кошка", "قطة", "猫", "a\nb", "n" * 500, "é"]
    drawn = Lettering(names, 12)
    texts = [drawn.fitted(name, 200)[0] for name in names]
    assert texts[:3] == names[:3]
    assert texts[3:5] == ["\\u732b", "a\\nb"]
    assert texts[5].startswith("nnnn")
    assert texts[5].endswith("…")
    assert all(drawn.fitted(name, 200)[1].getlength(text) <= 200 for name, text in zip(names, texts, strict=True))


def test_letters_that_the_base_font_lacks_are_sought_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    stix = lettering.BASE.with_name("STIXGeneral.ttf")
    letter = chr(next(code for code in sorted(_letters(stix) - _letters(lettering.BASE)) if chr(code).isprintable()))
    no_font = Path(__file__)
    monkeypatch.setattr(lettering, "_fonts_of_machine", lambda: [no_font, stix])
    drawn = Lettering(["cat", letter], 12)
    text, font = drawn.fitted(letter, 99)
    assert text == letter
    assert font.getname()[0] == "STIXGeneral"
    assert drawn.fitted("cat", 99)[1].getname()[0] == "DejaVu Sans"


@pytest.mark.image_data("L", "a damaged image, and a class without images in a split", "left out of the sheet; a frame")
def test_what_is_not_there_is_a_frame(tmp_path: Path) -> None:
    train = [(np.full((8, 8, 3), 40 * number, np.uint8), 0) for number in range(1, 6)]
    folder = of_folder(tmp_path / "set", Classes(["cat", "dog"], {"train": train, "val": train[:1]}))
    path = folder / "train.beton"
    with open(path, "rb") as file:
        offset = int(beton.read_tables(file, 5).images["offset"][2])
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)
    assert main(["--check", str(folder), "--resolution", "16"]) == 1
    form: Any = layout(2, 16)
    cat, dog = strips(opened(folder), form, 2)
    middles = [int(cat[form.side // 2, number * (form.side + GAP) + form.side // 2, 0]) for number in range(6)]
    assert middles == [40, 80, 160, 200, 255, 255]
    assert (dog[form.side // 2, form.side // 2] == 255).all()
    assert (dog[0, : form.side] == (0xD0, 0xD7, 0xDE)).all()
