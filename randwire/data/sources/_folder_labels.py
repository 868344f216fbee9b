"""The validation images of a folder: in class folders, or all together beside a file with their labels."""

from collections.abc import Container, Sequence
from dataclasses import replace
from pathlib import Path

from randwire.data.formats import counted
from randwire.data.sources._index import Index, by_class
from randwire.data.sources._label_file import KEYED_FILES, LabelFile, label_files_in, read_label_file
from randwire.data.sources._labels import assign_labels, compare
from randwire.data.sources._scan import scan
from randwire.errors import DataError
from randwire.names import below, composed, printable, quoted


def val_index(folder: Path, classes: Sequence[str], chosen: Path | None, beside: Path) -> Index:
    """The validation images in `folder`, whose labels are class folders, or the file `chosen`, or one found.

    Files that name each image are found in `folder` and `beside`, under usual names. A file beside class folders must
    say the same as they. Raises DataError for images without a label, and for labels that are no class of training.
    """
    found, known = scan(folder), set(classes)
    holding = {name.partition("/")[0] for name in found.images}
    found = found._replace(folders=[name for name in found.folders if name in holding or composed(name) in known])
    sources = label_files_in((folder, beside), KEYED_FILES) if chosen is None else [chosen]
    if any(composed(inside) in known for inside in found.folders):
        index = by_class(found, folder, classes)[1]
        notes = compare(sources, lambda source: ([_keyed(source, known, chosen)], None), index, classes, bool(chosen))
        return _with(index, notes, sources)
    if not sources:
        if len(found.folders) > 1 or not found.images:
            return by_class(found, folder, classes)[1]  # which says what is wrong
        which = (
            f"the folder {quoted(found.folders[0])}, no class of training" if found.folders else "no folders of classes"
        )
        raise DataError(
            f"{printable(folder)}: holds {counted(len(found.images), 'images')} in {which}; name a file "
            "with lines of a name and a class (--val-labels)"
        )
    files = [_keyed(source, known, chosen) for source in sources]
    labels, notes = assign_labels(files, found.images, folder, classes)
    return _with(Index(folder, found.images, labels, left_out=found.left_out), notes, sources)


def _keyed(source: Path, classes: Container[str], chosen: Path | None) -> LabelFile:
    """What a file says; one that was found, not chosen, must name its images: its name says nothing of their order."""
    file = read_label_file(source, classes)
    if file.keys is None and chosen is None:
        raise DataError(
            f"{source}: is a column without the names of images; if it has the labels of the validation images in the "
            "order of the numbers in their names, choose it with --val-labels"
        )
    return file


def _with(index: Index, notes: Sequence[str], sources: Sequence[Path]) -> Index:
    """With notes, and without the files of labels among what is left out."""
    used = {source.resolve() for source in sources}
    left_out = {
        reason: kept
        for reason, paths in index.left_out.items()
        if (kept := [path for path in paths if below(index.root, path).resolve() not in used])
    }
    return replace(index, notes=[*index.notes, *notes], left_out=left_out)
