"""What an image file says of its samples beyond the mode of Pillow, and what Pillow is known to read wrongly.

It is looked at between the opening of an image, when Pillow has read the header, and the loading of its pixels.
"""

import io
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, TiffImagePlugin

BITS_PER_SAMPLE, PHOTOMETRIC, PLANAR, SAMPLE_FORMAT = 258, 262, 284, 339
NEW_SUBFILE_TYPE, SUB_IFDS, DNG_VERSION, COLOUR_FILTERS = 254, 330, 50706, 32803
IMAGE_WIDTH, IMAGE_LENGTH, SAMPLES_PER_PIXEL, EXTRA_SAMPLES = 256, 257, 277, 338
YCBCR, SUBSAMPLING = 6, 530
"""Tags of TIFF, and the photometric interpretations of colour filters and of YCbCr."""
FORMS = {1: "integers", 2: "integers with a sign", 3: "floats"}
"""What the sample format of TIFF says."""
PSD_BITMAP, PSD_MULTICHANNEL = 0, 7
"""Modes of Photoshop: of black and white, and of inks of which Pillow would take the first for gray."""
OPAQUE_BY, OPAQUE_BY_PREMULTIPLIED, UNSPECIFIED = 1, 2, 65535
"""What a channel of JPEG 2000 is that is no colour."""
SUN_OF_32_BITS = {"BGRX": "XBGR", "RGBX": "XRGB"}
"""Of Sun raster files: the byte without meaning comes first, and Pillow looks for it behind the colours."""
SIXTEEN_BITS = {"PNG", "TIFF", "JPEG2000", "IM"}
"""Formats whose mode I;16 is gray from 0 to 65535. That of FITS and McIdas is not: with a sign, or of another scale."""
EMPTY_ALPHA = {"BMP", "CUR", "DDS", "DIB", "ICO", "TGA"}
"""Formats whose writers may leave the fourth channel empty, which then means nothing."""
PLANES = {"L", "P", "RGB", "RGBA", "CMYK"}
"""What Pillow reads of uncompressed TIFF in planes: planes of other samples it takes for ones of 8 bits."""
NATIVE = {"F;32BF": "F;32F", "I;32BS": "I;32S", "I;16BS": "I;16S"}
"""Of compressed big-endian TIFF: libtiff gives the order of this machine, which Pillow knows of other forms only."""
SUB_IFDS_READ = 16
"""Images beside the first one that are looked at: cameras write up to four."""
GRAY_STEPS = {"L;2": 85, "L;4": 17}
"""How far apart the values of gray of few bits are once they are scaled to 255."""


class UnreadableColoursError(ValueError):
    """Colours that are refused; says which, and what can be done."""


class Samples(NamedTuple):
    """What a file says of its samples.

    bits: of a sample. sixteen_bits: mode I;16 is gray from 0 to 65535, or to 4095 with 12 `bits`. signed, unsigned: the
    file says that its integers have a sign, or have none. white_is_zero: and Pillow does not know. premultiplied: mode
    RGBA holds colours that are multiplied by alpha. gray_step: by which a transparent value is to be multiplied.
    alpha_unused: the fourth channel has no meaning. empty_alpha_is_none: it has none if it is zero everywhere.
    lower_bytes: reads the lower 8 of 16 bits, uint8 (height, width, 3), where a transparent colour has to be compared
    with all 16.
    """

    bits: int = 0
    sixteen_bits: bool = False
    signed: bool = False
    unsigned: bool = False
    white_is_zero: bool = False
    premultiplied: bool = False
    gray_step: int = 1
    alpha_unused: bool = False
    empty_alpha_is_none: bool = False
    lower_bytes: Callable[[], NDArray[np.uint8]] | None = None


