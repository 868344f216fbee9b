"""The colours of an image that Pillow has opened, as red, green and blue of 8 bits: a closed table of what is read.

    mode of Pillow               becomes
    1, L, RGB, CMYK, YCbCr       as Pillow converts them; of several channels of 16 bits the upper 8
    RGBX                         without its fourth channel
    P                            the colours of its palette
    LA, La, PA, RGBA, RGBa       laid over the background; also where one colour or a part of a palette is transparent
    I;16, I of a 16-bit PGM      the upper 8 of 16 bits, or of 12; inverted where the file says that 0 is white
    I, F, 8 bits with a sign     the value range that was chosen becomes 0 to 255; refused unless one was chosen
    anything else (LAB, HSV...)  refused

Of several frames or pages it is the first; of an icon, the largest; of the layers of Photoshop, all as merged there.
Transparency that says nothing is not looked at: where all of a BMP, DDS, TGA or icon is transparent, where the
header of a TGA says that its fourth channel has no meaning, where JPEG 2000 calls it something else, and in PSD, whose
merged picture lies over white, and whose fourth channel may be a selection.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from randwire.data.reading import Reading
from randwire.data.samples import Samples, UnreadableColoursError

BAND_PIXELS = 1 << 20
"""Pixels that are laid over the background at a time: what is needed beside the image stays small."""

Colours = NDArray[np.uint8]


class _Image(NamedTuple):
    """An image whose pixels are loaded, what its file says of them, and how it is read."""

    image: Image.Image
    samples: Samples
    reading: Reading


def to_rgb(image: Image.Image, samples: Samples, reading: Reading) -> Colours:
    """The pixels of a loaded image, uint8 (height, width, 3).

    Raises UnreadableColoursError for what is not in the table.
    """
    if (read := _TABLE.get(image.mode)) is None:
        raise UnreadableColoursError(f"colours of the kind {image.mode} are not read: save it as RGB")
    return read(_Image(image, samples, reading))


def _plain(given: _Image) -> Colours:
    return np.asarray(given.image if given.image.mode == "RGB" else given.image.convert("RGB"))


def _gray(given: _Image) -> Colours:
    """L and 1, with a transparent value or without."""
    if given.samples.signed:
        return _ranged(given)
    transparent = given.image.info.get("transparency")
    if transparent is None:
        return _plain(given)
    gray = np.asarray(given.image.convert("L"))
    return _without(_three(gray), gray == _number(transparent) * given.samples.gray_step, given.reading)


def _colour(given: _Image) -> Colours:
    """RGB, with a transparent colour or without."""
    transparent = given.image.info.get("transparency")
    pixels = _plain(given)
    if transparent is None:
        return pixels
    red, green, blue = transparent
    if given.samples.lower_bytes is None:
        return _without(pixels, (pixels == (red, green, blue)).all(axis=2), given.reading)
    deep = pixels.astype(np.uint16) << 8 | given.samples.lower_bytes()
    return _without(pixels, (deep == (red, green, blue)).all(axis=2), given.reading)


def _palette(given: _Image) -> Colours:
    image = given.image
    kind = image.palette.mode if image.palette else "RGB"
    if kind not in ("RGB", "RGBA"):
        raise UnreadableColoursError(f"a palette of the kind {kind} is not read: save it as RGB")
    if given.samples.alpha_unused or (image.mode == "P" and kind == "RGB" and "transparency" not in image.info):
        return _plain(given)
    return _over(np.asarray(image.convert("RGBA")), given.reading)


def _alpha(given: _Image) -> Colours:
    """The last channel is how opaque a pixel is."""
    pixels = np.asarray(given.image)
    if given.image.mode in ("LA", "La"):
        pixels = pixels[..., [0, 0, 0, 1]]
    if given.samples.alpha_unused or (given.samples.empty_alpha_is_none and not pixels[..., 3].any()):
        return np.ascontiguousarray(pixels[..., :3])
    return _over(pixels, given.reading, given.samples.premultiplied or given.image.mode in ("La", "RGBa"))


def _sixteen(given: _Image) -> Colours:
    """Gray of 16 or 12 bits, with a transparent value or without."""
    samples = given.samples
    if not samples.sixteen_bits:
        raise UnreadableColoursError(f"16-bit {given.image.format} is not read: save it as a 16-bit TIFF or PNG")
    values = np.asarray(given.image).astype(np.uint16)
    bits = 12 if samples.bits == 12 else 16
    shown = (1 << bits) - 1 - values if samples.white_is_zero else values
    pixels = _three((shown >> (bits - 8)).astype(np.uint8))
    transparent = given.image.info.get("transparency")
    return pixels if transparent is None else _without(pixels, values == _number(transparent), given.reading)


def _integers(given: _Image) -> Colours:
    """Mode I: a PGM of 16 bits, which Pillow has scaled to 0 to 65535, or integers without a range of their own."""
    if given.image.format == "PPM":
        return _three((np.asarray(given.image) >> 8).astype(np.uint8))
    return _ranged(given)


def _ranged(given: _Image) -> Colours:
    """Values that mean something only by the range that was chosen for them."""
    values, name = np.asarray(given.image), "32-bit floats"
    if given.samples.signed and given.samples.bits == 8:
        values, name = values.view(np.int8), "8-bit integers with a sign"
    elif given.image.mode == "I":
        deep = given.samples.bits != 16
        name = "32-bit integers" if deep else "16-bit integers with a sign"
        values = values.view(np.uint32) if deep and given.samples.unsigned else values
    if given.reading.value_range is None:
        raise UnreadableColoursError(
            f"holds {name}: --value-range LOW:HIGH of a conversion says what is black and white"
        )
    if given.samples.white_is_zero:
        raise UnreadableColoursError(f"holds {name} of which 0 is white: save it with 0 as black")
    low, high = given.reading.value_range
    if not np.isfinite(values).all():
        raise UnreadableColoursError("holds values that are infinite or no number (NaN)")
    return _three(
        np.rint((np.clip(values.astype(np.float64), low, high) - low) * (255 / (high - low))).astype(np.uint8)
    )


def _number(transparent: object) -> int:
    if not isinstance(transparent, int):
        raise UnreadableColoursError(f"its transparent colour is {transparent!r:.40}, which is no value of gray")
    return transparent


def _three(gray: Colours) -> Colours:
    """Gray (height, width) as three equal channels."""
    return np.repeat(gray[..., None], 3, axis=2)


def _without(pixels: Colours, transparent: NDArray[np.bool_], reading: Reading) -> Colours:
    """The background where pixels are transparent."""
    return np.where(transparent[..., None], np.array(reading.background, np.uint8), pixels)


def _over(pixels: Colours, reading: Reading, premultiplied: bool = False) -> Colours:
    """Pixels (height, width, 4), the last channel alpha, over the background, rounded to nearest."""
    height, width = pixels.shape[:2]
    background = np.array(reading.background, np.uint16)
    out = np.empty((height, width, 3), np.uint8)
    rows = max(1, BAND_PIXELS // max(1, width))
    for start in range(0, height, rows):
        band = pixels[start : start + rows].astype(np.uint16)
        colour, alpha = band[..., :3], band[..., 3:]
        below = background * (255 - alpha) + 127  # 255 * 255 + 127 fits into 16 bits
        out[start : start + rows] = (
            np.minimum(colour + below // 255, 255) if premultiplied else (colour * alpha + below) // 255
        )
    return out


_TABLE: Mapping[str, Callable[[_Image], Colours]] = {
    "1": _gray,
    "L": _gray,
    "P": _palette,
    "RGB": _colour,
    "RGBX": _plain,
    "CMYK": _plain,
    "YCbCr": _plain,
    "LA": _alpha,
    "La": _alpha,
    "PA": _palette,
    "RGBA": _alpha,
    "RGBa": _alpha,
    "I;16": _sixteen,
    "I;16L": _sixteen,
    "I;16B": _sixteen,
    "I;16N": _sixteen,
    "I": _integers,
    "F": _ranged,
}
