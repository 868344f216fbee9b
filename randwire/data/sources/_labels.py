"""Labels of images that lie in no class folders, by their names or by the numbers in these."""

import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from randwire.data.sources._index import Index
from randwire.data.sources._label_file import LabelFile, stem, texts_by_name
from randwire.data.sources._published import IMAGES, are_published_labels, have_published_names
from randwire.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WNID_IN_NAME = re.compile(r"(.+)_(n[0-9]{8})$")
"""The stem of a file that was published with its label in its name."""


def assign_labels(
    files: Sequence[LabelFile],
    names: Sequence[str],
    place: Path,
    classes: Sequence[str],
    ids: Mapping[int, str] | None = None,
    known: Sequence[str | None] | None = None,
) -> "tuple[NDArray[np.integer], list[str]]":
    """The labels (n,) of the images `names` of `place`, a folder or an archive, and notes for the user.

    They are `known`, stand in the names, or in `files`; where there are several, they must say the same. `ids` are the
    classes by the numbers that the development kit of ImageNet gives them. Raises DataError for images without a label,
    without a number or with that of another one, and for labels that are no class.
    """
    import numpy as np

    number = {name: label for label, name in enumerate(classes)}
    answers: list[tuple[str, NDArray[np.integer]]] = []
    notes = []
    if known is None and labels_in_names(names, number):
        known = [_wnid_in_name(name) for name in names]
    if known is not None:
        texts = [str(text) for text in known]
        answers.append((str(place), _class_numbers(LabelFile(place, texts, names), texts, number, ids)))
    for file in files:
        texts, more = _texts(file, names, place)
        notes += more
        answers.append((str(file.path), _class_numbers(file, texts, number, ids)))
        if "0" in file.texts and "0" not in number:
            notes.append(
                f"{file.path}: its numbers count as the places of the sorted classes: 0 is {classes[0]}, "
                f"{len(classes) - 1} is {classes[-1]}"
            )
    if not answers:
        raise DataError(f"{place}: the labels of its images are missing")
    check_agreement(answers, names, place, classes)
    source, labels = answers[0]
    keyed = known is not None or any(file.keys is not None for file in files)
    published = are_published_labels(labels, names, classes, source)
    if published is False:
        notes.append(not_published(source, keyed))
    ordered = published or any(file.published and have_published_names(names) for file in files)
    if not keyed and not ordered:
        notes.append(
            f"the labels of {place} are the lines of {source} in the order of the numbers in the images' names; "
            "that they are in this order is trusted"
        )
    return labels, notes


def not_published(source: str, keyed: bool = True) -> str:
    """What is told of labels that are not the published ones of all published images.

    Raises DataError instead if they are not `keyed`, but lines in an order: then it is another order.
    """
    text = f"{source}: the labels are not those that the {IMAGES:,} images were published with"
    if not keyed:
        raise DataError(f"{text}, in the order of their numbers; name the development kit or LOC_val_solution.csv")
    return text


def compare(
    sources: Sequence[Path],
    read: Callable[[Path], tuple[Sequence[LabelFile], Mapping[int, str] | None]],
    index: Index,
    classes: Sequence[str],
    strict: bool,
) -> list[str]:
    """Notes about files of labels, `sources`, beside images whose labels come from class folders.

    `read` returns what a file says, and the numbers of classes as in `assign_labels`. Raises DataError where a file
    says something else than the folders, and, if `strict`, where it cannot be used.
    """
    notes, known = [], set(classes)
    for source in sources:
        try:
            files, ids = read(source)
            labels = assign_labels(files, index.names, index.root, classes, ids)[0]
        except DataError as error:
            if strict:
                raise
            notes.append(f"not compared with the class folders of {index.root}: {error}")
            continue
        numbered = all(text.isdecimal() and text not in known for file in files for text in file.texts)
        if not strict and numbered and _renumbered(index.labels, labels):
            notes.append(
                f"not compared with the class folders of {index.root}: {source}: its numbers are not the places of the "
                "sorted classes, but those of another order"
            )
            continue
        check_agreement([("its folder", index.labels), (str(source), labels)], index.names, index.root, classes)
    return notes


def _renumbered(labels: "NDArray[np.integer]", others: "NDArray[np.integer]") -> bool:
    """Whether two labels of the same images differ, but only in how each class is numbered."""
    pairs = set(zip(labels.tolist(), others.tolist(), strict=True))
    sides = [set(side) for side in zip(*pairs, strict=True)]
    return any(one != other for one, other in pairs) and all(len(side) == len(pairs) for side in sides)


