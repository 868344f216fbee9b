"""Folders that are paths or URLs (`s3://`, `gs://`, what fsspec knows). Credentials come from the environment."""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from randwire.errors import ConfigError, StorageError, UserError, brief
from randwire.names import printable

CREDENTIAL_PATTERNS = {
    **dict.fromkeys(("s3", "s3a"), ("AWS_*", "FSSPEC_S3_*")),
    **dict.fromkeys(("gs", "gcs"), ("GOOGLE_*", "FSSPEC_GS_*", "FSSPEC_GCS_*")),
    **dict.fromkeys(("az", "abfs", "abfss", "adl"), ("AZURE_*", "FSSPEC_AZ_*", "FSSPEC_ABFS_*")),
}
"""Patterns of environment variables by the scheme of a URL."""


def is_url(folder: str) -> bool:
    return "://" in folder


def check_lasting(key: str, folder: str | Path) -> None:
    """Raises ConfigError for a folder in Ray's copy of a submitted one.

    `ray job submit --working-dir` runs a job there; Ray removes the copy, and each machine has one of its own.
    """
    if not is_url(str(folder)) and any(part.startswith("_ray_pkg_") for part in Path(folder).absolute().parts):
        raise ConfigError(
            f"{key}: {folder} is in the copy of the submitted folder ({Path.cwd()}), which Ray removes; give --{key} "
            "an absolute path that all machines see"
        )


def read(folder: str, name: str) -> bytes:
    """The content of a small file in a folder. Raises FileNotFoundError if it is not there, StorageError otherwise."""
    with readable_errors(f"{folder}/{name}"):
        if not is_url(folder):
            file = Path(folder, name)
            if file.exists() and not file.is_file():  # a pipe would be waited at for ever
                raise StorageError(f"{folder}/{name}: cannot be read: it is no regular file")
            return file.read_bytes()
        system, path = file_system(folder)
        content: bytes = system.cat_file(f"{path}/{name}")
        return content


def kind_of_file(mode: int) -> str:
    """What a path leads to, of a mode as `os.stat` gives it: "a file", "a folder", "a pipe", "a socket", "a device"."""
    kinds = {stat.S_IFREG: "a file", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def contents(folder: Path) -> str:
    """What is in a folder, in a few words."""
    names = sorted(printable(path.name) + _kind_of(path) for path in folder.iterdir())
    shown = ", ".join(names[:5])
    return f"{shown} and {len(names) - 5:,} more" if len(names) > 5 else shown or "nothing"


def _kind_of(path: Path) -> str:
    """What follows the name of a folder, or of a link that leads nowhere."""
    if path.is_dir():
        return "/"
    return " (a link that leads nowhere)" if path.is_symlink() and not path.exists() else ""


def file_system(folder: str) -> tuple[Any, str]:
    """The fsspec file system of a folder, and the folder's path there."""
    import fsspec

    system, path = fsspec.core.url_to_fs(folder)
    return system, str(path).rstrip("/")


def credentials(folder: str | None) -> tuple[str, ...]:
    """Patterns of the environment variables that reading a folder may need: those of its own store alone."""
    scheme = folder.partition("://")[0] if folder and is_url(folder) else ""
    return CREDENTIAL_PATTERNS.get(scheme, ())


@contextmanager
def readable_errors(name: str) -> Iterator[None]:
    """Turn what a file system raises into a StorageError of one line; a missing file stays a FileNotFoundError."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(name) from None
    except UserError:
        raise
    except ImportError as error:  # fsspec names the package that is to be installed
        raise StorageError(f"{name}: {error}") from None
    except Exception as error:  # each file system has its own
        raise StorageError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or brief(error)}") from None
