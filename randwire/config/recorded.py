"""Whether the configuration in a record is the one that it was trained with: the folder's name is its digest."""

import re
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from randwire.config.run_config import RunConfig
from randwire.errors import ConfigError, RecordError

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


def check_config(folder: Path) -> None:
    """Raise RecordError unless the record of a training holds its configuration; one without the file has not begun.

    What was found whole is not read again until it changes: `status` looks at thousands of records, again and again.
    """
    path = folder / "config.yaml"
    with suppress(FileNotFoundError, NotADirectoryError):
        stat = path.stat()
        try:
            _load(path, stat.st_ctime_ns, stat.st_size, stat.st_ino)
        except ConfigError as error:
            raise RecordError(str(error)) from None


@lru_cache(maxsize=100_000)
def _load(path: Path, *version: int) -> None:
    """Load the configuration of a record as it was at one time; raises as `load`, and remembers what was right."""
    from randwire.config.loading import load  # which checks it

    load(str(path.parent))
