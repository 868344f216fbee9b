"""The compiled part of the loader: crop, decode, resize and flip of a run of images, without the GIL.

It calls the two C functions that FFCV decodes with. FFCV's own pipeline compiles itself anew in every process, ignores
the result of its decoder and draws crops that depend on the number of threads; this one is compiled once per machine
(numba's cache), reports a damaged image, and draws from a counter, keyed by seed, epoch and image.

numba does not notice changes of other files: all that is compiled must stay in this one.
"""

import ctypes
from importlib.machinery import PathFinder
from importlib.util import find_spec
from typing import Any

import numba
import numpy as np
from llvmlite import binding
from numba import types

from randwire.compiling import compiled
from randwire.data import beton


def ffcv_library() -> ctypes.CDLL:
    """FFCV's C functions, without its Python package: to import that takes 4 s and sets torch to one thread."""
    package = find_spec("ffcv")
    library = package and PathFinder.find_spec("_libffcv", package.submodule_search_locations)
    if not library or not library.origin:
        raise ImportError("FFCV's C library is missing: install ffcv (requirements.txt)", name="ffcv")
    return ctypes.CDLL(library.origin)


def _external(name: str, function: Any, signature: Any) -> Any:
    """A C function under a name of ours: unlike a ctypes one, compiled code that calls it can be cached."""
    address = ctypes.cast(function, ctypes.c_void_p).value
    binding.add_symbol(name, address)
    return types.ExternalFunction(name, signature)


_library = ffcv_library()
_imdecode = _external(
    "randwire_ffcv_imdecode",
    _library.imdecode,
    types.int32(types.uintp, types.uint64, types.uint32, types.uint32, types.uintp, *[types.uint32] * 8),
)
_resize = _external("randwire_ffcv_resize", _library.resize, types.void(*[types.int64] * 11))

JPG = beton.JPG
CHANGED, UNDECODABLE = 1, 2
"""What `survey` says of a bad image."""
GOLDEN_GAMMA = np.uint64(beton.GOLDEN_GAMMA)
FIRST_FACTOR, SECOND_FACTOR = (np.uint64(factor) for factor in beton.MIX_FACTORS)


@numba.njit(nogil=True)
def _mix(value: Any) -> Any:
    """The finalizer of SplitMix64: 64 bits to 64 well mixed bits."""
    value = (value ^ (value >> np.uint64(30))) * FIRST_FACTOR
    value = (value ^ (value >> np.uint64(27))) * SECOND_FACTOR
    return value ^ (value >> np.uint64(31))


@numba.njit(nogil=True)
def _uniform(key: Any, draw: Any) -> Any:
    """The draw-th number of the stream `key`, uniform in [0, 1)."""
    return np.float64(_mix(key + np.uint64(draw + 1) * GOLDEN_GAMMA) >> np.uint64(11)) * 2.0**-53


