"""One bad image is one line with its name, whatever is wrong with it, and leaves the others alone."""

import errno
import io
import json
import os
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import tifffile
from data_helpers import InMemory, fails, noise, plain
from numpy.typing import NDArray
from PIL import Image

from randwire.data import beton, codec
from randwire.data.codec import Encoding
from randwire.data.convert import convert, main
from randwire.data.convert.image import ConvertedImage, UnusableImage, convert_image
from randwire.data.images import evaluated
from randwire.data.reading import Reading
from randwire.data.sources import Mode, Source, Split
from randwire.errors import DataError

UPRIGHT: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: image[::-1, ::-1].swapaxes(0, 1),
    8: lambda image: np.rot90(image),
}
"""What each orientation of EXIF asks for."""
ODD_TAGS = {
    "struct.error": (256, 2, b"ab\0\0"),
    "AttributeError": (270, 11, struct.pack("<f", 1)),
    "TypeError": (282, 7, b"\1\2\3\4"),
    "ValueError": (34665, 6, b"\xff\0\0\0"),
}
"""Tag, type and value of EXIF entries, by what the writing of them again raises."""


WORDS = {
    PermissionError: "Permission denied",
    OSError: ": ",
    MemoryError: "more memory than there is",
    RuntimeError: "x y",
    struct.error: "too short",
    TimeoutError: "TimeoutError",
}
"""What the line says of an error."""


def exif(orientation: int, *entries: tuple[int, int, bytes]) -> bytes:
    """EXIF data with an orientation and other entries of one value of at most four bytes."""
    every = sorted([(274, 3, struct.pack("<I", orientation)), *entries])
    rows = b"".join(struct.pack("<HHI4s", tag, kind, 1, value) for tag, kind, value in every)
    return b"Exif\0\0" + struct.pack("<2sHIH", b"II", 42, 8, len(every)) + rows + bytes(4)


def saved(image: NDArray[np.uint8], format: str, **options: Any) -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, format, **options)
    return content.getvalue()


def written(folder: Path, **files: bytes) -> Path:
    """A set of one good image in each split, and the files in train/a."""
    for path in (folder / "train" / "a", folder / "train" / "b", folder / "val" / "a"):
        path.mkdir(parents=True)
        (path / "good.png").write_bytes(saved(noise(1)[0], "PNG"))
    for name, content in files.items():
        (folder / "train" / "a" / f"{name}.png").write_bytes(content)
    return folder


def skipped(folder: Path, output: Path, *options: str) -> list[str]:
    """The names of the training images that are skipped; they are counted in dataset.json."""
    assert main(["folder", str(folder), str(output), "--corrupt", "skip", *options]) == 0
    names: list[str] = json.loads((output / "dataset.json").read_text())["skipped"]["train"]
    return [Path(name).name for name in names]


def converted(source: Source, encoding: Encoding | None = None) -> ConvertedImage | UnusableImage:
    return convert_image(source, "train", 0, encoding or Encoding("raw"), Reading())


@pytest.mark.image_data("C", "TIFF with a tag of an unexpected type", "read, and turned as it says")
def test_odd_tags_of_tiff_are_no_obstacle() -> None:
    image = np.zeros((8, 16, 3), np.uint8)
    image[:, :8] = 255
    for tag, kind, value in ((700, 3, 7), (34665, 6, -1), (34853, 9, -5)):
        content = io.BytesIO()
        tags = [(65000, kind, 1, value, False), (274, 3, 1, 6, False)]
        tifffile.imwrite(content, image, photometric="rgb", extratags=tags, metadata=None)
        odd = content.getvalue().replace(struct.pack("<HH", 65000, kind), struct.pack("<HH", tag, kind))
        assert np.array_equal(codec.pixels(odd, "x"), np.rot90(image, -1))


@pytest.mark.image_data("C", "EXIF with a tag of an unexpected type: JPEG, PNG, WebP", "read, and turned as it says")
@pytest.mark.parametrize("error", ODD_TAGS)
def test_odd_exif_is_no_obstacle(error: str, tmp_path: Path) -> None:
    image = np.zeros((8, 16, 3), np.uint8)
    image[:, :8] = 255
    for format in ("JPEG", "PNG", "WEBP"):
        (tmp_path / "x").write_bytes(saved(image, format, exif=exif(6, ODD_TAGS[error])))
        pixels = codec.pixels((tmp_path / "x").read_bytes(), "x")
        assert pixels.shape == (16, 8, 3)
        predicted = evaluated(tmp_path / "x", plain(resolution=8), Reading(), Encoding("raw"))
        assert all(seen[:3].min() > 200 and seen[-3:].max() < 50 for seen in (pixels, predicted))


