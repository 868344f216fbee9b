"""A converted data set: a folder with train.beton, val.beton and dataset.json, and where to find it."""

import fcntl
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from randwire import registry
from randwire.data.errors import DataError
from randwire.data.sources import SPLITS, Mode, Source, Split

if TYPE_CHECKING:  # at run time config asks this package for its sources while it is itself being imported
    from randwire.config import DataConfig

SIDECAR = "dataset.json"

Channels = tuple[float, float, float]


class FileRecord(BaseModel):
    """Size in bytes and SHA-256 of one file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: int
    sha256: str


class Sidecar(BaseModel):
    """The content of dataset.json."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal[1] = 1
    source: str
    classes: Annotated[tuple[str, ...], Field(min_length=1)]
    sizes: dict[Split, Annotated[int, Field(ge=1)]]
    mean: Channels
    std: Channels
    mode: Mode
    max_side: int
    files: dict[str, FileRecord]


@dataclass(frozen=True)
class Dataset:
    """A converted data set that has been checked. Mean and std: the channels of the train split, in 0..255."""

    folder: Path
    source: str
    classes: tuple[str, ...]
    sizes: Mapping[str, int]
    mean: Channels
    std: Channels

    def file(self, split: str) -> Path:
        return self.folder / f"{split}.beton"


def load_source(name: str) -> type[Source]:
    """The class of a data source. Raises DataError for an unknown name."""
    try:
        return registry.load("randwire.data.sources", name, Source)  # type: ignore[type-abstract]
    except ValueError as error:
        raise DataError(str(error)) from None


def class_count(config: "DataConfig") -> int:
    """The number of classes of a source; reads no data and imports neither torch nor FFCV."""
    return load_source(config.source).class_count


def train_images(config: "DataConfig") -> int:
    """The number of training images of the whole set of a source; reads no data."""
    return load_source(config.source).train_images


def cache_folder() -> Path:
    """Where embedded sets and compiled code are kept: $RANDWIRE_CACHE or ~/.cache/randwire."""
    chosen = os.environ.get("RANDWIRE_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "randwire"


def prepare(config: "DataConfig", workers: int = 1) -> Dataset:
    """The data set of a configuration, checked against its dataset.json; with 2 workers both files at once.

    `data.path` names the folder; without it, it is looked for in the cache, and an embedded source is converted
    there by the first process that asks. Raises DataError if there is nothing, or nothing usable.
    """
    source = load_source(config.source)
    folder = config.path or cache_folder() / config.source
    if config.path is None and source.embedded:
        _convert_once(source, config.source, folder)
    if not (folder / SIDECAR).is_file():
        needed = "" if source.embedded else " INPUT"
        command = f"python -m randwire.data.convert {config.source}{needed} {folder}"
        raise DataError(f"{folder}: no converted {config.source} there; make it with `{command}`")
    sidecar = _read_sidecar(folder)
    if sidecar.source != config.source:
        raise DataError(f"{folder}: holds {sidecar.source}, not {config.source}; set data.source or data.path")
    if len(sidecar.classes) != source.class_count:
        raise DataError(f"{folder / SIDECAR}: {len(sidecar.classes)} classes, {config.source} has {source.class_count}")
    with ThreadPoolExecutor(max(1, min(workers, len(SPLITS)))) as pool:
        for _ in pool.map(lambda split: _check(folder, sidecar, split), SPLITS):
            pass
    sizes = {str(split): sidecar.sizes[split] for split in SPLITS}
    return Dataset(folder, sidecar.source, sidecar.classes, sizes, sidecar.mean, sidecar.std)


def _check(folder: Path, sidecar: Sidecar, split: Split) -> None:
    from randwire.data import beton

    path = folder / f"{split}.beton"
    if not path.is_file():
        raise DataError(f"{path}: missing; convert the data again")
    beton.check(path, sidecar.sizes[split], len(sidecar.classes), sidecar.max_side)
    found, expected = path.stat().st_size, sidecar.files[path.name].bytes
    if found != expected:
        raise DataError(f"{path}: {found} bytes, {SIDECAR} says {expected}; convert the data again")


def _read_sidecar(folder: Path) -> Sidecar:
    path = folder / SIDECAR
    try:
        sidecar = Sidecar.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        reason = f"{where}: {first['msg']}" if where else first["msg"]
        raise DataError(f"{path}: damaged or of another version ({reason}); convert the data again") from None
    if missing := [split for split in SPLITS if split not in sidecar.sizes or f"{split}.beton" not in sidecar.files]:
        raise DataError(f"{path}: damaged: it does not describe {missing[0]}; convert the data again")
    return sidecar


def _convert_once(source: type[Source], name: str, folder: Path) -> None:
    if (folder / SIDECAR).is_file():
        return
    from randwire.data.convert import convert

    with _lock(folder.parent, name):
        if not (folder / SIDECAR).is_file():
            convert(source(), name, folder, force=folder.exists())


@contextmanager
def _lock(folder: Path, name: str) -> Iterator[None]:
    """Hold a lock against other processes; the system frees it with the process, however that ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / f".{name}.lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be written ({error.strerror}); set RANDWIRE_CACHE to another folder"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
