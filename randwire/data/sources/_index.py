"""Images in many files: where each one is, without reading it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from randwire.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SUFFIXES = {".jpeg", ".jpg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}


@dataclass(frozen=True)
class Index:
    """The images of a split: files `names` below the folder `root`, or pieces of the file `root`.

    `labels` (n,); `extents` (n, 2): offset and size of each image in the file, None for a folder.
    """

    root: Path
    names: Sequence[str]
    labels: "NDArray[np.integer]"
    extents: "NDArray[np.int64] | None" = None

    def read(self, number: int) -> bytes:
        """The content of an image file. Raises DataError if it is not there any more."""
        try:
            if self.extents is None:
                return (self.root / self.names[number]).read_bytes()
            offset, size = self.extents[number].tolist()
            content = os.pread(_open(self.root), size, offset)
        except OSError as error:
            raise DataError(f"{self.root}: {self.names[number]} cannot be read: {error.strerror}") from None
        if len(content) != size:
            raise DataError(f"{self.root}: was cut while it was read; fetch it again")
        return content

    def shuffled(self) -> "Index":
        """The same images in the order of the SHA-256 of their files' names.

        Instead of the order of classes, in which neighbours in the converted file would be of one class: so a part of
        it is like the whole. The same on every machine, and whether the files came in an archive or not.
        """
        import numpy as np

        keys = [sha256(name.rpartition("/")[2].encode(errors="surrogateescape")).digest() for name in self.names]
        order = sorted(range(len(keys)), key=lambda number: (keys[number], self.names[number]))
        extents = None if self.extents is None else self.extents[order]
        return Index(self.root, [self.names[number] for number in order], np.asarray(self.labels)[order], extents)


@cache
def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY)


def class_folders(root: Path, classes: Sequence[str] | None = None) -> tuple[list[str], Index]:
    """The classes of a folder of class folders, sorted by name, and its images, sorted by path.

    `classes`: those that there are, where another split decides. Raises DataError for no images or foreign classes.
    """
    import numpy as np

    if not root.is_dir():
        raise DataError(f"{root}: no such folder; it should hold a folder of images for each class")
    folders = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    classes = folders if classes is None else list(classes)
    if foreign := sorted(set(folders) - set(classes)):
        raise DataError(f"{root}: has the class {foreign[0]!r}, which the training images have not")
    names, labels = [], []
    for name in folders:
        inside = images_below(root / name)
        if not inside:
            raise DataError(f"{root / name}: holds no image; remove the folder or fill it")
        names += [f"{name}/{path}" for path in inside]
        labels += [classes.index(name)] * len(inside)
    if not names:
        raise DataError(f"{root}: holds no class folders with images")
    return list(classes), Index(root, names, np.array(labels, np.int32))


def images_below(folder: Path) -> list[str]:
    """The paths, from `folder`, of the image files in it and below, sorted; hidden ones are left out."""
    paths = []
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = Path(path).relative_to(folder)
        paths += [
            (inside / name).as_posix()
            for name in files
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
        ]
    return sorted(paths)
