"""Images in Parquet files, as Hugging Face's data sets have them: encoded images, with a label each."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from randwire.data.sources._spool import Spool, check_free, progress
from randwire.errors import DataError, brief, system_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCH_ROWS = 64
"""Rows that are in memory at a time."""
PART = r"(?P<split>[A-Za-z]+)(-(?P<number>\d+)-of-(?P<count>\d+))?(-[0-9a-f]+)?\.parquet"


class Rows(NamedTuple):
    """The images of some Parquet files, in their order.

    `paths` are the names that the images had as files, None where there is none; `labels` (n,) are numbers of
    `classes`, or, if these are None, what stands in the files. `extents` (n, 3) are as in Index, of `files`.
    """

    paths: Sequence[str | None]
    labels: "Sequence[Any]"
    classes: Sequence[str] | None
    extents: "NDArray[np.int64]"
    files: Sequence[Path]
    notes: Sequence[str]


def parts(folder: Path, names: Sequence[str]) -> list[Path]:
    """The files of the first split of `names` that a folder has, such as train-00000-of-00002.parquet, in their order.

    Those of a folder of the split's name count, too. Raises DataError if the numbers in the names say that one is
    missing.
    """
    found: dict[str, list[tuple[Path, re.Match[str]]]] = {}
    for path in sorted(folder.glob("*.parquet")):
        if match := re.fullmatch(PART, path.name):
            found.setdefault(match["split"].lower(), []).append((path, match))
    for name in names:
        if files := found.get(name):
            counts = {int(match["count"]) for _, match in files if match["count"]}
            numbers = [int(match["number"]) for _, match in files if match["number"]]
            if counts and (len(counts) > 1 or sorted(numbers) != list(range(max(counts))) or len(numbers) < len(files)):
                raise DataError(
                    f"{folder}: holds {len(files)} files such as {files[0][0].name}, which are not the {max(counts)} "
                    "parts of one set, each once"
                )
            return [path for path, _ in files]
        if inside := sorted((folder / name).glob("*.parquet")):
            return inside
    return []


def read_rows(paths: Sequence[Path], scratch: Path | None) -> Rows:
    """The images of Parquet files, unpacked to one file in `scratch`.

    Raises DataError for files that are none or hold no images with labels, and for a disk without room.
    """
    import numpy as np

    columns = _columns(paths[0])
    spool = Spool(scratch, paths[0])
    check_free(paths[0].parent, spool.path.parent, sum(path.stat().st_size for path in paths))
    found: list[str | None] = []
    labels: list[Any] = []
    extents = []
    with progress(f"unpacking {paths[0].name}", "images") as bar:
        for path in paths:
            if (other := _columns(path)) != columns:
                raise DataError(f"{path}: differs from {paths[0].name} in its columns or classes: {other.label}")
            for row, (content, name, label) in enumerate(_rows(path, columns)):
                if content is None:
                    raise DataError(f"{path}: row {row} holds no image, only the name {name!r}; images inside are read")
                if label is not None and not isinstance(label, int | str):
                    raise DataError(
                        f"{path}: row {row} has a label of the type {type(label).__name__}, no number or name"
                    )
                if not _is_class(label, columns.classes):
                    raise DataError(f"{path}: row {row} has the label {label!r}, which is none of the classes")
                extents.append((0, *spool.add_block(content)))
                found.append(name)
                labels.append(label)
                bar.update()
    spool.close()
    if not found:
        raise DataError(f"{paths[0]}: holds no rows")
    places = np.array(extents, np.int64).reshape(-1, 3)
    return Rows(found, labels, columns.classes, places, [spool.path], columns.notes)


def _is_class(label: int | str | None, classes: Sequence[str] | None) -> bool:
    """Whether a label means a class; without names of classes, -1 and an empty text stand for images without one."""
    if isinstance(label, int):
        return label >= 0 and (classes is None or label < len(classes))
    return bool(label) and classes is None


class _Columns(NamedTuple):
    """Which columns hold the images and the labels, the names of the classes, and what to say of the choice."""

    image: str
    label: str
    classes: tuple[str, ...] | None
    notes: tuple[str, ...]


def _columns(path: Path) -> _Columns:
    import pyarrow
    import pyarrow.parquet

    with _told(path):
        schema = pyarrow.parquet.read_schema(path)
    features = _features(schema.metadata or {})
    images = [field.name for field in schema if _holds_images(field.type)]
    classed = [name for name in schema.names if features.get(name, {}).get("_type") == "ClassLabel"]
    others = [name for name in ("label", "labels", "class", "target") if name in schema.names and name not in images]
    labels = classed or others
    if not images or not labels:
        what = "images" if not images else "labels"
        raise DataError(f"{path}: has the columns {', '.join(schema.names)}, none of them with {what}")
    if len(images) > 1:
        raise DataError(f"{path}: has several columns with images: {', '.join(images)}")
    named = {name: features.get(name, {}).get("names") for name in labels}
    if wrong := [name for name, names in named.items() if not isinstance(names, list | None)]:
        raise DataError(f"{path}: what should be the names of the classes of {wrong[0]} is no list")
    label = max(labels, key=lambda name: (name == "label", len(named[name] or ())))
    names = named[label]
    if names is not None and len(set(map(str, names))) < len(names):
        raise DataError(f"{path}: names a class of the column {label} twice")
    left = [name for name in labels if name != label]
    notes = (f"{path.name}: labels are of the column {label}, not {', '.join(left)}",) if left else ()
    return _Columns(images[0], label, None if names is None else tuple(map(str, names)), notes)


def _features(metadata: Mapping[bytes, bytes]) -> Mapping[str, Any]:
    """What Hugging Face says of each column."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return {name: value for name, value in features.items() if isinstance(value, dict)}


def _holds_images(kind: Any) -> bool:
    import pyarrow.types as types

    if types.is_struct(kind):
        return any(field.name == "bytes" for field in kind)
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _rows(path: Path, columns: _Columns) -> Iterator[tuple[memoryview | None, str | None, Any]]:
    """The content of each image, the name of its file and its label."""
    import pyarrow.compute
    import pyarrow.parquet

    with _told(path), pyarrow.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(BATCH_ROWS, columns=[columns.image, columns.label], use_threads=False):
            images = batch.column(columns.image)
            names: Sequence[str | None] = [None] * len(images)
            if pyarrow.types.is_struct(images.type):
                if any(field.name == "path" for field in images.type):
                    names = pyarrow.compute.struct_field(images, "path").to_pylist()
                images = pyarrow.compute.struct_field(images, "bytes")
            for image, name, label in zip(images, names, batch.column(columns.label).to_pylist(), strict=True):
                content = image.as_buffer()
                yield None if content is None else memoryview(content), name, label


@contextmanager
def _told(path: Path) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except DataError:
        raise
    except (pyarrow.ArrowException, ValueError, TypeError, LookupError, ArithmeticError) as error:  # what damage causes
        raise DataError(f"{path}: cannot be read as Parquet ({path.stat().st_size:,} bytes): {brief(error)}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {system_text(error)}") from None
