"""The files of a set: archives, or a folder for each class."""

import gzip
import io
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.imagenet_like.pictures import MIN_SIDE, Kind, Picture, encoded
from benchmarks.imagenet_like.stamp import LABEL_BITS, NUMBER_BITS

ODD_KINDS: tuple[Kind, ...] = ("png", "cmyk", "cmyk", "cmyk", "cmyk", "gray", "progressive")
"""The training images that are no plain JPEG files, though named as such."""
INTERNAL_SYNSETS = 12
"""Synsets in meta.mat that are no classes but above some."""


def make(
    output: Path,
    train: int,
    val: int,
    classes: int = 1000,
    side: int = 500,
    seed: int = 0,
    corrupt: int = 0,
    folders: bool = False,
) -> dict[str, float]:
    """Write a set of `train` and `val` images, most of them with `side` pixels on the longer side.

    The arguments decide every byte. A label is the index of the synset among the sorted ones. Numbers start from 0, in
    train by label and number in the file's name, in val by file name. `corrupt` files of train are cut off. Returns
    the mean bytes of a file in each split. Raises ValueError for impossible numbers.
    """
    if not 1 <= classes <= min(train, 1 << LABEL_BITS) or val < 1 or max(train, val) > 1 << NUMBER_BITS:
        raise ValueError(f"impossible {train=}, {val=} or {classes=}: every class needs an image in train")
    if side < MIN_SIDE or seed < 0 or not 0 <= corrupt <= train:
        raise ValueError(f"impossible {side=}, {seed=} or {corrupt=}: a side must have {MIN_SIDE} pixels")
    rng = np.random.default_rng(seed)
    wnids = [
        f"n{number:08}" for number in (rng.choice(14_000_000, classes + INTERNAL_SYNSETS, replace=False) + 1_440_764)
    ]
    leaves, internal = sorted(wnids[:classes]), wnids[classes:]
    pictures = {"train": _train(rng, leaves, train, seed, corrupt), "val": _val(rng, leaves, val, seed)}
    labels = [picture.label for picture in pictures["val"]]
    ids = rng.permutation(classes) + 1
    order = {wnid: index for index, wnid in enumerate(rng.permutation(leaves))}
    shuffled = {split: [files[i] for i in rng.permutation(len(files))] for split, files in pictures.items()}
    shuffled["train"].sort(key=lambda picture: order[picture.wnid])

    write = _write_folders if folders else _write_archive
    output.mkdir(parents=True, exist_ok=True)
    means = {split: write(output, split, files, side) / len(files) for split, files in shuffled.items()}
    if not folders:
        (output / "synset_labels.txt").write_text("".join(f"{leaves[label]}\n" for label in labels))
        counts = np.bincount([picture.label for picture in pictures["train"]])
        truth = "".join(f"{ids[label]}\n" for label in labels).encode()
        _write_devkit(output / "ILSVRC2012_devkit_t12.tar.gz", _meta(leaves, internal, ids, counts), truth)
    return means


def _train(rng: np.random.Generator, wnids: Sequence[str], count: int, seed: int, corrupt: int) -> list[Picture]:
    labels = np.sort(np.concatenate([np.arange(len(wnids)), rng.integers(len(wnids), size=count - len(wnids))]))
    file_numbers = [np.sort(rng.choice(max(60_000, n), n, replace=False)) + 1 for n in np.bincount(labels)]
    pictures = [
        Picture(f"{wnids[label]}_{file_number}.JPEG", wnids[label], label, number, (seed, 0, number))
        for number, (label, file_number) in enumerate(zip(labels.tolist(), np.concatenate(file_numbers), strict=True))
    ]
    cut: Kind = "cut"
    kinds = [*[cut] * corrupt, *ODD_KINDS]
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
    for picture, content in encoded(pictures, side, split):
        path = output / split / picture.wnid / picture.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        total += len(content)
    return total


def _write_archive(output: Path, split: str, pictures: Sequence[Picture], side: int) -> int:
    """Train as an archive with one of each synset, whose pictures must be neighbours; val as one archive."""
    total = 0
    files = encoded(pictures, side, split)
    with tarfile.open(output / f"ILSVRC2012_img_{split}.tar", "w", format=tarfile.GNU_FORMAT) as outer:
        if split == "val":
            for picture, content in files:
                total += _add(outer, picture.name, content)
            return total
        for wnid, members in groupby(files, key=lambda pair: pair[0].wnid):
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
