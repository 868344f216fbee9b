"""What is in a folder of images: every entry is an image, or left out for a reason."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

SUFFIXES = {".jpeg", ".jpg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}


class Scan(NamedTuple):
    """The paths of images below a folder, sorted, and of all else, by the reason why it is left out."""

    images: Sequence[str]
    left_out: Mapping[str, Sequence[str]]


def scan(folder: Path) -> Scan:
    """All that is in a folder and below."""
    paths = []
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = Path(path).relative_to(folder)
        paths += [
            (inside / name).as_posix()
            for name in files
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
        ]
    return Scan(sorted(paths), {})
