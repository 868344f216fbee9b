"""Data: every source is converted to FFCV's `.beton` once, and read back by one loader.

    sources/    what exists: one file each yields RGB images and labels
    convert.py  a source -> a folder with train.beton, val.beton, dataset.json
    beton.py    the file format: writing it, and finding damage before it is opened
    dataset.py  a converted folder, checked
    loader.py   batches of it
    decoder.py  the compiled part of the loader

Importing this package is cheap: torch, FFCV and numba are imported with the loader.
"""

from typing import TYPE_CHECKING, Any

from randwire.data.dataset import Dataset, class_count, prepare, train_images
from randwire.data.errors import DataError

if TYPE_CHECKING:
    from randwire.data.loader import Loader

__all__ = ["DataError", "Dataset", "Loader", "class_count", "prepare", "train_images"]


def __getattr__(name: str) -> Any:
    if name == "Loader":
        from randwire.data.loader import Loader

        return Loader
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
