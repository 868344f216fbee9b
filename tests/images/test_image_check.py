"""`convert --check`: a converted set read back once, its figures, and what is wrong with it."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_helpers import Image, build, noise

from randwire.data import beton
from randwire.data.codec import Encoding
from randwire.data.convert import convert, main
from randwire.data.convert.output import SHEET
from randwire.data.sidecar import SIDECAR, Sidecar, parse
from randwire.data.sources import Mode, Source, Split


class Classes(Source):
    """Images in memory that pass for those of `folder`, with their labels."""

    def __init__(self, names: Sequence[str], content: Mapping[Split, Sequence[tuple[Image, int]]]) -> None:
        super().__init__()
        self.names, self.content = names, content

    def class_names(self) -> Sequence[str]:
        return self.names

    def labels(self, split: Split) -> Any:
        return np.array([label for _, label in self.content[split]])

    def image(self, split: Split, index: int) -> Image:
        return self.content[split][index][0]

    def left_out(self, split: Split) -> Mapping[str, Sequence[str]]:
        return {"HEIC files": ["cat/a.heic", "cat/b.heic"]} if split == "train" else {"text files": ["readme"]}


def of_folder(folder: Path, source: Source, mode: Mode = "raw", **encoding: Any) -> Path:
    convert(source, "folder", folder, encoding=Encoding(mode, **encoding))
    return folder


def checked(folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, Any, list[str]]:
    """The exit status of a check, what it says as JSON, and its lines on standard error that are no progress."""
    capsys.readouterr()
    status = main(["--check", str(folder), "--resolution", "8", "--json", *options])
    out, err = capsys.readouterr()
    return status, json.loads(out), [line for line in err.splitlines() if line.startswith(("error: ", "warning: "))]


def sidecar_of(folder: Path) -> Sidecar:
    return parse((folder / SIDECAR).read_bytes(), SIDECAR)


@pytest.mark.image_data(
    "L",
    "a set of known pictures: some twice, some of val also in train, some in two classes, of several sizes",
    "numbers of images by class and split, sizes, doubles, mean and std, what was left out, exactly; exit code 0",
)
def test_the_figures_are_those_of_the_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b, c, d = noise(4, 10, 12, seed=1)
    e = noise(1, 9, 30)[0]
    flat = e.reshape(30, 9, 3)  # the same bytes in another shape are another picture
    train = [(a, 0), (b, 0), (b, 0), (c, 1), (c, 0), (e, 1)]
    val = [(a, 0), (b, 1), (d, 1), (d, 1), (flat, 0)]
    folder = of_folder(tmp_path / "set", Classes(["cat", "dog"], {"train": train, "val": val}))
    status, found, lines = checked(folder, capsys)
    assert status == 0
    assert found["train"]["classes"] == {"cat": 4, "dog": 2}
    assert found["val"]["classes"] == {"cat": 2, "dog": 3}
    assert (found["train"]["images"], found["val"]["images"]) == (6, 5)
    assert found["train"]["width"] == {"smallest": 12, "median": 12, "largest": 30}
    assert found["val"]["height"] == {"smallest": 10, "median": 10, "largest": 30}
    assert found["train"]["bytes"] == sum(image.nbytes for image, _ in train)
    assert found["train"]["left_out"] == {"HEIC files": 2}
    assert found["doubles"] == {"train": 2, "val": 1, "val_in_train": 2, "in_several_classes": 2}
    pixels = np.concatenate([image.reshape(-1, 3) for image, _ in train]).astype(float)
    assert found["mean"] == pytest.approx(pixels.mean(0), abs=1e-5)
    assert found["std"] == pytest.approx(pixels.std(0), abs=1e-5)
    assert found["mean"] == list(sidecar_of(folder).mean)
    assert any("2 of 5 validation images are also training images" in line for line in lines)
    assert any("2 pictures are in more than one class" in line for line in lines)
    assert main(["--check", str(folder), "--resolution", "8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {"left out of train: 2 HEIC files", "left out of val: 1 text file"} <= set(lines)
    table = [line.split() for line in lines]
    assert ["cat", "4", "2"] in table
    assert ["dog", "2", "3"] in table


@pytest.mark.image_data(
    "L", "a set of 40 classes", "the five smallest and the five largest are listed, and the range; all in --json"
)
def test_many_classes_are_told_by_their_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = noise(1, 8, 8)[0]
    sizes = np.random.default_rng(0).permutation(40) + 1
    train = [(image, label) for label, size in enumerate(sizes) for _ in range(size)]
    names = ["n" * 100 if size == 3 else f"class{size}" for size in sizes]
    folder = of_folder(tmp_path / "set", Classes(names, {"train": train, "val": [(image, 7)]}))
    status, found, lines = checked(folder, capsys)
    assert (status, len(found["train"]["classes"])) == (0, 40)
    assert "n" * 100 in found["train"]["classes"]
    assert any("39 classes have no validation image, such as " in line for line in lines)
    assert main(["--check", str(folder), "--resolution", "8"]) == 0
    out = capsys.readouterr().out
    listed = [line.split()[1] for line in out.splitlines() if line.startswith(("smallest ", "largest "))]
    assert listed == ["n" * 59 + "…" if size == 3 else f"class{size}" for size in (1, 2, 3, 4, 5, 36, 37, 38, 39, 40)]
    assert "images of a class: 1 to 40 in train, 0 to 1 in val" in out


@pytest.mark.image_data(
    "L",
    "how a set was read, stored and split; a set of a source that this version does not know",
    "told as dataset.json has it; checked like any other",
)
def test_how_a_set_was_made_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = build(tmp_path / "set", noise(20), noise(5), "jpg").folder
    assert main(["--check", str(folder)]) == 0
    assert "\nread: " not in capsys.readouterr().out, "digits are no files"
    content = json.loads((folder / SIDECAR).read_bytes())
    content |= {"source": "ours", "options": {"val_share": 0.25, "val_seed": 3}}
    content["reading"] |= {"upright": False, "background": [0, 128, 255], "value_range": [0, 1]}
    (folder / SIDECAR).write_text(json.dumps(content))
    status, found, _ = checked(folder, capsys)
    assert (status, found["source"], found["options"]) == (0, "ours", {"val_share": 0.25, "val_seed": 3})
    assert found["encoding"] == {"mode": "jpg", "max_side": None, "quality": 90}
    assert found["reading"] == content["reading"]
    assert main(["--check", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "ours, 10 classes, stored as JPEG of quality 90" in out
    assert "not turned by their EXIF data, #0080ff under what is transparent, 0 to 1 as black to white" in out
    assert "options: --val-share 0.25, --val-seed 3" in out


@pytest.mark.parametrize("mode", ["raw", "jpg", "proportion"])
@pytest.mark.image_data(
    "L", "images of a set whose bytes have changed on the disk", "each is named with its class; exit code 1"
)
def test_every_changed_image_is_named(mode: Mode, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = build(tmp_path / "set", noise(70), noise(20), mode)
    path = dataset.file("train")
    with open(path, "rb") as file:
        offsets = beton.read_tables(file, 70).images["offset"].astype(int)
    content = bytearray(path.read_bytes())
    changed = (0, 33, 34, 69)
    for number in changed:
        content[offsets[number] + 100] ^= 16
    path.write_bytes(content)
    status, found, lines = checked(dataset.folder, capsys)
    assert status == 1
    for number, line in zip(changed, found["problems"], strict=False):
        assert line == f"{path}: image {number} ({number % 10}): its bytes are not those that were written"
    assert found["problems"][4:] == [f"{path}: its SHA-256 is not that of {SIDECAR}"]
    assert [line for line in lines if line.startswith("error: ")] == [f"error: {one}" for one in found["problems"]]
    assert (dataset.folder / SHEET).is_file(), "of the others"


def test_a_set_without_a_good_image_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = stored_as(tmp_path, b"no JPEG at all, and the only image")
    status, found, lines = checked(folder, capsys)
    assert (status, found["mean"], found["std"]) == (1, None, None)
    assert len(lines) == 1
    assert main(["--check", str(folder)]) == 1
    assert "mean in 0 to 255: - as read back" in capsys.readouterr().out


def stored_as(tmp_path: Path, payload: bytes) -> Path:
    """A set one of whose images is `payload` as JPEG, with the right checksum and the right SHA-256."""
    import hashlib

    folder = build(tmp_path / "set", noise(12), noise(3), "jpg").folder
    path = folder / "train.beton"
    images = [beton.StoredImage(payload, True, 16, 16, 3, beton.checksum(payload), "")]
    with open(path, "wb") as file:
        tables = beton.write(file, images, 1)
    content = json.loads((folder / SIDECAR).read_bytes())
    content["sizes"]["train"] = 1
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    content["files"]["train.beton"] = {"bytes": path.stat().st_size, "sha256": sha256, "tables_sha256": tables}
    (folder / SIDECAR).write_text(json.dumps(content))
    return folder


@pytest.mark.image_data(
    "L", "an image whose JPEG cannot be decoded, though its checksum is right", "named with its class; exit code 1"
)
def test_an_image_that_cannot_be_decoded_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, found, _ = checked(stored_as(tmp_path, b"no JPEG, but eight bytes and more"), capsys)
    assert status == 1
    assert found["problems"] == [f"{tmp_path}/set/train.beton: image 0 (3): its JPEG cannot be decoded"]


def _pad(folder: Path) -> str:
    path = folder / "val.beton"
    content = bytearray(path.read_bytes())
    content[beton.PAGE_BYTES - 1] ^= 1  # between the tables and the first image
    path.write_bytes(content)
    return "val.beton: its SHA-256 is not that of dataset.json"


def _shift(folder: Path) -> str:
    content = json.loads((folder / SIDECAR).read_bytes())
    content["mean"][1] += 0.01
    (folder / SIDECAR).write_text(json.dumps(content))
    return "the mean of the green channel is"


def _shift_far(folder: Path) -> str:
    content = json.loads((folder / SIDECAR).read_bytes())
    content["mean"][1] += 8  # more than JPEG explains
    (folder / SIDECAR).write_text(json.dumps(content))
    return "the mean of the green channel is"


def _spread(folder: Path) -> str:
    content = json.loads((folder / SIDECAR).read_bytes())
    content["std"][2] = 0  # read as 1
    (folder / SIDECAR).write_text(json.dumps(content))
    return "the standard deviation of the blue channel is"


@pytest.mark.image_data(
    "L",
    "a byte between the images has changed; a mean or a standard deviation in dataset.json is another",
    "told, where it is more than compression explains; exit code 1",
)
@pytest.mark.parametrize("change", [_pad, _shift, _spread])
@pytest.mark.parametrize("mode", ["raw", "jpg"])
def test_what_no_image_tells_is_found(
    mode: Mode, change: Callable[[Path], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if (mode, change) == ("jpg", _shift):
        change = _shift_far
    folder = build(tmp_path / "set", noise(20), noise(5), mode).folder
    assert checked(folder, capsys)[0] == 0
    expected = change(folder)
    status, found, _ = checked(folder, capsys)
    assert status == 1
    (problem,) = found["problems"]
    assert expected in problem


@pytest.mark.image_data(
    "L", "a channel with one value everywhere, and classes without an image of a split", "warned of; exit code 0"
)
@pytest.mark.parametrize("mode", ["raw", "jpg"])
def test_what_a_training_should_know_is_a_warning(
    mode: Mode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [np.full((16, 16, 3), 128, np.uint8) for _ in range(6)]
    if mode == "raw":
        for number, image in enumerate(images):
            image[..., 1:] = number
    train, val = ([(image, label) for image in images[first:]] for first, label in ((1, 0), (0, 2)))
    folder = of_folder(tmp_path / "set", Classes(["cat", "dog", "owl"], {"train": train, "val": val}), mode)
    status, _, lines = checked(folder, capsys)
    assert status == 0
    assert "warning: 2 classes have no training image, such as 'dog'" in lines
    assert "warning: 2 classes have no validation image, such as 'cat'" in lines
    constant = [line for line in lines if "has the one value" in line]
    assert [line.split(" channel")[0] for line in constant] == [
        f"warning: the {name}" for name in ("red", "green", "blue")[: 1 if mode == "raw" else 3]
    ]
