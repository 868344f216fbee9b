"""A converted data set: a folder with train.beton, val.beton and dataset.json, and where to find it."""

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from randwire import storage
from randwire.cache import cache_folder, locked
from randwire.config import DataConfig
from randwire.config.unconverted import unconverted
from randwire.data import holdout, split_files, staging
from randwire.data.reading import Reading
from randwire.data.sidecar import FORMAT, SIDECAR, Channels, Sidecar, parse
from randwire.data.sources import SPLITS, Source, load_source
from randwire.errors import DataError


@dataclass(frozen=True)
class Dataset:
    """A converted data set that has been checked. Mean and std: the channels of the train split, in 0..255.

    `sha256` are those of its files by name, `encoding` are the arguments of the `codec.Encoding` that stored it.
    """

    folder: Path
    source: str
    classes: tuple[str, ...]
    sizes: Mapping[str, int]
    mean: Channels
    std: Channels
    sha256: Mapping[str, str]
    reading: Reading
    encoding: Mapping[str, Any]

    def file(self, split: str) -> Path:
        return self.folder / f"{split}.beton"

    def in_checkpoints(self) -> dict[str, Any]:
        """What a network is used with beside its weights, in plain containers."""
        return {
            "classes": list(self.classes),
            "mean": list(self.mean),
            "std": list(self.std),
            "sha256": dict(self.sha256),
            "reading": self.reading.model_dump(mode="json"),
            "encoding": dict(self.encoding),
        }


def class_count(config: DataConfig) -> int:
    """The number of classes; reads no data where the source knows it, and imports neither torch nor FFCV.

    Raises DataError if the source does not know it and there is no converted set.
    """
    count = load_source(config.source).class_count
    return len(_sidecar(config).classes) if count is None else count


def train_images(config: DataConfig, batch_size: int = 1) -> int:
    """The number of images to train on, without those that are held out; reads no data where the source knows it.

    Raises as above, and if they are less than a batch.
    """
    count = load_source(config.source).train_images
    images = _sidecar(config).sizes["train"] if count is None else count
    holdout.check(config.source, images, config.holdout, batch_size)
    return images - config.holdout


def _sidecar(config: DataConfig) -> Sidecar:
    """As `inspect`, but read once where the configuration says which content it means: a plan asks for each trial."""
    return inspect(config) if config.path_sha256 is None else _read_once(config)


@lru_cache
def _read_once(config: DataConfig) -> Sidecar:
    return inspect(config)


def inspect(config: DataConfig) -> Sidecar:
    """What dataset.json says of the set of a configuration; the images stay where they are.

    `data.path` names the folder; without it, it is looked for in the cache, and an embedded source is converted there
    by the first process that asks. Raises DataError if there is nothing, or of another source.
    """
    return _inspect(config)[0]


def _inspect(config: DataConfig) -> tuple[Sidecar, bytes]:
    """As `inspect`, with the content of dataset.json."""
    source = load_source(config.source)
    location = _location(config)
    if config.path is None and source.embedded:
        _convert_once(source, config.source, Path(location))
    try:
        content = storage.read(location, SIDECAR)
    except FileNotFoundError:
        raise DataError(unconverted(location, config.source, source.embedded)) from None
    sidecar = parse(content, f"{location}/{SIDECAR}")
    if config.path_sha256 not in (None, hashlib.sha256(content).hexdigest()):
        raise DataError(f"{location}: has changed since data.path_sha256 was taken; name data.path again")
    if sidecar.source != config.source:
        raise DataError(f"{location}: holds {sidecar.source}, not {config.source}; set data.source or data.path")
    if source.class_count not in (None, len(sidecar.classes)):
        raise DataError(
            f"{location}/{SIDECAR}: {len(sidecar.classes)} classes, {config.source} has {source.class_count}"
        )
    return sidecar, content


def prepare(config: DataConfig, threads: int = 1) -> Dataset:
    """The data set of a configuration, on a disk of this machine and checked; with 2 threads both files at once.

    Found as by `inspect`. A set that is not on a disk of this machine is copied to one (see `staging`), by the first
    process that asks. Raises DataError if there is nothing, or nothing usable.
    """
    sidecar, content = _inspect(config)
    location = _location(config)
    folder = Path(location)
    if staging.needs_copy(location, config.stage):
        files = {name: (record.bytes, record.sha256) for name, record in sidecar.files.items()}
        source = staging.FolderToCopy(location, files, SIDECAR, content)
        folder = staging.stage(source, config.stage_budget_gb, cache_folder() / "staged")
    _check_files(folder, sidecar, threads)
    return Dataset(
        folder,
        sidecar.source,
        sidecar.classes,
        {str(split): sidecar.sizes[split] for split in SPLITS},
        sidecar.mean,
        sidecar.std,
        {name: record.sha256 for name, record in sidecar.files.items()},
        sidecar.reading,
        sidecar.encoding,
    )


def check(config: DataConfig, batch_size: int = 1) -> None:
    """As `prepare`, but nothing is copied: of a set that would be, only its dataset.json is looked at.

    Raises DataError also if less than a batch is left to train on.
    """
    sidecar = inspect(config)
    holdout.check(config.source, sidecar.sizes["train"], config.holdout, batch_size)
    if not staging.needs_copy(_location(config), config.stage):
        _check_files(Path(_location(config)), sidecar)


def _location(config: DataConfig) -> str:
    return config.path or str(cache_folder() / config.source)


def _check_files(folder: Path, sidecar: Sidecar, threads: int = 1) -> None:
    with ThreadPoolExecutor(max(1, min(threads, len(SPLITS)))) as pool:
        for _ in pool.map(lambda split: split_files.check(folder, sidecar, split), SPLITS):
            pass


def _convert_once(source: type[Source], name: str, folder: Path) -> None:
    if _current(folder):
        return
    from randwire.data.convert.conversion import convert

    with locked(folder.parent / f".{name}.lock"):
        if not _current(folder):
            convert(source(), name, folder, force=folder.exists())


def _current(folder: Path) -> bool:
    """Whether a set is there that this version has made: what earlier ones left in the cache is made anew."""
    try:
        sidecar = json.loads((folder / SIDECAR).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(sidecar, dict) and sidecar.get("format") == FORMAT
