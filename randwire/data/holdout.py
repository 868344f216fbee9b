"""Which images of the training split are held out of training, to choose by them."""

from typing import TYPE_CHECKING

from randwire import streams
from randwire.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def check(source: str, images: int, holdout: int, batch_size: int) -> None:
    """Raise DataError if fewer than `batch_size` of the `images` to train on are left without `holdout` of them."""
    if images < batch_size:
        raise DataError(
            f"train.batch_size: {batch_size} exceeds the {images} training images of {source}; lower it to at most "
            f"{images}"
        )
    if holdout and images - holdout < batch_size:
        raise DataError(
            f"data.holdout: {holdout} of the {images} training images of {source} leave fewer than train.batch_size "
            f"({batch_size}) to train on; lower it to at most {images - batch_size}"
        )


def held_out(labels: "NDArray[np.int64]", count: int, seed: int) -> "NDArray[np.int64]":
    """The numbers, ascending, of the `count` images that are held out of a training split with these labels (images,).

    Each class gives its share: rounded down, and up where the remainder is largest, so that they are `count` in all; at
    equal remainders the lower labels give one more. Classes that would give their last image come after all others, and
    with fewer images than classes some give none. Which of its images a class gives depends on the seed and the split
    alone. `count` is below the number of images.
    """
    import numpy as np

    sizes = np.bincount(labels)
    shares, remainders = np.divmod(sizes * count, len(labels))
    order = np.lexsort((-remainders, shares + 1 >= sizes))
    shares[order[: count - shares.sum()]] += 1
    by_class = np.lexsort((streams.held_out_images(seed, len(labels)), labels))
    place = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # of each of these in its class
    return np.sort(by_class[place < np.repeat(shares, sizes)])
