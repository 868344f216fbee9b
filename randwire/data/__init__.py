"""Data: every source is converted to FFCV's `.beton` once, and read back by one loader.

    sources/        the data sources: one file each yields RGB images and labels
    convert/        a source -> a folder with train.beton, val.beton, dataset.json
    codec.py        image files to pixels, and pixels to what is stored
    colours.py      the closed table of colours that are read
    samples.py      what an image file says of its samples beyond Pillow's mode
    beton.py        the file format: write, check, read
    sidecar.py      dataset.json
    split_files.py  the file of a split, checked against it
    dataset.py      a converted folder: find it, check it
    staging.py      copies, on a disk of this machine, of folders on S3 or a network disk
    cache.py        the folder of such copies and of compiled code, and locks in it
    holdout.py      which images of the training split are held out
    loader.py       batches of a converted set
    images.py       image files as evaluation sees the images of a set
    decoder.py      the compiled part of both

Importing this package is cheap: torch, numba and FFCV's library are loaded with the loader.
"""

from typing import TYPE_CHECKING, Any

from randwire.data.dataset import Dataset, check, class_count, inspect, prepare, train_images
from randwire.errors import DataError

if TYPE_CHECKING:
    from randwire.data.loader import Batching, Loader, Reading

__all__ = [
    "Batching",
    "DataError",
    "Dataset",
    "Loader",
    "Reading",
    "check",
    "class_count",
    "inspect",
    "prepare",
    "train_images",
]


def __getattr__(name: str) -> Any:
    if name in ("Batching", "Loader", "Reading"):
        from randwire.data import loader

        return getattr(loader, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
