"""The validation images of ImageNet as they were published: their names and number, and their labels by a digest."""

import re
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

from randwire.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PREFIX = "ILSVRC2012_val_"
NAME = re.compile(rf"{PREFIX}([0-9]{{8}})(_n[0-9]{{8}})?\.\w+")
IMAGES, OF_A_CLASS = 50_000, 50
CLASSES_SHA256 = "385e0240499426c022b773be1ae4da780f057b89c9694c7f47199f62746b6edd"
"""Of the sorted WordNet IDs of the 1,000 classes, with a line break between them."""
LABELS_SHA256 = "2707a43f27dcd55fef87fbef0730966cb91c3aba99eb0c9e6f021217a553a3b1"
"""Of the WordNet IDs of the 50,000 images in the order of their numbers, likewise: Kaggle's and Caffe's files agree."""


def have_published_names(names: Sequence[str]) -> bool:
    """Whether all images are called as the published ones."""
    return all(name.rpartition("/")[2].startswith(PREFIX) for name in names)


def are_published_labels(
    labels: "NDArray[np.integer]", names: Sequence[str], classes: Sequence[str], source: str
) -> bool | None:
    """Whether `labels` (n,), from `source`, are those that were published; None: it is another set, or a part of it.

    Raises DataError if an image is there twice, or if they are not 50 of each class, which all of the 50,000 images
    have.
    """
    import numpy as np

    numbers = [match[1] for name in names if (match := NAME.fullmatch(name.rpartition("/")[2]))]
    if len(set(numbers)) < len(numbers):
        twice = next(number for number, count in Counter(numbers).items() if count > 1)
        raise DataError(f"{source}: holds {PREFIX}{twice} more than once, which is one of the published images")
    if not len(names) == len(set(numbers)) == IMAGES:
        return None
    counts = np.bincount(labels, minlength=len(classes))
    if (odd := (counts != OF_A_CLASS).nonzero()[0]).size:
        at = int(odd[0])
        raise DataError(
            f"{source}: gives {classes[at]} to {counts[at]} of the {IMAGES:,} published images; each class has "
            f"{OF_A_CLASS}"
        )
    if _digest(classes) != CLASSES_SHA256:
        return None
    order = sorted(range(len(names)), key=lambda index: numbers[index])
    return _digest([classes[labels[index]] for index in order]) == LABELS_SHA256


def _digest(words: Sequence[str]) -> str:
    return sha256("\n".join(words).encode()).hexdigest()
