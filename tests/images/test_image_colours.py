"""Colours: what each kind of image becomes, against arithmetic that is written out here."""

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from data_helpers import fails
from numpy.typing import NDArray
from PIL import Image

from randwire.data import beton, codec
from randwire.data.convert import main
from randwire.data.reading import Reading
from randwire.errors import DataError

GRAY16 = np.arange(0, 65536, 683, dtype=np.uint16).reshape(8, 12)
"""Every part of the range."""
BACKGROUND = (10, 200, 77)


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, format, **options)
    return content.getvalue()


def tiff(values: NDArray[Any], **options: Any) -> bytes:
    content = io.BytesIO()
    tifffile.imwrite(content, values, **options)
    return content.getvalue()


def coded(suffix: str, values: NDArray[Any]) -> bytes:
    """Written by OpenCV, whose colours are blue, green, red."""
    done, content = cv2.imencode(suffix, values[..., ::-1] if values.ndim == 3 else values)
    assert done
    return content.tobytes()


def png(width: int, height: int, bits: int, colour: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of given rows, each with its filter byte."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        content += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return content


def three(gray: NDArray[Any]) -> NDArray[np.uint8]:
    return np.stack([gray] * 3, axis=2).astype(np.uint8)


def over(pixels: NDArray[Any], background: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Pixels with alpha over a background, in floats, rounded."""
    alpha = pixels[..., 3:] / 255.0
    laid: NDArray[np.uint8] = np.floor(pixels[..., :3] * alpha + np.array(background) * (1 - alpha) + 0.5).astype(
        np.uint8
    )
    return laid


def transparent() -> NDArray[np.uint8]:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 4), dtype=np.uint8)
    pixels[0, :, 3], pixels[1, :, 3] = 0, 255
    return pixels


def read(content: bytes, **chosen: Any) -> NDArray[np.uint8]:
    return codec.pixels(content, "x", Reading(**chosen))


def refused(content: bytes, *words: str, **chosen: Any) -> None:
    with pytest.raises(DataError) as error:
        codec.pixels(content, "some.file", Reading(**chosen))
    assert str(error.value).startswith("some.file: ")
    assert all(word in str(error.value) for word in words)


@pytest.mark.image_data("A", "gray of 16 bits: PNG, TIFF, PGM, JPEG 2000", "the upper 8 bits: as the photo in 8 bits")
def test_gray_of_16_bits_is_scaled_by_256() -> None:
    expected = three(GRAY16 // 256)
    files = [
        coded(".png", GRAY16),
        coded(".pgm", GRAY16),
        saved(Image.fromarray(GRAY16), "PNG"),
        saved(Image.fromarray(GRAY16), "JPEG2000", irreversible=False),
        b"P2 12 8 65535 " + b" ".join(b"%d" % value for value in GRAY16.ravel()),
        *(
            tiff(GRAY16, photometric="minisblack", byteorder=order, compression=compression)
            for order in "<>"
            for compression in (None, "zlib")
        ),
    ]
    for content in files:
        assert np.array_equal(read(content), expected)
    eight = np.arange(96, dtype=np.uint8).reshape(8, 12) * 2
    for sixteen in (eight.astype(np.uint16) * 256, eight.astype(np.uint16) * 257):
        for suffix in (".png", ".tiff", ".pgm"):
            assert np.array_equal(read(coded(suffix, sixteen)), read(coded(suffix, eight)))


@pytest.mark.image_data("A", "gray of 12 bits: TIFF, PGM", "the upper 8 of 12 bits")
def test_gray_of_12_bits_is_scaled_by_16() -> None:
    values = np.arange(0, 4096, 42, dtype=np.uint16)[:96].reshape(8, 12)
    pairs = values.reshape(-1, 2).astype(int)
    packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], 1)
    tags = {256: 12, 257: 8, 258: 12, 259: 1, 262: 1, 273: 200, 277: 1, 278: 8, 279: 144}
    header = struct.pack("<2sHIH", b"II", 42, 8, len(tags))
    header += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    content = header.ljust(200, b"\0") + packed.astype(np.uint8).tobytes()
    assert np.array_equal(read(content), three(values // 16))
    pgm = b"P5 12 8 4095\n" + values.astype(">u2").tobytes()
    assert np.array_equal(read(pgm), three(values // 16))


@pytest.mark.image_data("A", "gray of 16 bits whose file says that 0 is white", "inverted")
def test_white_is_zero() -> None:
    for compression in (None, "zlib"):
        content = tiff(GRAY16, photometric="miniswhite", compression=compression)
        assert np.array_equal(read(content), three((65535 - GRAY16) // 256))


@pytest.mark.image_data("A", "colours of 16 bits: PNG, TIFF, PPM", "the upper 8 bits")
def test_colours_of_16_bits() -> None:
    colours = np.random.default_rng(1).integers(0, 65536, (9, 7, 3), dtype=np.uint16)
    planes = np.moveaxis(colours, 2, 0)
    files = [coded(".png", colours), coded(".ppm", colours), coded(".tiff", colours),
             tiff(colours, photometric="rgb", byteorder=">"),
             tiff(planes, photometric="rgb", planarconfig="separate", compression="zlib")]  # fmt: skip
    for content in files:
        assert np.array_equal(read(content), colours >> 8)


@pytest.mark.image_data("A", "uncompressed TIFF in planes of 16 bits, which Pillow reads as noise", "refused by name")
def test_planes_of_16_bits_are_refused() -> None:
    planes = np.random.default_rng(1).integers(0, 65536, (3, 9, 7), dtype=np.uint16)
    refused(tiff(planes, photometric="rgb", planarconfig="separate"), "planes of 16 bits")
    eight = (planes >> 8).astype(np.uint8)
    content = tiff(eight, photometric="rgb", planarconfig="separate")
    assert np.array_equal(read(content), np.moveaxis(eight, 0, 2))


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


@pytest.mark.image_data("A", "BMP or TGA whose fourth channel is empty or said to mean nothing", "opaque")
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
    for format in ("TGA", "BMP"):
        assert np.array_equal(read(saved(Image.fromarray(pixels), format)), expected)
    assert (read(saved(Image.fromarray(pixels), "PNG")) == 255).all()


def test_opaque_images() -> None:
    colours = np.random.default_rng(2).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    for format in ("PNG", "BMP", "TIFF", "TGA", "PPM", "QOI", "SGI", "PCX", "DDS", "JPEG2000"):
        assert np.array_equal(read(saved(Image.fromarray(colours), format)), colours), format
        if format not in ("QOI", "DDS"):
            content = saved(Image.fromarray(colours[..., 0]), format)
            assert np.array_equal(read(content), three(colours[..., 0])), format
    inks = np.random.default_rng(3).integers(0, 256, (16, 16, 4), dtype=np.uint8)
    seen = read(saved(Image.fromarray(inks, "CMYK"), "TIFF")).astype(int)
    expected = (255 - inks[..., :3].astype(int)) * (255 - inks[..., 3:].astype(int)) / 255
    assert np.abs(seen - expected).max() <= 1
    jpeg = saved(Image.fromarray(colours), "JPEG", quality=100)
    decoded = cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1)
    assert decoded is not None
    assert np.abs(read(jpeg).astype(int) - decoded[..., ::-1]).max() <= 2


RANGED: list[tuple[str, NDArray[Any]]] = [
    ("32-bit floats", np.linspace(-1, 2, 96).astype(np.float32)),
    ("32-bit integers", np.linspace(-70000, 90000, 96).astype(np.int32)),
    ("32-bit integers", np.linspace(5, 4_000_000_000, 96).astype(np.uint32)),
    ("16-bit integers with a sign", np.linspace(-32768, 32767, 96).astype(np.int16)),
    ("8-bit integers with a sign", np.linspace(-128, 127, 96).astype(np.int8)),
]


@pytest.mark.image_data(
    "A", "32-bit integers, floats, and integers with a sign", "refused by name, or by --value-range"
)
@pytest.mark.parametrize(("name", "values"), RANGED, ids=[values.dtype.name for _, values in RANGED])
def test_values_without_a_range_of_their_own(name: str, values: NDArray[Any]) -> None:
    values = values.reshape(8, 12)
    low, high = float(values.min()) + 0.1, float(values.max()) * 0.7
    expected = three(np.rint(np.clip((values.astype(float) - low) / (high - low), 0, 1) * 255))
    orders = "<" if values.dtype == np.uint32 else "<>"
    for order in orders:
        for compression in (None, "zlib"):
            content = tiff(values, photometric="minisblack", byteorder=order, compression=compression)
            refused(content, name, "--value-range LOW:HIGH")
            assert np.abs(read(content, value_range=(low, high)).astype(int) - expected).max() <= 1
    if values.dtype == np.float32:
        refused(coded(".pfm", values), name)


@pytest.mark.image_data("A", "floats of which one is infinite or NaN", "refused, also with a range")
def test_values_that_are_not_finite() -> None:
    for value in (np.nan, np.inf):
        values = np.zeros((4, 4), np.float32)
        values[2, 1] = value
        refused(tiff(values), "NaN", value_range=(0, 1))


@pytest.mark.image_data("A", "LAB, FITS and McIdas of 16 bits, raw photographs (DNG, NEF, CR2)", "refused by name")
def test_other_colours_are_refused() -> None:
    refused(saved(Image.new("LAB", (4, 4)), "TIFF"), "LAB")
    cards = ["SIMPLE  = T", "BITPIX  = 16", "NAXIS   = 2", "NAXIS1  = 4", "NAXIS2  = 4", "END"]
    header = "".join(card.ljust(80) for card in cards).ljust(2880).encode()
    refused(header + bytes(2880), "16-bit FITS")
    small, large = np.zeros((8, 8, 3), np.uint8), np.zeros((32, 32), np.uint16)
    refused(tiff(small, photometric="rgb", subfiletype=1), "preview")
    refused(tiff(small, photometric="rgb", extratags=[(50706, 1, 4, (1, 4, 0, 0), False)]), "raw photograph")
    content = io.BytesIO()
    with tifffile.TiffWriter(content) as file:
        file.write(small, photometric="rgb", subifds=1)
        file.write(large)
    refused(content.getvalue(), "preview")
    content = io.BytesIO()
    with tifffile.TiffWriter(content) as file:  # a pyramid: the first image is the whole
        file.write(large, subifds=1)
        file.write(large[::2, ::2])
    assert read(content.getvalue()).shape == (32, 32, 3)


def test_the_first_of_several_frames() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    for format in ("GIF", "PNG", "TIFF", "WEBP"):
        options = {"lossless": True} if format == "WEBP" else {}
        content = saved(frames[0], format, save_all=True, append_images=frames[1:], **options)
        assert np.array_equal(read(content), np.full((8, 8, 3), (255, 0, 0)))


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


@pytest.mark.image_data("A", "JPEG 2000 of fewer than 8 bits, which Pillow reads too dark", "refused by name")
def test_few_bits_of_jpeg_2000() -> None:
    content = bytearray(saved(Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)), "JPEG2000"))
    assert read(bytes(content)).max() == 255
    content[content.index(b"ihdr") + 14] = content[content.index(b"\xff\x4f\xff\x51") + 42] = 3
    refused(bytes(content), "JPEG 2000 of 4 bits")


def test_the_fourth_channel_of_photoshop() -> None:
    planes = np.moveaxis(transparent(), 2, 0)
    header = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 4, 16, 16, 8, 3) + bytes(12) + bytes(2)
    assert np.array_equal(read(header + planes.tobytes(), background=BACKGROUND), transparent()[..., :3])
