"""The two sets of CIFAR, from the archives that were published: of Python or of the binary version, or unpacked."""

import io
import pickle
import posixpath
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from randwire.data.sources._archives import SUFFIXES, members
from randwire.data.sources._base import SPLITS, Source, Split
from randwire.data.sources._found import folder_of
from randwire.errors import DataError, one_line, system_text
from randwire.names import decoded
from randwire.storage import contents

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDE_PIXELS = 32
PUBLISHED_VAL = 10_000
IMAGE_BYTES = 3 * SIDE_PIXELS * SIDE_PIXELS
ALLOWED_CLASSES = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}
"""What a pickled array needs. Anything else in a pickle could run code."""


class Cifar(Source):
    """Contract of both: the names of their files, and what stands in them."""

    splits: ClassVar[Mapping[Split, Sequence[str]]]
    """The files of a split; the binary ones end in .bin."""
    meta: ClassVar[tuple[str, str]]
    """The files with the names of the classes: of the Python version, of the binary version."""
    keys: ClassVar[tuple[bytes, bytes]]
    """The keys, in the Python version, of labels and of the names of the classes."""
    label_bytes: ClassVar[int]
    """Bytes before the pixels of a record of the binary version; the last one is the label."""
    published: ClassVar[Mapping[str, str]]
    """The folders that the published archives hold, of the binary version first, and the archives without suffix."""
    kin: ClassVar[tuple[str, frozenset[str]]]
    """The other source, and files that it alone has."""

    def class_names(self) -> Sequence[str]:
        return self._content[0]

    def labels(self, split: Split) -> "NDArray[np.int64]":
        return self._content[1][split][1]

    def image(self, split: Split, index: int) -> "NDArray[np.uint8]":
        planes: NDArray[np.uint8] = self._content[1][split][0][index]
        return planes.reshape(3, SIDE_PIXELS, SIDE_PIXELS).transpose(1, 2, 0).copy()

    @cached_property
    def _content(self) -> "tuple[list[str], dict[Split, tuple[NDArray[np.uint8], NDArray[np.int64]]]]":
        import numpy as np

        assert self.input is not None
        files = self._files(self.input)
        binary = f"{self.splits['val'][0]}.bin" in files
        read: Callable[[str, bytes], Any] = self._binary if binary else self._pickled
        arrays: dict[Split, tuple[NDArray[np.uint8], NDArray[np.int64]]] = {}
        self._check_different(files, ".bin" if binary else "")
        for split, names in self.splits.items():
            parts = [read(name, self._file(files, f"{name}.bin" if binary else name)) for name in names]
            pixels, labels = (np.concatenate(side) for side in zip(*parts, strict=True))
            if len(labels) and not 0 <= labels.min() <= labels.max() < (self.class_count or 0):
                foreign = labels.max() if labels.min() >= 0 else labels.min()
                raise DataError(f"{self.input}: label {foreign} in {', '.join(names)}; there are {self.class_count}")
            arrays[split] = pixels, labels
        meta = self._file(files, self.meta[binary])
        if binary:
            classes = decoded(meta).split()
        else:
            try:
                classes = list(map(decoded, _unpickle(meta, self.meta[0], self.input)[self.keys[1]]))
            except (KeyError, TypeError, AttributeError):
                raise DataError(f"{self.input}: {self.meta[0]} holds no {self.keys[1].decode()}") from None
        if len(classes) != self.class_count:
            raise DataError(f"{self.input}: names {len(classes)} classes, not {self.class_count}")
        return classes, arrays

    def notes(self) -> list[str]:
        counts = {split: len(self.labels(split)) for split in SPLITS}
        published = {"train": self.train_images, "val": PUBLISHED_VAL}
        return [
            f"{counts[split]:,} {split} images; the published set has {published[split]:,}"
            for split in SPLITS
            if counts[split] != published[split]
        ]

    def _files(self, input: Path) -> Mapping[str, bytes]:
        """The content of the files of one version by name, of an archive, of a folder or of one below it."""
        names = {name for names in self.splits.values() for name in names} | set(self.meta)
        wanted = names | {f"{name}.bin" for name in names}
        tests = {self.splits["val"][0], f"{self.splits['val'][0]}.bin"}
        if input.is_dir():
            known = (".", *self.published)
            if found := folder_of(input, known, lambda folder: any((folder / name).is_file() for name in tests)):
                return {name: _read(found / name) for name in wanted if (found / name).is_file()}
            packed = (input / f"{stem}{suffix}" for stem in self.published.values() for suffix in SUFFIXES)
            archive = next((path for path in packed if path.is_file()), None)
            if archive is None:
                self._refuse_kin({path.name for path in input.rglob("*") if path.is_file()})
                raise DataError(
                    f"{input}: holds no {' or '.join(sorted(tests))}; it holds {contents(input)} (images as files: "
                    "source folder)"
                )
            input = archive
        if not input.exists():
            raise DataError(f"{input}: no such archive or folder")
        by_folder: dict[str, dict[str, bytes]] = {}
        seen = set()
        for member in members(input):
            folder, name = posixpath.split(member.path)
            seen.add(name)
            if name in wanted and member.target is None:
                by_folder.setdefault(folder, {})[name] = member.content.read()
        found_in = [folder for folder, files in by_folder.items() if tests & set(files)]
        if not found_in:
            self._refuse_kin(seen)
            raise DataError(
                f"{input}: holds no {' or '.join(sorted(tests))}, but {', '.join(sorted(seen)[:5]) or 'nothing'}"
            )
        if len(found_in) > 1:
            raise DataError(
                f"{input}: holds the set more than once, in {found_in[0]} and {found_in[1]}; unpack one of them"
            )
        return by_folder[found_in[0]]

    def _refuse_kin(self, names: set[str]) -> None:
        source, files = self.kin
        if files <= names or {f"{name}.bin" for name in files} <= names:
            raise DataError(
                f"{self.input}: holds {' and '.join(sorted(files))}, the files of the source {source}; name that"
            )

    def _check_different(self, files: Mapping[str, bytes], suffix: str) -> None:
        """Raise DataError if two files with images are the same: images would be twice there, or in both splits."""
        first: dict[bytes, str] = {}
        for name in (f"{name}{suffix}" for names in self.splits.values() for name in names):
            if name in files and (other := first.setdefault(files[name], name)) != name:
                raise DataError(f"{self.input}: {other} and {name} are the same file")

    def _file(self, files: Mapping[str, bytes], name: str) -> bytes:
        if name not in files:
            raise DataError(f"{self.input}: holds no {name}")
        return files[name]

    def _binary(self, name: str, content: bytes) -> "tuple[NDArray[np.uint8], NDArray[np.int64]]":
        import numpy as np

        size = self.label_bytes + IMAGE_BYTES
        if not content or len(content) % size:
            raise DataError(f"{self.input}: {name}.bin of {len(content)} bytes is no number of records of {size}")
        rows = np.frombuffer(content, np.uint8).reshape(-1, size)
        return rows[:, self.label_bytes :], rows[:, self.label_bytes - 1].astype(np.int64)

    def _pickled(self, name: str, content: bytes) -> "tuple[NDArray[np.uint8], NDArray[np.int64]]":
        import numpy as np

        assert self.input is not None
        batch = _unpickle(content, name, self.input)
        try:
            pixels, labels = np.asarray(batch[b"data"]), np.asarray(batch[self.keys[0]], np.int64)
        except (KeyError, TypeError, ValueError):
            raise DataError(f"{self.input}: {name} holds no images with {self.keys[0].decode()}") from None
        if pixels.dtype != np.uint8 or pixels.shape != (len(labels), IMAGE_BYTES) or not len(labels):
            raise DataError(f"{self.input}: {name} does not hold images of 32x32 pixels, each with a label")
        return pixels, labels


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED_CLASSES:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no part of an array")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _unpickle(content: bytes, name: str, path: Path) -> Mapping[bytes, Any]:
    try:
        batch = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:  # damaged bytes can make the reader raise anything
        raise DataError(f"{path}: {name} is damaged or foreign: {one_line(error)}") from None
    if not isinstance(batch, dict):
        raise DataError(f"{path}: {name} is foreign: it holds no dictionary")
    return batch


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {system_text(error)}") from None
