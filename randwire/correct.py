"""Which images of an evaluation a network has classified correctly, one bit an image, in its record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from randwire.errors import RecordError, brief
from randwire.metrics import VAL_TOP1
from randwire.records import Record, atomic

FILE = "correct.npz"
"""In a record: written after every evaluation, and so that of the last one."""
Bits = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, eq=False)
class Correct:
    """The images of a data file in its order, and whether the class with the highest logit is the label."""

    bits: Bits
    """(images,)"""
    split: str
    """What was evaluated: val or holdout."""
    sha256: str
    """Of the data file: bits of one file are those of the same images."""

    @property
    def top1(self) -> float:
        """In percent, to the last bit that of the evaluation."""
        return VAL_TOP1.mean(float(self.bits.sum()), len(self.bits))

    def save(self, record: Record) -> None:
        """Write the file: 7.5 KB for 50,000 images."""
        with atomic(record.folder / FILE) as file:
            np.savez(
                file,
                bits=np.packbits(self.bits),
                images=np.array(len(self.bits)),
                split=np.array(self.split),
                sha256=np.array(self.sha256),
            )

    @classmethod
    def load(cls, record: Record) -> Correct | None:
        """That of a record; None of one without. Raises RecordError if the file is damaged."""
        path = record.folder / FILE
        try:
            with np.load(path, allow_pickle=False) as file:
                packed, images = file["bits"], int(file["images"])
                if images < 1 or packed.shape != (-(-images // 8),):
                    raise ValueError(f"an array of the shape {packed.shape} for {images} images")
                bits = np.unpackbits(packed, count=images).astype(bool)
                return cls(bits, str(file["split"]), str(file["sha256"]))
        except FileNotFoundError:
            return None
        except Exception as error:  # NumPy and zipfile raise errors of ten kinds for damaged bytes
            raise RecordError(f"{path}: damaged: {brief(error)}") from None
