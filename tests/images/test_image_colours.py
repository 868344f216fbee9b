"""Colours: what each kind of image becomes, against arithmetic that is written out here."""

import io
import struct
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from image_files import coded, read, refused, saved, three, tiff
from numpy.typing import NDArray
from PIL import Image

GRAY16 = np.arange(0, 65536, 683, dtype=np.uint16).reshape(8, 12)
"""Every part of the range."""


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
    words = np.zeros(64, ">i4")
    words[1], words[8], words[9], words[10], words[13], words[33] = 4, 4, 4, 2, 1, 256
    refused(words.tobytes() + bytes(32), "16-bit MCIDAS")
    small, large = np.zeros((8, 8, 3), np.uint8), np.zeros((32, 32), np.uint16)
    for pages in (1, 2):
        content = io.BytesIO()
        with tifffile.TiffWriter(content) as file:
            for page in (small, large)[:pages]:
                file.write(page, subfiletype=1 if page is small else 0)
        if pages == 1:  # whatever it is said to be, there is no other
            assert np.array_equal(read(content.getvalue()), small)
        else:
            refused(content.getvalue(), "preview")
    refused(tiff(small, photometric="rgb", extratags=[(50706, 1, 4, (1, 4, 0, 0), False)]), "raw photograph")
    moved = bytearray(tiff(small, photometric="rgb", metadata=None))
    tags = moved[8:]
    for entry in range(2, 2 + 12 * tags[0], 12):  # what lies behind the tags moves by 8 bytes
        kind, count, value = struct.unpack_from("<HII", tags, entry + 2)
        if count * {1: 1, 2: 1, 3: 2, 4: 4, 5: 8}[kind] > 4 or tags[entry : entry + 2] == b"\x11\x01":
            struct.pack_into("<I", tags, entry + 8, value + 8)
    assert np.array_equal(read(b"II*\0\x10\0\0\0" + bytes(8) + bytes(tags)), small)
    refused(b"II*\0\x10\0\0\0CR\2\0" + bytes(4) + bytes(tags), "raw photograph")
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


@pytest.mark.image_data("A", "JPEG 2000 of fewer than 8 bits, which Pillow reads too dark", "refused by name")
def test_few_bits_of_jpeg_2000() -> None:
    content = bytearray(saved(Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)), "JPEG2000"))
    assert read(bytes(content)).max() == 255
    content[content.index(b"ihdr") + 14] = content[content.index(b"\xff\x4f\xff\x51") + 42] = 3
    refused(bytes(content), "JPEG 2000 of 4 bits")


@pytest.mark.image_data("A", "JPEG 2000 of 16 bits in colours, of 9 bits: Pillow makes white black", "refused by name")
def test_many_bits_of_jpeg_2000() -> None:
    for channels in (3, 4):
        refused(coded(".jp2", np.full((64, 64, channels), 65535, np.uint16)), f"16 bits in {channels} channels")
    gray = np.arange(96, dtype=np.uint16).reshape(8, 12) * 5
    shifted = gray.astype(int) + 32768  # what is stored is the difference to half of the range
    for bits in (9, 10, 12, 16):
        values = (shifted - (1 << (bits - 1))).astype(np.uint16)
        content = bytearray(saved(Image.fromarray(values), "JPEG2000", irreversible=False))
        content[content.index(b"ihdr") + 14] = content[content.index(b"\xff\x4f\xff\x51") + 42] = bits - 1
        if bits == 9:
            refused(bytes(content), "JPEG 2000 of 9 bits")
        else:
            assert np.array_equal(read(bytes(content)), three(gray >> (bits - 8)))


@pytest.mark.image_data(
    "A", "uncompressed YCbCr TIFF with fewer samples of colour, which Pillow reads as noise", "refused by name"
)
def test_subsampled_ycbcr_of_tiff() -> None:
    colours = np.full((8, 8, 3), (200, 40, 90), np.uint8)
    content = saved(Image.fromarray(colours).convert("YCbCr"), "TIFF")
    assert np.abs(read(content).astype(int) - colours).max() <= 2
    entry = struct.pack("<HHIHH", 530, 3, 2, 1, 1)
    assert content.count(entry) == 1
    for across, down in ((2, 1), (2, 2)):  # the larger file holds enough bytes to be taken for a whole one
        refused(content.replace(entry, struct.pack("<HHIHH", 530, 3, 2, across, down)), "fewer samples of colour")
    absent = content.replace(entry, struct.pack("<HHIHH", 531, 3, 1, 1, 0))  # then it is 2, 2
    refused(absent, "fewer samples of colour")


@pytest.mark.image_data("A", "Photoshop: black and white, multichannel", "1 is black; refused by name")
def test_other_modes_of_photoshop() -> None:
    bits = np.random.default_rng(4).integers(0, 2, (4, 16), dtype=np.uint8)
    rows = np.packbits(bits, axis=1)
    packed = struct.pack(">4H", 3, 3, 3, 3) + b"".join(b"\1" + row.tobytes() for row in rows)
    for compressed, data in ((0, rows.tobytes()), (1, packed)):
        content = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 1, 4, 16, 1, 0) + bytes(12)
        assert np.array_equal(read(content + struct.pack(">H", compressed) + data), three(255 - 255 * bits))
    inks = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 4, 16, 8, 7) + bytes(14) + bytes(3 * 64)
    refused(inks, "multichannel")


@pytest.mark.image_data("A", "Sun raster of 32 bits, whose first byte means nothing", "the colours behind it")
def test_sun_raster_of_32_bits() -> None:
    colours = np.random.default_rng(6).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    for kind, order in ((0, [2, 1, 0]), (1, [2, 1, 0]), (2, [2, 1, 0]), (3, [0, 1, 2])):
        pixels = np.dstack([np.full((5, 4), 77, np.uint8), colours[..., order]])
        data = pixels.tobytes().replace(b"\x80", b"\x80\0") if kind == 2 else pixels.tobytes()
        content = struct.pack(">8I", 0x59A66A95, 4, 5, 32, len(data), kind, 0, 0) + data
        assert np.array_equal(read(content), colours), kind