def image_numbers(names: Sequence[str], place: Path, count: int, source: Path) -> list[int]:
    """For each image the index, from 0, of its line among `count` in `source`: by the number in its name.

    Numbers start from 1; where not all images are named as those of ImageNet, also from 0. Raises DataError unless
    each number occurs once.
    """
    numbers: dict[int, str] = {}
    keys = []
    prefix = None
    for name in names:
        match = re.fullmatch(r"(.*?)([0-9]+)", WNID_IN_NAME.sub(r"\1", stem(name)))
        if match is None:
            raise DataError(f"{place}: {name} does not end in a number, and {source} tells of images by their numbers")
        prefix = match[1] if prefix is None else prefix
        if match[1] != prefix:
            raise DataError(
                f"{place}: {name} is named otherwise than {names[0]}, and {source} tells of images by their numbers"
            )
        number = int(match[2])
        if number in numbers:
            raise DataError(f"{place}: {numbers[number]} and {name} have the same number, {number}")
        numbers[number] = name
        keys.append(number)
    first = 0 if 0 in numbers and not have_published_names(names) else 1
    missing = next((number for number in range(first, first + count) if number not in numbers), None)
    if len(names) != count:
        gap = f"; no image has the number {missing}" if missing is not None and count > len(names) else ""
        raise DataError(f"{source}: {count} labels for the {len(names)} images of {place}{gap}")
    if missing is not None:
        beyond = next(name for number, name in numbers.items() if not first <= number < first + count)
        raise DataError(f"{place}: no image has the number {missing}, and {beyond} is beyond those of the labels")
    return [number - first for number in keys]


def labels_in_names(names: Sequence[str], classes: Container[str]) -> bool:
    """Whether the name of each image ends in the WordNet ID that its class is called by."""
    return all(_wnid_in_name(name) in classes for name in names)


def wnids_in_names(names: Sequence[str]) -> list[str]:
    """The WordNet IDs that the names of images end in; all of them must do so."""
    return [wnid for name in names if (wnid := _wnid_in_name(name))]


def _wnid_in_name(name: str) -> str | None:
    match = WNID_IN_NAME.fullmatch(stem(name))
    return None if match is None else match[2]


def _texts(file: LabelFile, names: Sequence[str], place: Path) -> tuple[list[str], list[str]]:
    if file.keys is None:
        indexes = image_numbers(names, place, len(file.texts), file.path)
        return [file.texts[index] for index in indexes], []
    texts, foreign = texts_by_name(file, names, place)
    return texts, [f"{file.path}: {foreign:,} labels are of images that {place} does not hold"] if foreign else []


def _class_numbers(
    file: LabelFile, texts: Sequence[str], number: Mapping[str, int], ids: Mapping[int, str] | None
) -> "NDArray[np.int32]":
    import numpy as np

    foreign = [text for text in texts if text not in number]
    if foreign and all(re.fullmatch("[0-9]+", text) for text in texts):
        if file.keys is None or any(re.fullmatch("[0-9]+", name) for name in number):
            raise DataError(
                f"{file.path}: holds numbers of an order of their own; give the names of the classes, or, of ImageNet, "
                "name the whole development kit, ILSVRC2012_devkit_t12.tar.gz"
            )
        return np.array(list(_by_index(file, [int(text) for text in texts], number, ids)), np.int32)
    if foreign:
        raise DataError(
            f"{file.path}: {foreign[0]!r} is not the name of a class of the training images (--val-labels chooses "
            "another file)"
        )
    return np.array([number[text] for text in texts], np.int32)


def _by_index(
    file: LabelFile, values: Sequence[int], number: Mapping[str, int], ids: Mapping[int, str] | None
) -> Iterator[int]:
    """The labels that numbers mean: the index of a class among the sorted ones, if 0 occurs; an ID of the kit if not.

    Of all lines of the file, not only those of the images that are there.
    """
    every = [int(text) for text in file.texts if re.fullmatch("[0-9]+", text)]
    count = len(number)
    if 0 in every and max(every) < count:
        yield from values
    elif 0 not in every and max(every) <= count and ids is not None:
        yield from (number[ids[value]] for value in values)
    else:
        raise DataError(
            f"{file.path}: labels are numbers from {min(every)} to {max(every)}, and only those from 0 to {count - 1} "
            "surely are the places of the classes in their order; give the names of the classes"
        )


def check_agreement(
    answers: "Sequence[tuple[str, NDArray[np.integer]]]", names: Sequence[str], place: Path, classes: Sequence[str]
) -> None:
    first, labels = answers[0]
    for second, others in answers[1:]:
        differing = (labels != others).nonzero()[0]
        if len(differing):
            at = int(differing[0])
            raise DataError(
                f"{place}: {len(differing):,} labels differ: {names[at]} is {classes[labels[at]]} by {first} and "
                f"{classes[others[at]]} by {second}; choose with --val-labels"
            )
