"""Files of labels for images that lie in no class folders: what their lines say, and of which image."""

import csv
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from randwire.data.sources._folder_layout import TRAIN_NAMES, VAL_NAMES
from randwire.errors import DataError, system_text
from randwire.names import composed

KEYED_FILES = ("LOC_val_solution.csv", "val_annotations.txt", "val.txt", "val.csv", "val_labels.txt", "val_labels.csv")
"""Usual names of files that name each image beside its label."""
KEY_HEADS = (
    *("filename", "file_name", "fname", "file", "path", "image", "image_name", "img"),
    *("imageid", "image_id", "name", "id"),
)
LABEL_HEADS = ("predictionstring", "label", "labels", "class", "class_name", "category", "wnid", "synset", "target")
"""Usual names of columns, in lower case; of keys the first that is there counts, before those that may be of rows."""
SPLIT_HEADS = ("split", "subset", "set", "phase")
IMAGE_SUFFIX = re.compile(r"\.(jpe?g?|jfif|png|bmp|gif|webp|tiff?|p[bgpn]m|avif|jp2|heic|tga)$", re.IGNORECASE)
OTHER_SPLITS = (*VAL_NAMES, "test")
BOX_WORDS = 4
"""Numbers after a label that say where in the image it is."""


@dataclass(frozen=True)
class LabelFile:
    """What a file says, line by line.

    `texts` are the labels, names of classes or numbers; `keys` the names of the images, None: the lines are in the
    order of the images' numbers. `published`: it comes from those who numbered the images, so its order is known.
    """

    path: Path
    texts: Sequence[str]
    keys: Sequence[str] | None
    published: bool = False


def label_files_in(folders: Sequence[Path], names: Sequence[str]) -> list[Path]:
    """The files of these names in some folders, each once."""
    return each_once(folder / name for folder in folders for name in names if (folder / name).exists())


def each_once(paths: Iterable[Path]) -> list[Path]:
    """The paths without those that lead to the same place as one before."""
    first: dict[Path, Path] = {}
    for path in paths:
        first.setdefault(path.resolve(), path)
    return list(first.values())


def read_label_file(path: Path, classes: Container[str]) -> LabelFile:
    """The labels in a text file: a column of them, or lines of an image's name and its label.

    Name and label stand between tabs, commas, semicolons or blanks; a byte-order mark, empty lines and any line ends
    are accepted, and after a label the numbers of a box. A first line may name the columns, which then may be more.
    Raises DataError, with the line, for anything else.
    """
    lines = [(number, line) for number, line in enumerate(_text(path).splitlines(), 1) if line.strip()]
    if not lines:
        raise DataError(f"{path}: holds no labels: it is empty")
    if all(line.strip() in classes or not re.search(r"[\s,;]", line.strip()) for _, line in lines):
        return LabelFile(path, [line.strip() for _, line in lines], None)
    delimiter = next((mark for mark in "\t,;" if all(mark in line for _, line in lines)), None)
    columns = _columns([line for _, line in lines], delimiter, classes)
    keys, texts = [], []
    for number, line in lines if columns is None else lines[1:]:
        fields = _fields(line, delimiter, classes) if columns is None else _chosen(line, delimiter, columns)
        if fields is None or not all(fields):
            number, line = next(_unlike(lines), (number, line)) if delimiter is None else (number, line)
            raise DataError(f"{path}: line {number} is no name of an image and its label: {line.strip()[:80]!r}")
        keys.append(fields[0])
        texts.append(_one_label(path, number, fields[1], classes))
    return LabelFile(path, texts, keys)


