"""Make a set of images that looks like ImageNet's files: the same names, archives, sizes and odd files.

python -m benchmarks.imagenet_like OUTPUT --train 6000 --val 1000             the archives, as they are downloaded
python -m benchmarks.imagenet_like OUTPUT --train 6000 --val 1000 --folders   train/<wnid>/*.JPEG and val/<wnid>/*.JPEG

The pixels are crops of the photographs in the wheels of scikit-image and scikit-learn. Class and number of an image
stand in a strip of black and white blocks at its top, which `read_stamp` reads from the pixels.
"""

import argparse
import gzip
import io
import os
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.util import find_spec
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

Kind = Literal["jpeg", "png", "cmyk", "gray", "progressive", "cut"]

ODD: tuple[Kind, ...] = ("png", "cmyk", "cmyk", "cmyk", "cmyk", "gray", "progressive")
"""The training images that are no plain JPEG files, though named as such."""

PHOTOS = {
    "skimage": (
        "data/astronaut.png", "data/chelsea.png", "data/coffee.png", "data/hubble_deep_field.jpg", "data/ihc.png",
        "data/motorcycle_left.png", "data/motorcycle_right.png", "data/rocket.jpg",
    ),
    "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
}  # fmt: skip

SHAPES = ((1, 3 / 4), (3 / 4, 1), (1, 2 / 3), (2 / 3, 1), (1, 1))
"""Width and height as shares of the side."""
OFTEN = np.array([0.46, 0.15, 0.17, 0.06, 0.04, 0.12])
"""How often each shape occurs; the last share is that of all shapes from 1:2 to 2:1."""

ROWS, COLUMNS = 2, 16
STRIP = 1 / 6
"""The share of the height that the stamp covers."""
LABEL_BITS, NUMBER_BITS, CHECK_BITS = 10, 18, 4
SMALLEST = 36
"""Pixels of an image's shorter side, for blocks of at least 2."""

GRAIN = 8.0
"""Standard deviation of the noise, such that files of 500 pixels have the 100 KB or so that ImageNet's have."""

INTERNAL = 12
"""Synsets in meta.mat that are no classes but above some."""
WORTH_PROCESSES = 40_000_000
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


def make(
    output: Path,
    train: int,
    val: int,
    classes: int = 1000,
    side: int = 500,
    seed: int = 0,
    corrupt: int = 0,
    folders: bool = False,
) -> None:
    """Write a set of `train` and `val` images, most of them with `side` pixels on the longer side.

    The arguments decide every byte. A label is the place of the synset among the sorted ones. Numbers start from 0, in
    train by label and number in the file's name, in val by file name. `corrupt` files of train are cut off. Raises
    ValueError for impossible numbers.
    """
    _make(output, train, val, classes, side, seed, corrupt, folders)


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


def _stamp(image: NDArray[np.uint8], label: int, number: int) -> None:
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


def _make(
    output: Path, train: int, val: int, classes: int, side: int, seed: int, corrupt: int, folders: bool
) -> dict[str, float]:
    """As `make`; returns the mean bytes of a file in each split."""
    if not 1 <= classes <= min(train, 1 << LABEL_BITS) or val < 1 or max(train, val) > 1 << NUMBER_BITS:
        raise ValueError(f"impossible {train=}, {val=} or {classes=}: every class needs an image in train")
    if side < SMALLEST or seed < 0 or not 0 <= corrupt <= train:
        raise ValueError(f"impossible {side=}, {seed=} or {corrupt=}: a side must have {SMALLEST} pixels")
    rng = np.random.default_rng(seed)
    wnids = [f"n{number:08}" for number in (rng.choice(14_000_000, classes + INTERNAL, replace=False) + 1_440_764)]
    leaves, internal = sorted(wnids[:classes]), wnids[classes:]
    pictures = {"train": _train(rng, leaves, train, seed, corrupt), "val": _val(rng, leaves, val, seed)}
    labels = [picture.label for picture in pictures["val"]]
    ids = rng.permutation(classes) + 1
    order = {wnid: place for place, wnid in enumerate(rng.permutation(leaves))}
    shuffled = {split: [found[i] for i in rng.permutation(len(found))] for split, found in pictures.items()}
    shuffled["train"].sort(key=lambda picture: order[picture.wnid])

    write = _write_folders if folders else _write_archive
    output.mkdir(parents=True, exist_ok=True)
    means = {split: write(output, split, found, side) / len(found) for split, found in shuffled.items()}
    if not folders:
        (output / "synset_labels.txt").write_text("".join(f"{leaves[label]}\n" for label in labels))
        counts = np.bincount([picture.label for picture in pictures["train"]])
        truth = "".join(f"{ids[label]}\n" for label in labels).encode()
        _write_devkit(output / "ILSVRC2012_devkit_t12.tar.gz", _meta(leaves, internal, ids, counts), truth)
    return means


def _train(rng: np.random.Generator, wnids: Sequence[str], count: int, seed: int, corrupt: int) -> list[Picture]:
    labels = np.sort(np.concatenate([np.arange(len(wnids)), rng.integers(len(wnids), size=count - len(wnids))]))
    places = [np.sort(rng.choice(max(60_000, n), n, replace=False)) + 1 for n in np.bincount(labels)]
    pictures = [
        Picture(f"{wnids[label]}_{place}.JPEG", wnids[label], label, number, (seed, 0, number))
        for number, (label, place) in enumerate(zip(labels.tolist(), np.concatenate(places), strict=True))
    ]
    cut: Kind = "cut"
    kinds = [*[cut] * corrupt, *ODD]
    for number, kind in zip(rng.permutation(count).tolist(), kinds, strict=False):
        pictures[number] = replace(pictures[number], kind=kind)
    return pictures


