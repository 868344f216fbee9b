"""Transparency: what lies under it, against arithmetic that is written out here."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_helpers import fails
from image_files import BACKGROUND, over, png, read, refused, saved, three, tiff, transparent
from PIL import Image

from randwire.data import beton
from randwire.data.convert import main


@pytest.mark.image_data("A", "alpha: PNG, WebP, TIFF, TGA, JPEG 2000 and others", "laid over the background, rounded")
def test_alpha_is_laid_over_the_background() -> None:
    pixels = transparent()
    image, gray = Image.fromarray(pixels), Image.fromarray(np.ascontiguousarray(pixels[..., [0, 3]]), "LA")
    for background in ((255, 255, 255), BACKGROUND):
        for format in ("PNG", "TIFF", "TGA", "ICO", "QOI", "SGI", "DDS"):
            assert np.array_equal(read(saved(image, format, **({"sizes": [(16, 16)]} if format == "ICO" else {})),
                                       background=background), over(pixels, background)), format  # fmt: skip
        content = saved(image, "WEBP", lossless=True, exact=True)
        assert np.array_equal(read(content, background=background), over(pixels, background))
        content = saved(image, "JPEG2000", irreversible=False)
        assert np.array_equal(read(content, background=background), over(pixels, background))
        for format in ("PNG", "TIFF", "TGA"):
            content = saved(gray, format)
            assert np.array_equal(read(content, background=background), over(pixels[..., [0, 0, 0, 3]], background))


@pytest.mark.image_data("A", "a black drawing on transparency", "black on white, not all zeros")
def test_a_drawing_on_transparency_is_seen() -> None:
    drawing = np.zeros((8, 8, 4), np.uint8)
    drawing[2:5, 3:6, 3] = 255
    seen = read(saved(Image.fromarray(drawing), "PNG"))
    assert np.array_equal(seen, three(np.where(drawing[..., 3], 0, 255)))


@pytest.mark.image_data("A", "premultiplied alpha: TIFF", "laid over the background without multiplying again")
def test_premultiplied_alpha() -> None:
    alpha = np.arange(256, dtype=np.uint8).reshape(16, 16)
    gray = (alpha // 2).astype(np.uint8)
    content = tiff(np.stack([gray, alpha], 2), photometric="minisblack", extrasamples=["assocalpha"])
    expected = np.floor(gray + 40.0 * (1 - alpha / 255.0) + 0.5)
    assert np.array_equal(read(content, background=(40, 40, 40)), three(expected))
    pixels = transparent()
    colours = (pixels[..., :3] * (pixels[..., 3:] / 255.0)).astype(np.uint8)
    expected = np.floor(colours + np.array(BACKGROUND) * (1 - pixels[..., 3:] / 255.0) + 0.5)
    multiplied = np.dstack([colours, pixels[..., 3]])
    forms: list[dict[str, Any]] = [
        {},
        {"compression": "zlib"},
        {"data": np.moveaxis(multiplied, 2, 0), "planarconfig": "separate"},
        {"data": multiplied.astype(np.uint16) * 257, "byteorder": ">"},
    ]
    for form in forms:
        values = form.pop("data", multiplied)
        content = tiff(values, photometric="rgb", extrasamples=["assocalpha"], **form)
        assert np.array_equal(read(content, background=BACKGROUND), expected)
    planes = np.moveaxis(multiplied[..., [0, 3]], 2, 0)
    options = {"photometric": "minisblack", "planarconfig": "separate", "extrasamples": ["unassalpha"]}
    for compression in (None, "zlib"):
        refused(tiff(planes, compression=compression, **options), "in planes")


@pytest.mark.image_data("A", "one transparent value or colour in a PNG, of 1 to 16 bits", "the background there only")
def test_transparent_values() -> None:
    for bits, values, rows in (
        (1, [[0, 1, 0, 1, 1, 0, 0, 1]], b"\0\x59"),
        (2, [[0, 1, 2, 3]], b"\0\x1b"),
        (4, [[0, 5, 9, 15]], b"\0\x05\x9f"),
        (8, [[0, 5, 85, 255]], b"\0\0\x05\x55\xff"),
        (16, [[0x0500, 0x0505, 0x0506, 0xFFFF]], b"\0\x05\0\x05\x05\x05\x06\xff\xff"),
    ):
        for key in set(values[0]):
            content = png(len(values[0]), 1, bits, 0, rows, (b"tRNS", struct.pack(">H", key)))
            gray = np.array(values) * 255 // (2**bits - 1) if bits < 16 else np.array(values) // 256
            expected = three(gray)
            expected[np.array(values) == key] = BACKGROUND
            assert np.array_equal(read(content, background=BACKGROUND), expected), (bits, key)
    for bits, form in ((8, "u1"), (16, ">u2")):
        colours = np.array([[[5, 5, 5], [5, 5, 6], [200, 0, 9], [5, 5, 5]]]).astype(form)
        content = png(4, 1, bits, 2, b"\0" + colours.tobytes(), (b"tRNS", struct.pack(">HHH", 5, 5, 5)))
        expected = (colours // (1 if bits == 8 else 256)).astype(np.uint8)
        expected[0, [0, 3]] = BACKGROUND
        assert np.array_equal(read(content, background=BACKGROUND), expected)


@pytest.mark.image_data("A", "palettes: opaque, with a transparent entry (GIF, PNG), with alpha (PNG, TGA)", "as seen")
def test_palettes() -> None:
    indices = np.arange(64, dtype=np.uint8).reshape(8, 8) % 4
    palette = np.array([[255, 0, 0], [0, 255, 0], [20, 30, 40], [255, 255, 255]], np.uint8)
    image = Image.frombytes("P", (8, 8), indices.tobytes())
    image.putpalette(palette.tobytes())
    for format in ("PNG", "GIF", "BMP", "TIFF", "TGA", "PCX"):
        assert np.array_equal(read(saved(image, format), background=BACKGROUND), palette[indices])
    expected = palette[indices]
    expected[indices == 2] = BACKGROUND
    for format in ("PNG", "GIF"):
        assert np.array_equal(read(saved(image, format, transparency=2), background=BACKGROUND), expected)
    alpha = np.array([0, 128, 7, 255], np.uint8)
    content = saved(image, "PNG", transparency=alpha.tobytes())
    expected = over(np.dstack([palette[indices], alpha[indices]]), BACKGROUND)
    assert np.array_equal(read(content, background=BACKGROUND), expected)


@pytest.mark.image_data("A", "BMP, DDS or TGA whose fourth channel is empty or said to mean nothing", "opaque")
def test_empty_alpha_of_bmp_and_tga() -> None:
    pixels = transparent()
    expected = pixels[..., :3].copy()
    tga = bytearray(saved(Image.fromarray(pixels), "TGA"))
    assert tga[17] & 15 == 8
    tga[17] &= 0xF0
    assert np.array_equal(read(bytes(tga)), expected)
    short = b"\0\0\2" + bytes(9) + struct.pack("<HHBB", 2, 1, 16, 0x21) + struct.pack("<HH", 0x7C00, 0x801F)
    assert read(short).tolist() == [[[255, 0, 0], [0, 0, 255]]]
    pixels[..., 3] = 0
    for format in ("TGA", "BMP", "DDS"):
        assert np.array_equal(read(saved(Image.fromarray(pixels), format)), expected)
    assert (read(saved(Image.fromarray(pixels), "PNG")) == 255).all()


def test_the_fourth_channel_of_photoshop() -> None:
    planes = np.moveaxis(transparent(), 2, 0)
    header = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 4, 16, 16, 8, 3) + bytes(12) + bytes(2)
    assert np.array_equal(read(header + planes.tobytes(), background=BACKGROUND), transparent()[..., :3])


@pytest.mark.image_data("A", "`convert --background 0ac84d --value-range 0:2`", "done, and recorded in dataset.json")
def test_the_choices_are_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pixels, floats = transparent(), np.linspace(0, 2, 256).astype(np.float32).reshape(16, 16)
    for split in ("train", "val"):
        for name, content in (("a/a.png", saved(Image.fromarray(pixels), "PNG")), ("b/b.tif", tiff(floats))):
            path = tmp_path / "in" / split / name
            path.parent.mkdir(parents=True)
            path.write_bytes(content)
    arguments = ["folder", tmp_path / "in", tmp_path / "out", "--mode", "raw"]
    fails(arguments, capsys, "b.tif: holds 32-bit floats: --value-range")
    chosen = ["--background", "0ac84d", "--value-range", "0:2"]
    assert main([*map(str, arguments), *chosen]) == 0
    reading = json.loads((tmp_path / "out" / "dataset.json").read_text())["reading"]
    assert (reading["background"], reading["value_range"]) == ([10, 200, 77], [0, 2])
    content = (tmp_path / "out" / "val.beton").read_bytes()
    images = np.frombuffer(content, beton.SAMPLE, 2, beton.START)
    for row in images:
        start = int(row["image"]["offset"])
        stored = np.frombuffer(content, np.uint8, 768, start).reshape(16, 16, 3)
        expected = over(pixels, BACKGROUND) if row["label"] == 0 else three(np.rint(floats / 2 * 255))
        assert np.array_equal(stored, expected)


@pytest.mark.image_data("A", "JPEG 2000 with a fourth channel that is no opacity, such as infrared", "not looked at")
def test_the_fourth_channel_of_jpeg_2000() -> None:
    pixels = transparent()
    pixels[..., :3] = np.minimum(pixels[..., :3], pixels[..., 3:])  # as it is in colours that are multiplied by alpha
    content = saved(Image.fromarray(pixels), "JPEG2000", irreversible=False)
    opacity = struct.pack(">HHH", 3, 1, 0)
    assert content.count(opacity) == 1
    assert np.array_equal(read(content, background=BACKGROUND), over(pixels, BACKGROUND))
    unspecified = content.replace(opacity, struct.pack(">HHH", 3, 65535, 65535))
    assert np.array_equal(read(unspecified, background=BACKGROUND), pixels[..., :3])
    without = content.replace(b"cdef", b"free")
    assert np.array_equal(read(without, background=BACKGROUND), over(pixels, BACKGROUND))
    multiplied = content.replace(opacity, struct.pack(">HHH", 3, 2, 0))
    expected = np.minimum(np.floor(pixels[..., :3] + np.array(BACKGROUND) * (1 - pixels[..., 3:] / 255.0) + 0.5), 255)
    assert np.array_equal(read(multiplied, background=BACKGROUND), expected)
