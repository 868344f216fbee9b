"""Handwritten digits that come with scikit-learn: 1,797 gray images of 8x8 pixels, 10 classes."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from randwire.data.sources._base import Source, Split

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VAL = 360
SEED = 0
SIDE = 32


class Digits(Source):
    """1,437 images to train and 360 to validate, a stratified split that never changes.

    Values 0..16 are scaled to 0..255 and 8x8 pixels to 32x32, so that a network with four reductions has something
    left to reduce.
    """

    class_count = 10
    train_images = 1437
    embedded = True

    def class_names(self) -> tuple[str, ...]:
        return tuple("0123456789")

    def sizes(self) -> Mapping[Split, int]:
        return {split: len(indices) for split, indices in self._split.items()}

    def images(self, split: Split) -> Iterator[tuple["NDArray[np.uint8]", int]]:
        import numpy as np
        from PIL import Image

        grays = np.rint(self._bunch.images * (255 / 16)).astype(np.uint8)
        for index in self._split[split]:
            image = Image.fromarray(grays[index]).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
            yield np.repeat(np.asarray(image)[:, :, None], 3, axis=2), int(self._bunch.target[index])

    @cached_property
    def _bunch(self) -> Any:
        from sklearn.datasets import load_digits

        return load_digits()

    @cached_property
    def _split(self) -> dict[Split, "NDArray[np.int64]"]:
        import numpy as np
        from sklearn.model_selection import train_test_split

        labels = self._bunch.target
        train, val = train_test_split(np.arange(len(labels)), test_size=VAL, random_state=SEED, stratify=labels)
        return {"train": train, "val": val}
