"""Data sources: one file each, named as in `data.source`."""

from randwire.data.sources._base import SPLITS, Mode, Source, Split

__all__ = ["SPLITS", "Mode", "Source", "Split"]
