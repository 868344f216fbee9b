"""Chain: each node has the node before it as its only input."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from randwire.graphs._base import Generator


@dataclass(frozen=True)
class Chain(Generator):
    """CHAIN: layers one after the other, as in VGG (Simonyan & Zisserman 2015). Exactly N-1 edges, depth N.

    Nodes are numbered along the chain: any other numbering would turn some of its edges round.
    """

    default: ClassVar = False

    def check(self, nodes: int) -> None:
        """Possible with any number of nodes."""

    @property
    def deterministic(self) -> bool:
        return True

    def draw(self, nodes: int, stream: random.Random) -> Iterable[tuple[int, int]]:
        return [(node, node + 1) for node in range(nodes - 1)]