def test_orientations_of_every_format() -> None:
    image = np.kron(np.random.default_rng(0).integers(0, 2, (3, 4, 1)) * 255, np.ones((8, 8, 3))).astype(np.uint8)
    lossless: dict[str, dict[str, Any]] = {
        "WEBP": {"lossless": True},
        "JPEG": {"quality": 100},
        "AVIF": {"quality": 100},
    }
    for orientation, upright in UPRIGHT.items():
        for format in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF"):
            content = saved(image, format, exif=exif(orientation), **lossless.get(format, {}))
            assert np.abs(codec.pixels(content, "x").astype(int) - upright(image)).max() < 100, (format, orientation)
            if format != "TIFF":
                as_stored = codec.pixels(content, "x", Reading(upright=False))
                assert np.abs(as_stored.astype(int) - image).max() < 100


@pytest.mark.image_data("C", "a broken link among the images", "a line with its name; `--corrupt skip` leaves it out")
def test_broken_links(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = written(tmp_path / "in")
    (folder / "train" / "a" / "link.png").symlink_to(tmp_path / "nowhere.png")
    fails(["folder", folder, tmp_path / "out"], capsys, "link.png: cannot be read", "--corrupt skip")
    assert skipped(folder, tmp_path / "out") == ["link.png"]


@pytest.mark.image_data("C", "a file that may not be read, and a disk that fails", "as above")
@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "Permission denied"), OSError(5, "I/O error"),
                                   TimeoutError(), MemoryError(), RuntimeError("x\ny"), struct.error("too short")],
                         ids=repr)  # fmt: skip