def _val(rng: np.random.Generator, wnids: Sequence[str], count: int, seed: int) -> list[Picture]:
    labels = rng.permutation(np.resize(np.arange(len(wnids)), count)).tolist()
    return [
        Picture(f"ILSVRC2012_val_{number + 1:08}.JPEG", wnids[label], label, number, (seed, 1, number))
        for number, label in enumerate(labels)
    ]


def _write_folders(output: Path, split: str, pictures: Sequence[Picture], side: int) -> int:
    total = 0
    for picture, content in _encoded(pictures, side, split):
        path = output / split / picture.wnid / picture.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        total += len(content)
    return total


def _write_archive(output: Path, split: str, pictures: Sequence[Picture], side: int) -> int:
    """Train as an archive with one of each synset, whose pictures must be neighbours; val as one archive."""
    total = 0
    encoded = _encoded(pictures, side, split)
    with tarfile.open(output / f"ILSVRC2012_img_{split}.tar", "w", format=tarfile.GNU_FORMAT) as outer:
        if split == "val":
            for picture, content in encoded:
                total += _add(outer, picture.name, content)
            return total
        for wnid, members in groupby(encoded, key=lambda pair: pair[0].wnid):
            memory = io.BytesIO()
            with tarfile.open(fileobj=memory, mode="w", format=tarfile.GNU_FORMAT) as inner:
                for picture, content in members:
                    total += _add(inner, picture.name, content)
            _add(outer, f"{wnid}.tar", memory.getvalue())
    return total


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> int:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
    return member.size


def _write_devkit(path: Path, meta: bytes, truth: bytes) -> None:
    root = "ILSVRC2012_devkit_t12"
    with (
        gzip.GzipFile(path, "wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        for name in (root, f"{root}/data"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(folder)
        _add(archive, f"{root}/data/meta.mat", meta)
        _add(archive, f"{root}/data/ILSVRC2012_validation_ground_truth.txt", truth)


def _meta(leaves: Sequence[str], internal: Sequence[str], ids: NDArray[np.int64], counts: NDArray[np.int64]) -> bytes:
    """meta.mat: the synsets by ILSVRC2012_ID, first the classes, then those above them."""
    from scipy.io import savemat

    names = ("ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children", "wordnet_height")
    synsets = np.empty((len(leaves) + len(internal), 1), [(name, object) for name in (*names, "num_train_images")])
    empty = np.empty((0, 0))
    for label, wnid in enumerate(leaves):
        number = int(ids[label])
        words, gloss = f"class {label}, thing {label}", f"what the images of class {label} show"
        synsets[number - 1, 0] = float(number), wnid, words, gloss, 0.0, empty, 0.0, float(counts[label])
    groups = np.array_split(np.arange(1.0, len(leaves) + 1), len(internal))
    for number, (wnid, children) in enumerate(zip(internal, groups, strict=True), len(leaves) + 1):
        row = float(number), wnid, f"group {number}", "some classes", max(1.0, len(children)), children[None], 1.0, 0.0
        synsets[number - 1, 0] = row
    memory = io.BytesIO()
    savemat(memory, {"synsets": synsets}, do_compression=True)
    return b"MATLAB 5.0 MAT-file".ljust(116) + memory.getvalue()[116:]  # scipy puts the date there


def _encoded(pictures: Sequence[Picture], side: int, title: str) -> Iterator[tuple[Picture, bytes]]:
    """The pictures with the bytes of their files, in order; of many, made in one process for each CPU."""
    progress = partial(tqdm, total=len(pictures), desc=title, unit="img", disable=None)
    encode = partial(_encode, side=side)
    workers = len(os.sched_getaffinity(0))
    if workers == 1 or len(pictures) * side**2 < WORTH_PROCESSES:
        yield from progress(zip(pictures, map(encode, pictures), strict=True))
        return
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        yield from progress(zip(pictures, pool.map(encode, pictures, chunksize=16), strict=True))


def _encode(picture: Picture, side: int) -> bytes:
    rng = np.random.default_rng(picture.stream)
    image = _crop(rng, side)
    _stamp(image, picture.label, picture.number)
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
    aspect, shape = 2 ** rng.uniform(-1, 1), int(rng.choice(len(OFTEN), p=OFTEN))
    shares = [*SHAPES, (min(1.0, aspect), min(1.0, 1 / aspect))][shape]
    draw = rng.random()
    scale = 1 if draw < 0.8 else rng.uniform(0.3, 1) if draw < 0.9 else rng.uniform(1, 2)
    scale = max(scale, SMALLEST / side / min(shares))
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


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="folder, made if needed")
    parser.add_argument("--train", type=int, default=6000, help="images to train on [%(default)s]")
    parser.add_argument("--val", type=int, default=1000, help="images to validate on [%(default)s]")
    parser.add_argument("--classes", type=int, default=1000, help="synsets [%(default)s]")
    parser.add_argument("--side", type=int, default=500, help="pixels on the longer side of most images [%(default)s]")
    parser.add_argument("--seed", type=int, default=0, help="decides every byte, with the numbers above [%(default)s]")
    parser.add_argument("--corrupt", type=int, default=0, help="files of train that are cut off [%(default)s]")
    parser.add_argument("--folders", action="store_true", help="write a folder for each class instead of archives")
    chosen = parser.parse_args()
    try:
        means = _make(**vars(chosen))
    except ValueError as error:
        parser.error(str(error))
    sizes = ", ".join(f"{split} {mean / 1000:.1f} KB an image" for split, mean in means.items())
    print(f"{chosen.output}: {sizes}")


if __name__ == "__main__":
    main()
