"""What a provider of published networks is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import nn


class Provider(ABC):
    """Contract: a package of published networks; its module is named as in `network.reference: PROVIDER:NAME`.

    The module imports torch and the package only where it builds a network: commands name networks without them.
    """

    classifier: ClassVar[str]
    """How the names of the parameters of a network's last layer begin."""

    @classmethod
    @abstractmethod
    def names(cls) -> Collection[str]:
        """The names of all networks. Imports nothing of the package. Raises ConfigError if it is not installed."""

    @classmethod
    @abstractmethod
    def build(cls, name: str, classes: int, resolution: int) -> nn.Module:
        """The network `name`: normalised images (B, 3, `resolution`, `resolution`) to logits (B, `classes`).

        On the current default device, with the package's own initialisation, drawn from PyTorch's global stream; no
        weights are downloaded. What it pools over all of an image it pools so at every resolution. Raises ValueError
        if it admits no such number of classes.
        """

    @classmethod
    @abstractmethod
    def free(cls, layer: nn.Module) -> bool:
        """Whether a layer of the package has no multiply-adds, as those of `counting.FREE` have none."""
