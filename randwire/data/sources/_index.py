"""Images in many files: where each one is, without reading it."""

import errno
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from randwire.data.formats import counted
from randwire.data.sources._scan import scan
from randwire.data.sources._sift import Scan, in_order
from randwire.errors import DataError, system_text
from randwire.names import below, composed, encoded, is_utf8, printable, quoted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OUTSIDE = "images outside of the class folders"
KEPT_OPEN = 100
"""Files of an index that are not closed between two images; of more, each is opened for each: 1024 may be open."""


@dataclass(frozen=True)
class Index:
    """The images of a split.

    `names` are their paths below `root`, a folder or an archive, held as in `randwire.names`; `labels` (n,) are what
    they show. `extents` (n, 3) say where each image is in a file: the number of the file in `files`, the offset and the
    size; None: each is the file of its name. `left_out` are the paths, by the reason, of what was found and is no
    image; `notes` are lines for the user.
    """

    root: Path
    names: Sequence[str]
    labels: "NDArray[np.integer]"
    extents: "NDArray[np.int64] | None" = None
    files: Sequence[Path] = ()
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def name(self, number: int) -> str:
        """What an image is called in a message."""
        return f"{printable(self.root)}/{printable(self.names[number])}"

    def read(self, number: int) -> bytes:
        """The content of an image file. Raises DataError, with its name, if it cannot be read."""
        try:
            if self.extents is None:
                return _whole(below(self.root, self.names[number]))
            file, offset, size = self.extents[number].tolist()
            content = _part(self.files[file], offset, size, len(self.files) <= KEPT_OPEN)
        except OSError as error:
            raise DataError(f"{self.name(number)}: cannot be read: {system_text(error)}") from None
        if len(content) != size:
            raise DataError(
                f"{self.name(number)}: cannot be read: {printable(self.files[file])} has become shorter since the "
                "conversion began"
            )
        return content

    def shuffled(self) -> "Index":
        """The same images in the order of the SHA-256 of their files' names.

        Instead of the order of classes, in which neighbours in the converted file would be of one class: so a part of
        it is like the whole. The same on every machine, and whether the files came in an archive or not.
        """
        keys = [sha256(encoded(name.rpartition("/")[2])).digest() for name in self.names]
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
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        if not path.is_symlink():
            raise
        raise OSError(errno.ENOENT, f"it is a link to {printable(path.readlink())}, which is not there") from None
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise OSError(errno.EISDIR, "it is a folder that could not be listed")
        if not stat.S_ISREG(mode):
            raise OSError(0, "it is no regular file")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


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
    if not root.is_dir():
        raise DataError(f"{printable(root)}: no such folder; it should hold a folder of images for each class")
    return by_class(scan(root), root, classes)


def by_class(found: Scan, root: Path, classes: Sequence[str] | None = None) -> tuple[list[str], Index]:
    """The same of what was found in `root`, a folder or an archive: its folders are the classes.

    Class names are composed (`names.composed`): folders whose names differ in their form alone are one class. Raises
    DataError, also for a class that is not named in UTF-8.
    """
    import numpy as np

    where = printable(root)
    if bare := [folder for folder in found.folders if not is_utf8(folder)]:
        raise DataError(f"{where}: the name of the class {quoted(bare[0])} is not UTF-8; rename the folder")
    class_of = {folder: composed(folder) for folder in found.folders}
    classes = sorted(set(class_of.values())) if classes is None else list(classes)
    number = {name: label for label, name in enumerate(classes)}
    if foreign := sorted(set(class_of.values()) - set(number)):
        raise DataError(f"{where}: has the class {quoted(foreign[0])}, which the training images have not")
    images: list[str] = []
    loose: list[str] = []
    for name in found.images:
        (images if name.partition("/")[0] in class_of else loose).append(name)
    if broken := next((path for name in loose if (path := below(root, name)).is_symlink() and not path.exists()), None):
        raise DataError(f"{printable(broken)}: is a link to {printable(broken.readlink())}, which is not there")
    labels = [number[class_of[name.partition("/")[0]]] for name in images]
    with_images = set(labels)
    if empty := [folder for folder, name in class_of.items() if number[name] not in with_images]:
        raise DataError(f"{where}/{printable(empty[0])}: {_without_image(found, empty[0])}")
    left_out = in_order({**found.left_out, **({OUTSIDE: loose} if loose else {})})
    if not images:
        held = [counted(len(paths), reason) for reason, paths in left_out.items()]
        raise DataError(f"{where}: holds no class folders with images{', but ' * bool(held)}{' and '.join(held)}")
    notes = [
        f"{where}: {' and '.join(map(quoted, folders))} are one class, in two forms of the same letters"
        for folders in _of_one_class(class_of)
    ]
    return list(classes), Index(root, images, np.array(labels, np.int32), left_out=left_out, notes=notes)


def _of_one_class(class_of: Mapping[str, str]) -> list[list[str]]:
    """The folders, by class, of classes that have several."""
    folders: dict[str, list[str]] = {}
    for folder, name in class_of.items():
        folders.setdefault(name, []).append(folder)
    return [several for several in folders.values() if len(several) > 1]


def _without_image(found: Scan, folder: str) -> str:
    """What is told of the folder of a class without an image."""
    inside = {
        reason: sum(path == folder or path.startswith(f"{folder}/") for path in paths)
        for reason, paths in found.left_out.items()
    }
    counts = [counted(number, reason) for reason, number in inside.items() if number]
    if not counts:
        return "holds no image: it is empty; fill or remove the folder"
    return (
        f"holds no image that can be read here, but {' and '.join(counts)}; a class needs images, such as JPEG or PNG"
    )
