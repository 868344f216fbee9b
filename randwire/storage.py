"""Folders that are paths or URLs (`s3://`, `gs://`, what fsspec knows). Credentials come from the environment."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from randwire.errors import StorageError, UserError, brief

CREDENTIALS = {
    **dict.fromkeys(("s3", "s3a"), ("AWS_*", "FSSPEC_S3_*")),
    **dict.fromkeys(("gs", "gcs"), ("GOOGLE_*", "FSSPEC_GS_*", "FSSPEC_GCS_*")),
    **dict.fromkeys(("az", "abfs", "abfss", "adl"), ("AZURE_*", "FSSPEC_AZ_*", "FSSPEC_ABFS_*")),
}


def is_url(place: str) -> bool:
    return "://" in place


def read(place: str, name: str) -> bytes:
    """The content of a small file in a folder. Raises FileNotFoundError if it is not there, StorageError otherwise."""
    with told(f"{place}/{name}"):
        if not is_url(place):
            return Path(place, name).read_bytes()
        found, path = system(place)
        content: bytes = found.cat_file(f"{path}/{name}")
        return content


def system(place: str) -> tuple[Any, str]:
    """The fsspec file system of a folder, and its path there."""
    import fsspec

    found, path = fsspec.core.url_to_fs(place)
    return found, str(path).rstrip("/")


def credentials(place: str | None) -> tuple[str, ...]:
    """Patterns of the environment's variables that reading a place may need: of its own store, and of no other."""
    scheme = place.partition("://")[0] if place and is_url(place) else ""
    return CREDENTIALS.get(scheme, ())


@contextmanager
def told(name: str) -> Iterator[None]:
    """What a file system raises, as a StorageError of one line; that a file is missing stays a FileNotFoundError."""
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
