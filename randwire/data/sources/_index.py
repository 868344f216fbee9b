"""Images in many files: where each one is, without reading it."""

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from randwire.data.sources._scan import scan
from randwire.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WHOLE = -1
"""In the place of an offset: the image is the whole file."""

KEPT_OPEN = 100
"""Files of an index that are not closed between two images; of more, each is opened for each: 1024 may be open."""


@dataclass(frozen=True)
class Index:
    """The images of a split.

    `names` are their paths below `root`, a folder or an archive, and `labels` (n,) what they show. `extents` (n, 3) say
    where each image is in a file: the number of the file in `files`, the offset and the size; None: each is the file of
    its name. `left_out` are the paths, by the reason, of what was found and is no image.
    """

    root: Path
    names: Sequence[str]
    labels: "NDArray[np.integer]"
    extents: "NDArray[np.int64] | None" = None
    files: Sequence[Path] = ()
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def name(self, number: int) -> str:
        """What an image is called in a message."""
        return str(self.root / self.names[number])

    def read(self, number: int) -> bytes:
        """The content of an image file. Raises DataError, with its name, if it cannot be read."""
        try:
            if self.extents is None:
                return _whole(self.root / self.names[number])
            file, offset, size = self.extents[number].tolist()
            content = _part(self.files[file], offset, size, len(self.files) <= KEPT_OPEN)
        except OSError as error:
            raise DataError(f"{self.name(number)}: cannot be read: {error.strerror}") from None
        if len(content) != size:
            raise DataError(f"{self.files[file]}: was cut while it was read; fetch it again")
        return content

    def shuffled(self) -> "Index":
        """The same images in the order of the SHA-256 of their files' names.

        Instead of the order of classes, in which neighbours in the converted file would be of one class: so a part of
        it is like the whole. The same on every machine, and whether the files came in an archive or not.
        """
        keys = [sha256(name.rpartition("/")[2].encode(errors="surrogateescape")).digest() for name in self.names]
        return self.taken(sorted(range(len(keys)), key=lambda number: (keys[number], self.names[number])))

    def taken(self, numbers: Sequence[int]) -> "Index":
        """The images of these numbers, in their order."""
        import numpy as np

        order = np.asarray(numbers, np.int64)
        extents = None if self.extents is None else self.extents[order]
        names = [self.names[number] for number in order]
        return replace(self, names=names, labels=np.asarray(self.labels)[order], extents=extents)


def _whole(path: Path) -> bytes:
    """The content of a regular file: a pipe would be waited at for ever."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "it is no regular file")
        return file.read()


def _part(path: Path, offset: int, size: int, kept_open: bool) -> bytes:
    if kept_open:
        return os.pread(_open(path), size, offset)
    with open(path, "rb", buffering=0) as file:
        return os.pread(file.fileno(), size, offset)


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
        inside = scan(root / name).images
        if not inside:
            raise DataError(f"{root / name}: holds no image; remove the folder or fill it")
        names += [f"{name}/{path}" for path in inside]
        labels += [classes.index(name)] * len(inside)
    if not names:
        raise DataError(f"{root}: holds no class folders with images")
    return list(classes), Index(root, names, np.array(labels, np.int32))
