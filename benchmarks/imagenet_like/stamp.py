"""The strip of black and white blocks at the top of an image, with its label and number."""

import numpy as np
from numpy.typing import NDArray

ROWS, COLUMNS = 2, 16
STRIP = 1 / 6
"""The share of the height that the stamp covers."""
LABEL_BITS, NUMBER_BITS, CHECK_BITS = 10, 18, 4


def read_stamp(image: NDArray[np.uint8]) -> tuple[int, int]:
    """Label and number of a whole image (h, w, 3), which may have been encoded again and resized to 64 pixels.

    Raises ValueError if there is no stamp.
    """
    height, width, _ = image.shape
    rows = ((np.arange(ROWS) + 0.5) / ROWS * STRIP * height).astype(int)
    columns = ((np.arange(COLUMNS) + 0.5) / COLUMNS * width).astype(int)
    bits = image[np.ix_(rows, columns)].mean(axis=2) > 127.5
    content = int("".join("01"[int(bit)] for bit in bits.ravel()), 2)
    value, check = divmod(content, 1 << CHECK_BITS)
    if check != _check(value):
        raise ValueError("no stamp at the top of the image")
    return divmod(value, 1 << NUMBER_BITS)


def draw_stamp(image: NDArray[np.uint8], label: int, number: int) -> None:
    value = label << NUMBER_BITS | number
    text = f"{value << CHECK_BITS | _check(value):0{ROWS * COLUMNS}b}"
    blocks = np.array([255 * int(bit) for bit in text], np.uint8).reshape(ROWS, COLUMNS)
    height, width, _ = image.shape
    rows = ((np.arange(height) + 0.5) / height / STRIP * ROWS).astype(int)
    rows = rows[rows < ROWS]
    columns = ((np.arange(width) + 0.5) / width * COLUMNS).astype(int)
    image[: len(rows)] = blocks[np.ix_(rows, columns)][:, :, None]


def _check(value: int) -> int:
    return value * 0x9E3779B1 % (1 << 32) >> 32 - CHECK_BITS
