"""The labels of ImageNet's validation images: the files that people have them in, and the development kit."""

import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from randwire.data.sources._archives import is_archive, members, told
from randwire.data.sources._imagenet_files import ValImages
from randwire.data.sources._index import Index
from randwire.data.sources._label_file import KEYED_FILES, LabelFile, each_once, label_files_in, read_label_file
from randwire.data.sources._labels import (
    assign_labels,
    check_agreement,
    compare,
    labels_in_names,
    not_published,
    wnids_in_names,
)
from randwire.data.sources._published import are_published_labels
from randwire.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DEVKIT = "ILSVRC2012_devkit_t12"
LABELS = ("synset_labels.txt", "imagenet_2012_validation_synset_labels.txt", f"{DEVKIT}.tar.gz", DEVKIT)
KIT = re.compile(r"(ILSVRC2012_)?devkit(_t12)?( ?\(\d+\))?(\.tar|\.tar\.\w+|\.tgz|\.zip)?", re.IGNORECASE)
"""What people call it when they unpack it, fetch it twice or pack it again."""
OTHER_KIT = re.compile(r"ILSVRC\d+_devkit(?!_t12)\w*|ILSVRC(?!2012)\d+_devkit\w*")
TRUTH, META = "ILSVRC2012_validation_ground_truth.txt", "meta.mat"


class Kit(NamedTuple):
    """The development kit: WordNet IDs by its own numbers, whose order is another one, and that of each image."""

    ids: dict[int, str]
    wnids: list[str]


def labels_of(
    images: ValImages, place: Path, classes: Sequence[str], chosen: Path | None, beside: Sequence[Path]
) -> "tuple[NDArray[np.integer], list[str]]":
    """The labels (n,) of images without class folders, and notes: from the file `chosen`, or from all in `beside`.

    Raises DataError if there are none, or if they are not of these images.
    """
    found = _found(beside)
    files, ids = _label_files(found if chosen is None else [chosen], found, classes)
    if not files and not images.wnids and not labels_in_names(images.names, set(classes)):
        raise DataError(f"{beside[0]}: holds no {' or '.join(LABELS)} (or use --val-labels)")
    return assign_labels(files, images.names, place, classes, ids, images.wnids)


def compare_with_folders(
    index: Index, classes: Sequence[str], chosen: Path | None, beside: Sequence[Path]
) -> list[str]:
    """Notes about label files that lie beside images in class folders.

    Raises DataError where a file, or the names of the images, say something else than the folders, and where the file
    `chosen` cannot be used.
    """
    import numpy as np

    if labels_in_names(index.names, set(classes)):
        number = {wnid: label for label, wnid in enumerate(classes)}
        named = np.array([number[wnid] for wnid in wnids_in_names(index.names)], np.int32)
        check_agreement([("its folder", index.labels), ("its name", named)], index.names, index.root, classes)
    found = _found(beside)
    sources = found if chosen is None else [chosen]
    notes = compare(sources, lambda source: _label_files([source], found, classes), index, classes, chosen is not None)
    if are_published_labels(index.labels, index.names, classes, str(index.root)) is False:
        notes.append(not_published(str(index.root)))
    return notes


def _found(folders: Sequence[Path]) -> list[Path]:
    """The files with labels in folders, each once."""
    kits = [kit for folder in folders for kit in _kits(folder)]
    return each_once([*label_files_in(folders, (*LABELS, *KEYED_FILES)), *kits])


def _kits(folder: Path) -> list[Path]:
    """The development kits in a folder: archives, or folders, of its name or like it, and what is in these."""
    named = [path for path in sorted(folder.iterdir()) if KIT.fullmatch(path.name)]
    kits = [path for path in named if path.is_file() or any(path.rglob(TRUTH))]
    return kits + [path for path in (folder, folder / "data") if all((path / name).exists() for name in (TRUTH, META))]


def _label_files(
    sources: Sequence[Path], found: Sequence[Path], classes: Sequence[str]
) -> tuple[list[LabelFile], dict[int, str] | None]:
    """What the label files `sources` say, and the numbers of classes of the development kit in them or in `found`."""
    known = set(classes)
    files, kits = [], []
    for source in sources:
        if _is_kit(source):
            kits.append(_kit(source))
            files.append(LabelFile(source, kits[-1].wnids, None, published=True))
        else:
            files.append(read_label_file(source, known))
    if not kits:  # one that lies beside tells what the numbers in another file mean
        kits = [_kit(source) for source in found if _is_kit(source)]
    return files, kits[0].ids if kits else None


def _is_kit(source: Path) -> bool:
    """Whether labels are in a development kit, and not in a text file."""
    return source.is_dir() or (source.is_file() and is_archive(source))


def _kit(source: Path) -> Kit:
    from scipy.io import loadmat

    truth, meta = _kit_files(source)
    try:
        rows: Any = loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"]
        wnid = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in rows}
    except Exception as error:  # a damaged file can make the reader raise anything
        raise DataError(f"{source}: {META} cannot be read ({len(meta):,} bytes): {error!r}") from None
    words = truth.decode(errors="backslashreplace").split()
    if foreign := next((word for word in words if not word.isdecimal() or int(word[:9]) not in wnid), None):
        raise DataError(f"{source}: {TRUTH} holds {foreign[:40]!r}, which is no number of a class in {META}")
    return Kit(wnid, [wnid[int(word)] for word in words])


def _contents(source: Path) -> Iterator[tuple[str, bytes | None]]:
    """What a kit holds by path; the content of the files that are needed."""
    if source.is_dir():
        yield from (
            (str(path.relative_to(source)), path.read_bytes()) for name in (TRUTH, META) for path in source.rglob(name)
        )
        return
    for member in members(source):
        needed = member.path.rpartition("/")[2] in (TRUTH, META) and member.target is None
        yield member.path, member.content.read() if needed else None


def _kit_files(source: Path) -> tuple[bytes, bytes]:
    files: dict[str, bytes] = {}
    other = OTHER_KIT.search(source.name)
    with told(source):
        for path, content in _contents(source):
            name = path.rpartition("/")[2]
            if content is not None and files.setdefault(name, content) != content:
                raise DataError(f"{source}: holds several {name}, which differ; name a kit with one of them")
            other = other or OTHER_KIT.search(path)
    if other:
        raise DataError(
            f"{source}: is {other[0]}, the development kit of another task; that of the classes is {DEVKIT}"
        )
    if missing := {TRUTH, META} - set(files):
        raise DataError(f"{source}: holds no {min(missing)}, as {DEVKIT} does")
    return files[TRUTH], files[META]
