"""Data sources: one file each, named as in `data.source`."""

from randwire import registry
from randwire.data.sources._base import SPLITS, Mode, Option, Source, Split
from randwire.data.sources._sift import is_junk
from randwire.errors import DataError

__all__ = ["SPLITS", "Mode", "Option", "Source", "Split", "is_junk", "load_source"]


def load_source(name: str) -> type[Source]:
    """The class of a data source. Raises DataError for an unknown name."""
    try:
        return registry.load("randwire.data.sources", name, Source)  # type: ignore[type-abstract]
    except ValueError as error:
        raise DataError(str(error)) from None
