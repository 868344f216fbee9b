"""A share of the training images that validates, where a set has no validation images."""

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from randwire.data.sources._index import Index
from randwire.errors import DataError
from randwire.names import encoded, printable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def split_off(index: Index, share: float, seed: int) -> tuple[Index, Index]:
    """The images that are left to train on, and those that validate: `share` of each class, rounded as `quotas` says.

    Which images of a class these are depends on the seed and the names of its images: those validate whose names have
    the smallest SHA-256 behind the seed. So it is the same on every machine, and an image that is added or removed
    changes few others. Raises DataError if none is left to validate.
    """
    import numpy as np

    labels = np.asarray(index.labels)
    quota = quotas(np.bincount(labels), share)
    if not quota.any():
        raise DataError(
            f"{printable(index.root)}: {share:g} of its {len(labels):,} images, with one of each class left to train, "
            "is no image to validate; choose a larger --val-share"
        )
    keys = [sha256(f"{seed}/".encode() + encoded(name)).digest() for name in index.names]
    order = sorted(range(len(keys)), key=lambda number: (labels[number], keys[number]))
    sizes = np.bincount(labels)
    place = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # of each of these in its class
    val = np.sort(np.array(order)[place < quota[labels[order]]])
    train = np.setdiff1d(np.arange(len(labels)), val)
    return index.taken(train.tolist()), replace(index.taken(val.tolist()), left_out={}, notes=())


def quotas(sizes: "NDArray[np.integer]", share: float) -> "NDArray[np.int64]":
    """How many images of each class (classes,) validate: `share` of them, and of all together, as close as can be.

    Rounded down, and up where the remainder is largest, at equal ones for the lower labels, until they are `share` of
    all; each class keeps an image to train.
    """
    import numpy as np

    whole = np.floor(sizes * share + 1e-9).astype(np.int64)
    quota: NDArray[np.int64] = np.minimum(whole, np.maximum(sizes - 1, 0))
    more = max(0, round(float(sizes.sum()) * share) - int(quota.sum()))
    order = np.argsort(-np.round(sizes * share - whole, 6), kind="stable")
    room = order[quota[order] < sizes[order] - 1]
    quota[room[:more]] += 1
    return quota