def samples(image: ImageFile.ImageFile, content: bytes) -> Samples:
    """Of an image that was opened and not yet loaded. Raises UnreadableColoursError for what Pillow reads wrongly."""
    packed = _packed(image.tile[0]) if image.tile else ""
    sixteen_bits = image.format in SIXTEEN_BITS
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return _of_tiff(image, content, packed)._replace(sixteen_bits=sixteen_bits)
    if image.format == "FITS" and (b"BZERO" in content[:28800] or b"BSCALE" in content[:28800]):
        raise UnreadableColoursError("FITS with BZERO or BSCALE is not read: save it as TIFF")
    opacity = OPAQUE_BY
    if image.format == "JPEG2000":
        _check_jpeg_2000(image.mode, content)
        opacity = _opacity_of_jpeg_2000(content)
    if image.format == "PSD":
        mode = int.from_bytes(content[24:26], "big")
        if mode == PSD_MULTICHANNEL:
            raise UnreadableColoursError("colours of the kind multichannel are not read: save it as RGB")
        if mode == PSD_BITMAP:  # 1 is black, and Pillow takes it for white
            image.tile = [tile._replace(args="1;I") for tile in image.tile]
    if image.format == "SUN" and packed in SUN_OF_32_BITS:
        form = SUN_OF_32_BITS[packed]
        image.tile = [
            tile._replace(args=(form, *tile.args[1:]) if isinstance(tile.args, tuple) else form) for tile in image.tile
        ]
    if image.format == "PPM" and content.startswith(b"P6") and image.tile[0].args == ("RGB", 65535):
        # Pillow would round value / 257; of other files of 16 bits it takes the upper 8.
        image.tile = [image.tile[0]._replace(codec_name="raw", args=("RGB;16B", 0, 1))]
    return Samples(
        sixteen_bits=sixteen_bits,
        gray_step=GRAY_STEPS.get(packed, 1),
        premultiplied=opacity == OPAQUE_BY_PREMULTIPLIED,
        alpha_unused=image.format == "PSD"
        or (image.format == "TGA" and _without_alpha(content[:18]))
        or opacity not in (OPAQUE_BY, OPAQUE_BY_PREMULTIPLIED),
        empty_alpha_is_none=image.format in EMPTY_ALPHA,
        lower_bytes=(lambda: _lower_bytes(content)) if packed == "RGB;16B" and image.format == "PNG" else None,
    )


def _packed(tile: Any) -> str:
    """How Pillow calls the form of the samples in a part of the file, such as L;4."""
    return str(tile.args[0] if isinstance(tile.args, tuple) and tile.args else tile.args)


def _check_jpeg_2000(mode: str, content: bytes) -> None:
    """Refuse samples of other than 8 bits, but for the gray of mode I;16.

    Pillow takes those of fewer bits for the upper ones of 8, so that none is white. Of those of more bits it rounds the
    upper 8 without a limit, so that white becomes black; to it, gray of 9 bits is of mode L.
    """
    codestream = content.find(b"\xff\x4f\xff\x51")  # start of a codestream, then its sizes
    if codestream < 0:
        return
    channels = int.from_bytes(content[codestream + 40 : codestream + 42], "big")
    sizes = content[codestream + 42 : codestream + 42 + 3 * channels : 3]
    for bits in [(size & 0x7F) + 1 for size in sizes]:
        if bits < 8 or (bits > 8 and mode != "I;16"):
            kind = "" if channels == 1 else f" in {channels} channels"
            raise UnreadableColoursError(f"JPEG 2000 of {bits} bits{kind} is not read: save it as PNG")


def _opacity_of_jpeg_2000(content: bytes) -> int:
    """What a channel beside the colours is, as the file's list of channels says: 0 if no opacity, such as infrared.

    Without a list it is opacity, as older writers leave it to be understood, and Pillow and OpenCV understand it.
    """
    start = content.find(b"cdef", 0, max(content.find(b"jp2c"), 0)) + 4
    if start < 4:
        return OPAQUE_BY
    count = int.from_bytes(content[start : start + 2], "big")
    kinds = [content[place + 2 : place + 4] for place in range(start + 2, start + 2 + 6 * count, 6)]
    return max((int.from_bytes(kind, "big") % UNSPECIFIED for kind in kinds), default=0)


def _repack(image: ImageFile.ImageFile, packed: str) -> None:
    """Let the samples be taken for another form."""
    image.tile = [
        tile._replace(args=(packed if len(_packed(tile)) > 1 else _packed(tile).upper(), *tile.args[1:]))
        for tile in image.tile
        if isinstance(tile.args, tuple)
    ]


def _without_alpha(header: bytes) -> bool:
    """Whether a TGA has no alpha: says so, or has a single bit for it, of which writers do not agree what it means."""
    mapped, gray = header[1] == 1, header[2] & 7 == 3
    depth = header[7] if mapped else header[16]
    return (depth == 16 and not gray) or not (mapped or header[17] & 15)


