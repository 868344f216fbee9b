"""The file of a split, checked against dataset.json without a look at its images."""

from pathlib import Path

from randwire.data.sidecar import SIDECAR, Sidecar
from randwire.data.sources import Split
from randwire.errors import DataError


def check(folder: Path, sidecar: Sidecar, split: Split) -> None:
    """Raise DataError unless the file of a split is there, whole, and the one that dataset.json describes."""
    from randwire.data import beton

    path = folder / f"{split}.beton"
    if not path.is_file():
        raise DataError(f"{path}: missing; convert the data again")
    record = sidecar.files[path.name]
    beton.check(path, sidecar.sizes[split], len(sidecar.classes), sidecar.max_side, record.tables_sha256)
    if (size := path.stat().st_size) != record.bytes:
        raise DataError(f"{path}: {size} bytes, {SIDECAR} says {record.bytes}; convert the data again")
