"""Handwritten digits that come with scikit-learn: 1,797 gray images of 8x8 pixels, 10 classes."""

from functools import cached_property
from typing import TYPE_CHECKING

from randwire.data.sources._base import Source, Split

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VAL_IMAGES = 360
SPLIT_SEED = 0
SIDE_PIXELS = 32


class Digits(Source):
    """1,437 images to train and 360 to validate, a stratified split that never changes.

    Values 0..16 are scaled to 0..255 and 8x8 pixels to 32x32, so that a network with four reductions has something
    left to reduce.
    """

    class_count = 10
    train_images = 1437
    holdout = 360
    embedded = True

    def class_names(self) -> tuple[str, ...]:
        return tuple("0123456789")

    def labels(self, split: Split) -> "NDArray[np.int64]":
        return self._splits[split][1]

    def image(self, split: Split, index: int) -> "NDArray[np.uint8]":
        import numpy as np
        from PIL import Image

        image = Image.fromarray(self._splits[split][0][index]).resize(
            (SIDE_PIXELS, SIDE_PIXELS), Image.Resampling.BILINEAR
        )
        return np.repeat(np.asarray(image)[:, :, None], 3, axis=2)

    @cached_property
    def _splits(self) -> "dict[Split, tuple[NDArray[np.uint8], NDArray[np.int64]]]":
        import numpy as np
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        bunch = load_digits()
        grays, labels = np.rint(bunch.images * (255 / 16)).astype(np.uint8), bunch.target
        train, val = train_test_split(
            np.arange(len(labels)), test_size=VAL_IMAGES, random_state=SPLIT_SEED, stratify=labels
        )
        return {"train": (grays[train], labels[train]), "val": (grays[val], labels[val])}
