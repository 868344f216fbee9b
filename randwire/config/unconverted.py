"""The line for a folder without a converted set of images: what is there, and how to get one."""

from pathlib import Path

from randwire import storage
from randwire.config.data import FOLDER_SOURCE

SIDECAR = "dataset.json"
"""The file that every converted set has."""
FILES = (SIDECAR, "train.beton", "val.beton")


def unconverted(folder: str, source: str, embedded: bool = False) -> str:
    """What is told of `folder`, a path or a URL, where a converted set of `source` is due and none is."""
    path, what = Path(folder), "set" if source == FOLDER_SOURCE else source
    command = f"python -m randwire.data.convert {source}"
    if not storage.is_url(folder) and path.is_file():
        known = path.name in FILES
        return f"{folder}: is a file; name the folder {'that holds it' if known else 'of a converted set'}"
    if not storage.is_url(folder) and path.is_dir() and any(path.iterdir()):
        below = sorted(inside for inside in path.iterdir() if (inside / SIDECAR).is_file())
        if below:
            return f"{folder}: no converted {what} there, but in {below[0].name}/ is a converted set; name that folder"
        given = "" if embedded else f" {folder}"
        return (
            f"{folder}: no converted {what} there: it holds {storage.contents(path)}, and no {SIDECAR}; convert to "
            f"another folder with `{command}{given} OUTPUT` and name that"
        )
    given = "" if embedded else " INPUT"
    return f"{folder}: no converted {what} there; make it with `{command}{given} {folder}`"
