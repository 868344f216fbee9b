"""Whether the configuration in a record is the one that it was trained with: the folder's name is its digest."""

import re
from functools import lru_cache
from pathlib import Path

from randwire.config.run_config import RunConfig, build
from randwire.config.runtime import STUDY_NAME
from randwire.errors import ConfigError, RecordError
from randwire.json_files import LASTING

_DIGEST = re.compile(r"[0-9a-f]{12}")


def check_recorded(folder: Path, config: RunConfig) -> None:
    """Raise RecordError if the folder of a record is named as another training than its configuration describes.

    A name that is no digest says nothing, nor does a configuration whose files have no SHA-256 recorded.
    """
    name = folder.absolute().name
    if _DIGEST.fullmatch(name) and not config.unhashed and config.digest != name:
        raise RecordError(
            f"{folder / 'config.yaml'}: damaged: is the configuration of {config.digest}, not of {name}, as which it "
            "was trained; put back what was written there, or remove the folder, and it is trained again"
        )


def check_trained(folder: Path, trained: RunConfig) -> None:
    """Raise RecordError unless the configuration in a record is that of its checkpoint, `trained`, and of its name."""
    from randwire.config.loading import read_yaml  # which checks records as it loads them

    path = folder / "config.yaml"
    if not path.is_file():
        return
    check_recorded(folder, config := build(read_yaml(path)))
    if not (config.unhashed or trained.unhashed) and config.digest != trained.digest:
        raise RecordError(
            f"{path}: damaged: is the configuration of {config.digest}, and its checkpoint that of {trained.digest}; "
            "put back what was written there"
        )


def place_of(folder: Path) -> dict[str, Path | str]:
    """Where the record in a folder is, as values of the section `runtime`: a study that was moved goes on where it is.

    Empty for a folder whose name is no digest: it is in no study.
    """
    where = folder if len(folder.parts) > len(("output", "study")) and ".." not in folder.parts else folder.resolve()
    parents = where.parents
    if not _DIGEST.fullmatch(where.name) or len(parents) < 2 or not re.fullmatch(STUDY_NAME, parents[0].name):
        return {}
    return {"output": parents[1], "study": parents[0].name}


def check_config(folder: Path) -> None:
    """Raise RecordError unless the record of a training holds its configuration; one without the file has not begun.

    What was found whole is not read again until it changes: `status` looks at thousands of records, again and again.
    """
    path = folder / "config.yaml"
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        if error.errno not in LASTING:
            raise
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        _load(path, stat.st_ctime_ns, stat.st_size, stat.st_ino)
    except ConfigError as error:
        raise RecordError(str(error)) from None


@lru_cache(maxsize=100_000)
def _load(path: Path, *version: int) -> None:
    """Load the configuration of a record as it was at one time; raises as `load`, and remembers what was right."""
    from randwire.config.loading import load  # which checks it

    load(str(path.parent))