def _lower_bytes(content: bytes) -> NDArray[np.uint8]:
    """Of a PNG of 3 x 16 bits: what Pillow takes for the upper bytes if it is told the other order."""
    with Image.open(io.BytesIO(content)) as image:
        image.tile = [image.tile[0]._replace(args="RGB;16L")]
        return np.asarray(image)


def _of_tiff(image: TiffImagePlugin.TiffImageFile, content: bytes, packed: str) -> Samples:
    tags = image.tag_v2
    if (
        content[8:10] == b"CR"
        or DNG_VERSION in tags
        or tags.get(PHOTOMETRIC) == COLOUR_FILTERS
        or _is_preview(image, content)
    ):
        raise UnreadableColoursError(
            "is a raw photograph or another TIFF that begins with a small preview: save the picture as JPEG or PNG"
        )
    bits, form = _first(tags.get(BITS_PER_SAMPLE)), _first(tags.get(SAMPLE_FORMAT))
    compressed, in_planes = image.info.get("compression") != "raw", tags.get(PLANAR) == 2
    if compressed and packed in NATIVE:
        _repack(image, NATIVE[packed])
    if compressed and in_planes and image.mode in ("LA", "La", "PA"):
        raise UnreadableColoursError("compressed TIFF in planes with alpha is not read: save it not in planes")
    if not compressed and in_planes and (bits != 8 or image.mode not in PLANES or tags.get(PHOTOMETRIC, 0) == 0):
        raise UnreadableColoursError(f"uncompressed TIFF in planes of {bits} bits is not read: save it not in planes")
    if not compressed and tags.get(PHOTOMETRIC) == YCBCR and tuple(tags.get(SUBSAMPLING, (2, 2))) != (1, 1):
        raise UnreadableColoursError("uncompressed TIFF with fewer samples of colour is not read: save it as RGB")
    premultiplied = False
    if image.mode == "RGBA" and _first(tags.get(EXTRA_SAMPLES)) == 1 and not (compressed and in_planes):
        # Pillow would divide by alpha and round, only to be multiplied again; of compressed planes it does so anyway.
        premultiplied = True
        _repack(image, packed.replace("a", "A"))
    white_is_zero = tags.get(PHOTOMETRIC, 0) == 0 and image.mode in ("I;16", "F")
    return Samples(
        bits,
        signed=form == 2,
        unsigned=form == 1 or SAMPLE_FORMAT not in tags,
        white_is_zero=white_is_zero,
        premultiplied=premultiplied,
    )


def samples_of_tiff(content: bytes) -> str:
    """The samples of a TIFF that Pillow does not know, such as ", a pixel of 3 floats of 32 bits"; else nothing."""
    with suppress(Exception):  # of other content and of damaged tags there is nothing to tell
        tags = _tags(content)
        bits = tags[BITS_PER_SAMPLE]
        form = FORMS.get(_first(tags.get(SAMPLE_FORMAT, 1)), "values of an unknown form")
        return f", a pixel of {_first(tags.get(SAMPLES_PER_PIXEL, 1))} {form} of {_first(bits)} bits"
    return ""


def _is_preview(image: TiffImagePlugin.TiffImageFile, content: bytes) -> bool:
    """Whether the first image is a reduced form of another one in the file."""
    tags = image.tag_v2
    offsets = tags.get(SUB_IFDS, ())
    if _first(tags.get(NEW_SUBFILE_TYPE)) & 1 and (offsets or tags.next):
        return True
    for offset in (offsets if isinstance(offsets, tuple) else (offsets,))[:SUB_IFDS_READ]:
        with suppress(Exception):  # of what cannot be read nothing is known, and the first image is what there is
            inner = _tags(content, offset)
            if _first(inner.get(IMAGE_WIDTH)) * _first(inner.get(IMAGE_LENGTH)) > image.width * image.height:
                return True
    return False


def _tags(content: bytes, offset: int | None = None) -> TiffImagePlugin.ImageFileDirectory_v2:
    """The tags of the image at an offset of a TIFF; None: of the first one."""
    big = content[2:3] == b"+"
    tags = TiffImagePlugin.ImageFileDirectory_v2(content[: 16 if big else 8])
    stream = io.BytesIO(content)
    stream.seek(tags.next if offset is None else offset)
    tags.load(stream)
    return tags


def _first(value: object) -> int:
    number = value[0] if isinstance(value, tuple) and value else value
    return number if isinstance(number, int) else 0