def _unlike(lines: Sequence[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """The lines without a mark that most have: it is these that are wrong."""
    for mark in "\t,;":
        if 2 * sum(mark in line for _, line in lines) > len(lines):
            yield from (pair for pair in lines if mark not in pair[1])


def texts_by_name(file: LabelFile, names: Sequence[str], place: Path) -> tuple[list[str], int]:
    """The labels of images from a file that names them, and how many labels are of no image here.

    A name may have folders before it that the image has not, but not those of training, and the suffix of another
    format or none. Raises DataError for images without a label, with two, or not told apart by their names.
    """
    whole, stems = _numbers_by_name(names)
    found: dict[int, str] = {}
    foreign = []
    for key, text in zip(file.keys or (), file.texts, strict=True):
        base = _base(key)
        numbers = whole.get(base) or stems.get(base) or stems.get(stem(base)) or []
        if len(numbers) > 1:
            numbers = [number for number in numbers if _is_below_same(key, names[number])] or numbers
        if numbers and _is_of_train(key) and not _is_of_train(f"{place.name}/{names[numbers[0]]}"):
            numbers = []
        if len(numbers) > 1:
            first, second = (names[number] for number in numbers[:2])
            raise DataError(f"{file.path}: {key!r} may be {first} or {second} of {place}")
        if not numbers:
            foreign.append(key)
        elif found.setdefault(numbers[0], text) != text:
            raise DataError(f"{file.path}: gives {key!r} two labels: {found[numbers[0]]} and {text}")
    missing = [name for number, name in enumerate(names) if number not in found]
    if missing:
        instead = f"; it names {foreign[0]!r}, which is not there" if foreign else ""
        raise DataError(
            f"{file.path}: has no label for {len(missing):,} of the {len(names):,} images of {place}, such as "
            f"{missing[0]}{instead}"
        )
    return [found[number] for number in range(len(names))], len(foreign)


def _numbers_by_name(names: Sequence[str]) -> tuple[Mapping[str, list[int]], Mapping[str, list[int]]]:
    """The numbers of the images by the last part of their paths, and by that without its suffix."""
    whole: dict[str, list[int]] = {}
    stems: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        whole.setdefault(_base(name), []).append(number)
        stems.setdefault(stem(name), []).append(number)
    return whole, stems


def _base(name: str) -> str:
    return composed(name.replace("\\", "/").rpartition("/")[2])


def _folders(name: str) -> list[str]:
    """The folders of a path, the nearest first."""
    return [part for part in composed(name).replace("\\", "/").split("/")[-2::-1] if part not in ("", ".")]


def _is_below_same(key: str, name: str) -> bool:
    """Whether all folders of one of two paths are the nearest ones of the other."""
    first, second = _folders(key), _folders(name)
    count = min(len(first), len(second))
    return count > 0 and first[:count] == second[:count]


def _is_of_train(path: str) -> bool:
    """Whether the nearest folder of a path that is called as a split is one of training images."""
    split = next((part.lower() for part in _folders(path) if part.lower() in (*TRAIN_NAMES, *OTHER_SPLITS)), None)
    return split in TRAIN_NAMES


def stem(name: str) -> str:
    """The name of a file without its folders and the suffix of an image."""
    return IMAGE_SUFFIX.sub("", _base(name))


def _text(path: Path) -> str:
    if path.exists() and not path.is_file():  # a pipe would be waited at for ever
        raise DataError(f"{path}: holds no labels: it is no regular file")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {system_text(error)}") from None
    try:
        wide = content[:2] in (b"\xff\xfe", b"\xfe\xff")
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: holds no labels: it is no text in UTF-8 (byte {error.start})") from None
    if "\0" in text:
        raise DataError(f"{path}: holds no labels: it is no text (byte {text.index(chr(0))} is zero)")
    return composed(text)


class _Columns(NamedTuple):
    """Where name, label and the split of an image stand, if this does, among how many."""

    key: int
    label: int
    fields: int
    split: int | None = None


def _columns(lines: Sequence[str], delimiter: str | None, classes: Container[str]) -> _Columns | None:
    """Where name and label stand, among how many, if a first line says so: by its words, or as first and second.

    Of several columns of labels, such as numbers and names of classes, that with the most names of classes counts.
    """
    if delimiter is None:
        return None
    heads = [head.lower() for head in _split(lines[0], delimiter)]
    keys = [heads.index(name) for name in KEY_HEADS if name in heads]
    labels = [heads.index(name) for name in LABEL_HEADS if name in heads]
    if keys and labels:
        rows = [_split(line, delimiter) for line in lines[1:]] if len(labels) > 1 else []
        label = max(labels, key=lambda column: sum(row[column] in classes for row in rows if column < len(row)))
        return _Columns(
            keys[0], label, len(heads), next(map(heads.index, filter(heads.__contains__, SPLIT_HEADS)), None)
        )
    two = keys[:1] == [0] and len(heads) == 2 and _split(lines[0], delimiter)[1] not in classes
    return _Columns(0, 1, 2) if two else None


def _chosen(line: str, delimiter: str | None, columns: _Columns) -> list[str] | None:
    """Name and label of a line; a training image is named as in the folder of its split."""
    fields = _split(line, delimiter or ",")
    if len(fields) != columns.fields:
        return None
    key, label = fields[columns.key], fields[columns.label]
    split = "" if columns.split is None else fields[columns.split]
    return [f"{split}/{_base(key)}" if key and split.lower() in TRAIN_NAMES else key, label]


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return [field.strip() for field in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))]
    except csv.Error:  # of a field that is too long for one
        return []


def _fields(line: str, delimiter: str | None, classes: Container[str]) -> list[str] | None:
    """Name and label of a line, without the box behind them; None if it has not both, or more."""
    words = line.split() if delimiter is None else _split(line, delimiter)
    # Of numbers behind a number, such as 0,1,0, none is known to be the label.
    if len(words) == 2 + BOX_WORDS and all(map(_is_number, words[2:])) and not _is_number(words[1]):
        return words[:2]
    if delimiter is not None:
        return words if len(words) == 2 else None
    for count in range(1, len(words)):  # names and classes may have blanks
        if (label := " ".join(words[count:])) in classes:
            return [" ".join(words[:count]), label]
    return [" ".join(words[:-1]), words[-1]] if len(words) > 1 else None


def _one_label(path: Path, number: int, text: str, classes: Container[str]) -> str:
    """The label of a field that may hold boxes: a label and four numbers, for each object."""
    words = text.split()
    numbers = [word for index, word in enumerate(words) if index % (1 + BOX_WORDS)]
    if text in classes or len(words) % (1 + BOX_WORDS) or not all(map(_is_number, numbers)):
        return text
    labels = list(dict.fromkeys(words[:: 1 + BOX_WORDS]))
    if len(labels) > 1:
        raise DataError(f"{path}: line {number} has the labels {labels[0]} and {labels[1]} for one image")
    return labels[0]


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?[0-9]+(\.[0-9]*)?", text) is not None
