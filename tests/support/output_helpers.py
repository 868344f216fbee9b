"""Small sets for the tests of where a conversion writes, and what is found there."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from data_helpers import Image, InMemory, noise, plain
from PIL import Image as Picture

from randwire.data import prepare
from randwire.data.convert import convert

NAMES = {"train.beton", "val.beton", "dataset.json"}
OLD, NEW = noise(5, 8, 8, seed=1), noise(7, 8, 8, seed=2)


def convert_to(output: Path, images: Sequence[Image] = NEW, force: bool = False) -> None:
    convert(InMemory({"train": images, "val": images}), "digits", output, force)


def images_in(folder: Path) -> int:
    """How many there are in the set, which is whole."""
    sizes = prepare(plain(folder)).sizes
    assert sizes["train"] == sizes["val"]
    return sizes["train"]


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def make_folder(folder: Path) -> Path:
    """Two classes of one tiny image in each split."""
    for split in ("train", "val"):
        for label, name in enumerate(("cat", "dog")):
            (folder / split / name).mkdir(parents=True)
            Picture.fromarray(noise(2, 8, 8)[label]).save(folder / split / name / "a.png")
    return folder


@contextmanager
def plain_user() -> Iterator[None]:
    """The block runs as a user whom permissions bind."""
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(65534)
        yield
    finally:
        if root:
            os.seteuid(0)
