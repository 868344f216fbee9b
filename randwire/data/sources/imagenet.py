"""ImageNet, the ILSVRC 2012 classification set: 1,281,167 and 50,000 photographs, 1,000 classes."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NoReturn

from randwire.data.errors import DataError
from randwire.data.sources._base import Source, Split

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class ImageNet(Source):
    """Known by its class count, so that networks can be planned; it cannot be converted yet."""

    class_count = 1000
    train_images = 1_281_167
    mode = "jpg"

    def class_names(self) -> tuple[str, ...]:
        self._refuse()

    def sizes(self) -> Mapping[Split, int]:
        self._refuse()

    def images(self, split: Split) -> Iterator[tuple["NDArray[np.uint8]", int]]:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise DataError("imagenet: its conversion is not there yet; choose another data.source, such as digits")