def test_whatever_reading_raises_is_of_one_image(
    error: Exception, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, real = written(tmp_path / "in", bad=saved(noise(1)[0], "PNG")), os.open

    def opened(path: Any, *arguments: Any, **options: Any) -> int:
        if str(path).endswith("bad.png"):
            raise error
        return real(path, *arguments, **options)

    with mock.patch("os.open", opened):
        fails(["folder", folder, tmp_path / "out"], capsys, "bad.png: ", WORDS[type(error)])
        assert skipped(folder, tmp_path / "out") == ["bad.png"]
    source = InMemory({"train": noise(1), "val": noise(1)})
    with mock.patch.object(source, "image", side_effect=error):
        unusable = converted(source)
    assert isinstance(unusable, UnusableImage)
    assert unusable.reason.startswith("train image 0: ")
    assert "\n" not in unusable.reason
    assert "None" not in unusable.reason


@pytest.mark.image_data("C", "`--mode raw --max-side 1000`", "refused before anything is read: at most 836")
def test_sides_that_cannot_be_stored_are_refused_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["folder", tmp_path / "nowhere", tmp_path / "out", "--max-side"]
    for mode in (["raw"], ["proportion"]):
        fails([*arguments, 1000, "--mode", *mode], capsys, "--max-side", "3,000,000 bytes", "at most 836", "--mode jpg")
    assert 3 * 836**2 <= beton.PAGE_BYTES < 3 * 837**2
    for options in ([836, "--mode", "raw"], [1000, "--mode", "proportion", "--compress-probability", 1]):
        fails([*arguments, *options], capsys, "nowhere")


@pytest.mark.image_data(
    "C", "an image that takes more than a page", "a line with its name, `--corrupt skip` leaves it out"
)
def test_the_page_size_is_judged_at_the_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = written(tmp_path / "in", large=saved(noise(1, 1200, 1200)[0], "PNG", compress_level=0))
    options = "--max-side", "1200", "--quality", "100"
    fails(
        ["folder", folder, tmp_path / "out", *options],
        capsys,
        "large.png: 1200x1200 pixels take",
        "2097152",
    )
    assert skipped(folder, tmp_path / "out", *options) == ["large.png"]
    source = InMemory({"train": [*noise(1), np.zeros((900, 900, 3), np.uint8)], "val": noise(1)})
    sidecar = convert(source, "digits", tmp_path / "raw", encoding=Encoding("raw"), corrupt="skip")
    assert sidecar.skipped["train"] == ("train image 1",)


@pytest.mark.image_data("C", "an image of 70000x4 pixels", "reduced like others, then judged")
def test_long_images_are_reduced_before_they_are_judged() -> None:
    content = saved(np.zeros((4, 70000, 3), np.uint8), "PNG")
    source = InMemory({"train": [content], "val": noise(1)})
    modes: tuple[Mode, ...] = ("raw", "jpg")
    for mode in modes:
        image = converted(source, Encoding(mode, 400))
        assert isinstance(image, ConvertedImage)
        assert (image.stored.width, image.stored.height) == (400, 1)
        unusable = converted(source, Encoding(mode))
        assert isinstance(unusable, UnusableImage)
        assert unusable.reason.startswith("train image 0: cannot be used: 70000x4 pixels are too large to be stored")
        assert "--max-side" in unusable.reason


@pytest.mark.image_data("C", "an image of more pixels than Pillow's own limit", "read; Pillow's limit stays for others")
def test_the_limit_is_that_of_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    image = noise(1)[0]
    content = saved(image, "PNG")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(codec.pixels(content, "x"), image)
        assert Image.MAX_IMAGE_PIXELS == 50
        with pytest.raises(DataError):
            codec.pixels(content[:-30], "x")
    assert Image.MAX_IMAGE_PIXELS == 50


@pytest.mark.image_data("C", "an image of more than `--max-megapixels`", "refused from its header, its size is told")
def test_larger_images_are_refused_by_their_header(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header = bytearray(saved(noise(1)[0], "PNG")[:45])
    header[16:24] = struct.pack(">II", 60000, 50000)
    header[29:33] = struct.pack(">I", zlib.crc32(header[12:29]))
    folder = written(tmp_path / "in", huge=bytes(header) + b"\0\0\0\0IDAT" + bytes(8))
    words = "huge.png: 3,000,000,000 pixels are more than 300 megapixels", "--max-megapixels"
    fails(["folder", folder, tmp_path / "out"], capsys, *words)
    assert skipped(folder, tmp_path / "out") == ["huge.png"]
    with pytest.raises(DataError, match="x: 16x16 pixels are more than 0"):
        codec.pixels(saved(noise(1)[0], "PNG"), "x", Reading(max_pixels=255))


@pytest.mark.image_data("C", "a JPEG of more than 178,956,970 pixels", "decoded at a half of its sides, to save memory")
def test_the_largest_jpegs_are_decoded_reduced(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.kron(np.arange(48).reshape(6, 8, 1) * [[[5, 4, 3]]], np.ones((16, 16, 1))).astype(np.uint8)
    content = saved(image, "JPEG", quality=100)
    for limit, scale in ((image.size, 1), (4000, 2), (1000, 4), (300, 8), (10, 8)):
        monkeypatch.setattr(codec, "DRAFT_PIXELS", limit)
        pixels = codec.pixels(content, "x")
        assert pixels.shape == (96 // scale, 128 // scale, 3)
        mean = image.reshape(96 // scale, scale, 128 // scale, scale, 3).mean((1, 3))
        assert np.abs(pixels - mean).max() < 8


@pytest.mark.image_data("C", "an error of the system that has no text", "its type, not `cannot be written: None`")
def test_errors_without_text(tmp_path: Path) -> None:
    with (
        mock.patch("randwire.data.beton.write", side_effect=TimeoutError()),
        pytest.raises(DataError, match="cannot be written: TimeoutError"),
    ):
        convert(InMemory({"train": noise(10), "val": noise(10)}), "digits", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_names_are_said_once() -> None:
    split: Split = "train"
    for content in (b"", b"GIF89a", saved(noise(1)[0], "PNG")[:60]):
        unusable = convert_image(InMemory({"train": [content], "val": []}), split, 0, Encoding("raw"), Reading())
        assert isinstance(unusable, UnusableImage)
        assert unusable.reason.count("train image 0") == 1


@pytest.mark.image_data("C", "a file that is no image, or one of a form that Pillow does not know", "told what it is")
def test_what_it_is_that_cannot_be_read() -> None:
    floats = io.BytesIO()
    tifffile.imwrite(floats, np.zeros((4, 5, 3), np.float32), photometric="rgb")
    doubles = io.BytesIO()
    tifffile.imwrite(doubles, np.zeros((4, 5)), bigtiff=True)
    for content, words in (
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "HTML"),
        (saved(noise(1)[0], "PNG")[:20], "a PNG image (20 bytes)"),
        (floats.getvalue(), "a pixel of 3 floats of 32 bits)"),
        (doubles.getvalue(), "a pixel of 1 floats of 64 bits)"),
    ):
        with pytest.raises(DataError, match="some file: is not an image that can be read: ") as error:
            codec.pixels(content, "some file")
        assert words in str(error.value)


@pytest.mark.image_data(
    "C", "a GIF or icon of 44 bytes that holds 4 gigapixels", "refused before memory is taken for it"
)
def test_large_parts_of_small_files_are_refused() -> None:
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\2\2D\1\0;"
    control = b"\x21\xf9\4\x08\0\0\0\0"  # to be disposed to the background
    gif = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6) + control + frame
    dib = struct.pack("<IiiHHIIiiII", 40, 65535, 65535, 1, 1, 0, 0, 0, 0, 0, 0) + bytes(100)
    icon = struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 2, 0, 1, 1, len(dib), 22) + dib
    for content in (gif, icon):
        with pytest.raises(DataError, match=r"x: 4,294,\d{3},\d{3} pixels are more than 0\.01 megapixels"):
            codec.pixels(content, "x", Reading(max_pixels=10_000))
