"""The pictures: crops of photographs, with a stamp, encoded as files."""

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from benchmarks.imagenet_like.stamp import draw_stamp
from randwire import machine

Kind = Literal["jpeg", "png", "cmyk", "gray", "progressive", "cut"]
PHOTOS = {
    "skimage": (
        "data/astronaut.png", "data/chelsea.png", "data/coffee.png", "data/hubble_deep_field.jpg", "data/ihc.png",
        "data/motorcycle_left.png", "data/motorcycle_right.png", "data/rocket.jpg",
    ),
    "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
}  # fmt: skip
SHAPES = ((1, 3 / 4), (3 / 4, 1), (1, 2 / 3), (2 / 3, 1), (1, 1))
"""Width and height as shares of the side."""
SHAPE_SHARES = np.array([0.46, 0.15, 0.17, 0.06, 0.04, 0.12])
"""How often each shape occurs; the last share is that of all shapes from 1:2 to 2:1."""
MIN_SIDE = 36
"""Pixels of an image's shorter side, for blocks of at least 2."""
GRAIN = 8.0
"""Standard deviation of the noise, such that files of 500 pixels have the 100 KB or so that ImageNet's have."""
MIN_PIXELS_FOR_PROCESSES = 40_000_000
"""The number of pixels from which on processes are started."""


@dataclass(frozen=True)
class Picture:
    """All that decides one file: its name and synset, the stamp, and the stream that its pixels are drawn from."""

    name: str
    wnid: str
    label: int
    number: int
    stream: tuple[int, int, int]
    kind: Kind = "jpeg"


def encoded(pictures: Sequence[Picture], side: int, title: str) -> Iterator[tuple[Picture, bytes]]:
    """The pictures with the bytes of their files, in order; of many, made in one process for each CPU."""
    progress = partial(tqdm, total=len(pictures), desc=title, unit="img", disable=None)
    encode = partial(_encode, side=side)
    processes = machine.cpus()
    if processes == 1 or len(pictures) * side**2 < MIN_PIXELS_FOR_PROCESSES:
        yield from progress(zip(pictures, map(encode, pictures), strict=True))
        return
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        yield from progress(zip(pictures, pool.map(encode, pictures, chunksize=16), strict=True))


def _encode(picture: Picture, side: int) -> bytes:
    rng = np.random.default_rng(picture.stream)
    image = _crop(rng, side)
    draw_stamp(image, picture.label, picture.number)
    memory, quality = io.BytesIO(), int(rng.integers(92, 97))
    shown = Image.fromarray(image)
    if picture.kind == "png":
        shown.save(memory, "PNG")
    elif picture.kind in ("cmyk", "gray"):
        shown.convert("CMYK" if picture.kind == "cmyk" else "L").save(memory, "JPEG", quality=quality)
    else:
        shown.save(memory, "JPEG", quality=quality, progressive=picture.kind == "progressive")
    content = memory.getvalue()
    return content[: len(content) // 2] if picture.kind == "cut" else content


def _crop(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """A part of a photograph, uint8 (h, w, 3); a tenth each are smaller and up to twice as large."""
    aspect, shape = 2 ** rng.uniform(-1, 1), int(rng.choice(len(SHAPE_SHARES), p=SHAPE_SHARES))
    shares = [*SHAPES, (min(1.0, aspect), min(1.0, 1 / aspect))][shape]
    draw = rng.random()
    scale = 1 if draw < 0.8 else rng.uniform(0.3, 1) if draw < 0.9 else rng.uniform(1, 2)
    scale = max(scale, MIN_SIDE / side / min(shares))
    width, height = (round(share * scale * side) for share in shares)

    photos = _photos(side)
    photo = photos[int(rng.integers(len(photos)))]
    zoom = min(photo.width / width, photo.height / height) * rng.uniform(0.8, 1)
    left, top = rng.random() * (photo.width - zoom * width), rng.random() * (photo.height - zoom * height)
    box = left, top, left + zoom * width, top + zoom * height
    part = photo.resize((width, height), Image.Resampling.BICUBIC, box)
    image = np.array(part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else part)
    grain = _grain(2 * side)
    y, x = rng.integers(len(grain) - np.array([height, width]) + 1)
    return np.clip(image + grain[y : y + height, x : x + width], 0, 255).astype(np.uint8)


@cache
def _grain(side: int) -> NDArray[np.int16]:
    """The noise of a sensor, (side, side, 1): enlarged crops have lost theirs, and with it much of a file's size."""
    return np.random.default_rng(0).normal(0, GRAIN, (side, side, 1)).round().astype(np.int16)


@cache
def _photos(side: int) -> list[Image.Image]:
    """The photographs, reduced where they are far larger than needed."""
    photos = []
    for package, names in PHOTOS.items():
        spec = find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise ModuleNotFoundError(f"{package} is not installed; its photographs are needed")
        for name in names:
            with Image.open(Path(spec.submodule_search_locations[0], name)) as file:
                photo = file.convert("RGB")
            photos.append(photo.reduce(max(1, min(photo.size) // (2 * side))))
    return photos
