"""A converted set looked at before it is trained on: every image read back, counted, and a few of each class shown."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from tqdm import tqdm

from randwire import storage
from randwire.config import DataConfig
from randwire.config.data import FOLDER_SOURCE
from randwire.config.loading import PRESETS, read_yaml
from randwire.data import split_files
from randwire.data.convert.contact_sheet import contact_sheet
from randwire.data.convert.figures import Figures, figures, other_statistics, warnings
from randwire.data.convert.read_back import ReadFile, read_back
from randwire.data.sidecar import SIDECAR, Sidecar, parse
from randwire.data.sources import SPLITS, Split
from randwire.errors import DataError, system_text
from randwire.names import printable
from randwire.records import atomic
from randwire.stdio import bar_interval


class Checked(NamedTuple):
    """A set that has been read: its dataset.json, its figures, and lines on what is wrong and on what to know."""

    sidecar: Sidecar
    figures: Figures
    problems: list[str]
    warnings: list[str]
    sheet: Path


def check(folder: Path, sheet: Path, values: Mapping[str, Any], threads: int) -> Checked:
    """Read every image of the set in `folder` once with `threads` threads, and write the contact sheet to `sheet`.

    `values` are laid over the crops that a training on its source has by default (keys of DataConfig). Raises DataError
    if there is no set, if a file is not the one that its dataset.json describes, or if the sheet cannot be written.
    """
    sidecar = _sidecar(folder)
    config = _crops(sidecar.source, values)
    for split in SPLITS:
        split_files.check(folder, sidecar, split)
    place = Path(os.path.realpath(sheet))  # a link stays one
    _try(place)
    files = _read(folder, sidecar, threads)
    picture = contact_sheet(folder, files, sidecar.classes, config, threads)
    with _written(place), atomic(place) as file:
        picture.save(file, "PNG")
    found = figures(files, len(sidecar.classes))
    problems = [line for split in SPLITS for line in _problems(folder, split, sidecar, files[split])]
    if not files["train"].bad:
        problems += [f"{folder / SIDECAR}: {line}" for line in other_statistics(sidecar, found)]
    return Checked(sidecar, found, problems, warnings(sidecar, found, files), sheet)


def _sidecar(folder: Path) -> Sidecar:
    if not folder.exists():
        raise DataError(f"{printable(folder)}: no such folder; name a converted set")
    try:
        content = storage.read(str(folder), SIDECAR)
    except FileNotFoundError:
        raise DataError(f"{printable(folder)}: holds no {SIDECAR}; name a converted set") from None
    return parse(content, printable(folder / SIDECAR))


def _crops(source: str, values: Mapping[str, Any]) -> DataConfig:
    """How a training on a source crops by default: by the preset that has its name, if there is one."""
    preset = PRESETS / f"{source}.yaml"
    given = read_yaml(preset)["data"] if preset.is_file() else {}
    # Only crops are asked for: the set may be of a source that this version does not know.
    return DataConfig(**{**given, "source": FOLDER_SOURCE, "path": "/checked", **values}).evaluation


def _read(folder: Path, sidecar: Sidecar, threads: int) -> dict[Split, ReadFile]:
    files = {}
    for split in SPLITS:
        with tqdm(desc=split, total=sidecar.sizes[split], unit=" images", mininterval=bar_interval()) as bar:
            files[split] = read_back(folder / f"{split}.beton", sidecar.sizes[split], threads, bar)
    return files


def _problems(folder: Path, split: Split, sidecar: Sidecar, read: ReadFile) -> Iterator[str]:
    path = folder / f"{split}.beton"
    for number, reason in sorted(read.bad.items()):
        yield f"{path}: image {number} ({sidecar.classes[read.tables.labels[number]]}): {reason}"
    if read.sha256 != sidecar.files[path.name].sha256:
        yield f"{path}: its SHA-256 is not that of {SIDECAR}"


def _try(sheet: Path) -> None:
    """Raise DataError unless `sheet` can be written."""
    if sheet.is_dir():
        raise DataError(f"{printable(sheet)}: is a folder; name a file with --sheet, such as --sheet sheet.png")
    if sheet.exists() and not sheet.is_file():  # it would be replaced: for root, even /dev/null
        raise DataError(f"{printable(sheet)}: is a pipe or a device; name a file with --sheet, such as sheet.png")
    with _written(sheet):
        trial = sheet.with_name(f".{sheet.name}.{uuid4().hex}.partial")
        trial.touch(exist_ok=False)
        trial.unlink()


@contextmanager
def _written(sheet: Path) -> Iterator[None]:
    """A block that writes `sheet`. Raises DataError if it cannot."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{printable(sheet)}: cannot be written: {system_text(error)}; name another file with --sheet"
        ) from None