@numba.njit(nogil=True)
def _checksum(data: Any, start: Any, size: Any) -> Any:
    """`beton.checksum` of the `size` bytes of `data` from `start`, a multiple of 8."""
    words = data[start : start + size // 8 * 8].view(np.uint64)
    total = np.uint64(0)
    for index in range(len(words)):
        total += _mix(words[index] + np.uint64(index + 1) * GOLDEN_GAMMA)
    if size % 8 != 0:
        last = np.uint64(0)
        for index in range(size % 8):
            last |= np.uint64(data[start + size // 8 * 8 + index]) << np.uint64(8 * index)
        total += _mix(last + np.uint64(len(words) + 1) * GOLDEN_GAMMA)
    return np.int64(total)


@numba.njit(nogil=True, error_model="numpy")
def _random_crop(height: Any, width: Any, key: Any, area: Any, aspect: Any) -> Any:
    """Top, left, height, width as torchvision's RandomResizedCrop draws them."""
    low, high = np.log(aspect[0]), np.log(aspect[1])
    for attempt in range(10):
        target = height * width * (area[0] + (area[1] - area[0]) * _uniform(key, 4 * attempt))
        ratio = np.exp(low + (high - low) * _uniform(key, 4 * attempt + 1))
        w = round(np.sqrt(target * ratio))
        h = round(np.sqrt(target / ratio))
        if 0 < w <= width and 0 < h <= height:
            top = int(_uniform(key, 4 * attempt + 2) * (height - h + 1))
            left = int(_uniform(key, 4 * attempt + 3) * (width - w + 1))
            return top, left, h, w
    w, h = width, height
    if width < height * aspect[0]:
        h = round(width / aspect[0])
    elif width > height * aspect[1]:
        w = round(height * aspect[1])
    w, h = max(1, min(w, width)), max(1, min(h, height))
    return (height - h) // 2, (width - w) // 2, h, w


@numba.njit(nogil=True)
def _center_crop(height: Any, width: Any, share: Any) -> Any:
    side = max(1, round(share * min(height, width)))
    return (height - side) // 2, (width - side) // 2, side, side


@compiled
def decode(
    data: np.ndarray,
    rows: np.ndarray,
    sizes: np.ndarray,
    checksums: np.ndarray,
    ids: np.ndarray,
    images: np.ndarray,
    train: int,
    key: np.uint64,
    area: np.ndarray,
    aspect: np.ndarray,
    flip: float,
    share: float,
) -> int:
    """Fill `images`, uint8 (n, side, side, 3), with the images `ids` (n,); returns the first damaged one, or -1.

    `data` is the mapped file, uint8 and read-only; `rows` (beton.IMAGE), `sizes` and `checksums`, which may be empty,
    are columns of `beton.Tables`. Where `train` is not 0, the crop is drawn (`area`, `aspect`: smallest, largest), and
    so is the flip (probability `flip`); else it is the center with `share` of the shorter side. All extents must have
    been checked.
    """
    side = images.shape[1]
    scratch = np.empty(0, np.uint8)
    for index in range(len(ids)):
        sample = ids[index]
        row = rows[sample]
        height, width = np.int64(row["height"]), np.int64(row["width"])
        start = np.int64(row["offset"])
        if len(checksums) > 0 and _checksum(data, start, np.int64(sizes[sample])) != checksums[sample]:
            return int(sample)
        pixels = np.int64(data.ctypes.data) + start
        if row["mode"] == JPG:
            if len(scratch) < 3 * height * width:
                scratch = np.empty(3 * height * width, np.uint8)
            target = scratch.ctypes.data
            if _imdecode(pixels, sizes[sample], height, width, target, height, width, 0, 0, 1, 1, 0, 0) != 0:
                return int(sample)
            pixels = np.int64(target)
        stream = _mix(key + np.uint64(sample + 1) * GOLDEN_GAMMA)
        if train != 0:
            top, left, h, w = _random_crop(height, width, stream, area, aspect)
        else:
            top, left, h, w = _center_crop(height, width, share)
        image = images[index]
        _resize(0, pixels, height, width, top, top + h, left, left + w, image.ctypes.data, side, side)
        if train != 0 and _uniform(stream, 40) < flip:
            for y in range(side):
                for x in range(side // 2):
                    for channel in range(3):
                        value = image[y, x, channel]
                        image[y, x, channel] = image[y, side - 1 - x, channel]
                        image[y, side - 1 - x, channel] = value
    return -1


@compiled
def survey(
    data: np.ndarray,
    rows: np.ndarray,
    sizes: np.ndarray,
    checksums: np.ndarray,
    ids: np.ndarray,
    histogram: np.ndarray,
    state: np.ndarray,
) -> None:
    """Look at the images `ids` (n,) whole: `state`, uint8 (n,), becomes 0 of a good one.

    It is CHANGED where the checksum is not that of the bytes, and UNDECODABLE where FFCV's decoder refuses a JPEG. The
    values of the channels of the good ones are added to `histogram`, int64 (3, 256). The rest is as in `decode`.
    """
    scratch = np.empty(0, np.uint8)
    for index in range(len(ids)):
        sample = ids[index]
        row = rows[sample]
        height, width = np.int64(row["height"]), np.int64(row["width"])
        start, size = np.int64(row["offset"]), np.int64(sizes[sample])
        if _checksum(data, start, size) != checksums[sample]:
            state[index] = CHANGED
            continue
        if row["mode"] == JPG:
            if len(scratch) < 3 * height * width:
                scratch = np.empty(3 * height * width, np.uint8)
            source, target = np.int64(data.ctypes.data) + start, scratch.ctypes.data
            if _imdecode(source, sizes[sample], height, width, target, height, width, 0, 0, 1, 1, 0, 0) != 0:
                state[index] = UNDECODABLE
                continue
            for position in range(height * width):
                for channel in range(3):
                    histogram[channel, scratch[3 * position + channel]] += 1
        else:
            for position in range(height * width):
                for channel in range(3):
                    histogram[channel, data[start + 3 * position + channel]] += 1
        state[index] = 0
