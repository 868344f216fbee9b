"""What FFCV's C functions allow."""

import ctypes
import io
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import numpy as np

from benchmarks.loader.baseline import CPUS, SIDE, draw_crop
from randwire.config import DataConfig
from randwire.data import beton, inspect


class Stored:
    """The training images as they are stored in a converted set."""

    def __init__(self, folder: Path) -> None:
        path, sizes = folder / "train.beton", inspect(DataConfig(source="imagenet", path=str(folder))).sizes
        with open(path, "rb") as file:
            tables = beton.read_tables(file, sizes["train"])
        self.data = np.memmap(path, np.uint8, "r")
        self.labels: list[int] = tables.labels.tolist()
        image = tables.images
        self.starts: list[int] = image["offset"].tolist()
        self.sizes: list[int] = tables.sizes.tolist()
        self.raw: list[bool] = (image["mode"] == beton.RAW).tolist()
        self.shapes: list[tuple[int, int]] = list(zip(image["height"].tolist(), image["width"].tolist(), strict=True))

    def read(self, index: int) -> IO[bytes]:
        start = self.starts[index]
        return io.BytesIO(self.data[start : start + self.sizes[index]].tobytes())


class Limit:
    """FFCV's C functions on stored images in one thread for each CPU: whole images decoded, crops resized."""

    def __init__(self, stored: Stored) -> None:
        from randwire.data.decoder import ffcv_library

        random.seed(0)
        self._stored, self._library = stored, ffcv_library()
        self._library.imdecode.argtypes = [ctypes.c_void_p, ctypes.c_uint64, *[ctypes.c_uint32] * 2, ctypes.c_void_p]
        self._library.imdecode.argtypes += [*[ctypes.c_uint32] * 6, *[ctypes.c_bool] * 2]
        self._library.resize.argtypes = [ctypes.c_int64] * 11
        self._crops = [draw_crop(width, height) for height, width in stored.shapes]
        self._pool = ThreadPoolExecutor(CPUS)

    def epoch(self, number: int) -> int:
        return sum(self._pool.map(self._share, range(CPUS)))

    def _share(self, first: int) -> int:
        stored, decode, resize = self._stored, self._library.imdecode, self._library.resize
        scratch = np.empty(3 * max(height * width for height, width in stored.shapes), np.uint8)
        out = np.empty((SIDE, SIDE, 3), np.uint8)
        base, decoded, target = stored.data.ctypes.data, scratch.ctypes.data, out.ctypes.data
        mine = range(first, len(stored.sizes), CPUS)
        for index in mine:
            (height, width), (left, top, right, bottom) = stored.shapes[index], self._crops[index]
            pixels = base + stored.starts[index]
            if not stored.raw[index]:
                size = stored.sizes[index]
                if decode(pixels, size, height, width, decoded, height, width, 0, 0, 1, 1, False, False) != 0:
                    raise ValueError(f"stored image {index} is damaged")
                pixels = decoded
            resize(0, pixels, height, width, top, bottom, left, right, target, SIDE, SIDE)
        return len(mine)
