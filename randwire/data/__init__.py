"""Data: every source is converted to FFCV's `.beton` once, and read back by one loader.

    sources/    what exists: one file each yields RGB images and labels
    convert/    a source -> a folder with train.beton, val.beton, dataset.json
    codec.py    image files to pixels, and pixels to what is stored
    beton.py    the file format: writing it, and finding damage before it is opened
    dataset.py  a converted folder, checked
    staging.py  copies of folders that are elsewhere, on a disk of this machine
    loader.py   batches of it
    decoder.py  the compiled part of the loader

Importing this package is cheap: torch, FFCV and numba are imported with the loader.
"""

from typing import TYPE_CHECKING, Any

from randwire.data.dataset import Dataset, check, class_count, inspect, prepare, train_images
from randwire.errors import DataError

if TYPE_CHECKING:
    from randwire.data.loader import Loader

__all__ = ["DataError", "Dataset", "Loader", "check", "class_count", "inspect", "prepare", "train_images"]


def __getattr__(name: str) -> Any:
    if name == "Loader":
        from randwire.data.loader import Loader

        return Loader
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
