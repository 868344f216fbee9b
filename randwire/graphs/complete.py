"""Complete: each node has all earlier ones as inputs."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

from randwire.graphs._base import Generator


@dataclass(frozen=True)
class Complete(Generator):
    """COMPLETE: every earlier node is an input, after DenseNet (Huang, Liu, van der Maaten & Weinberger 2017).

    Exactly N(N-1)/2 edges, depth N; all numberings give this graph. Inputs are summed with weights as in all our nodes,
    where DenseNet concatenates them.
    """

    default: ClassVar = False

    def check(self, nodes: int) -> None:
        """Possible with any number of nodes."""

    @property
    def deterministic(self) -> bool:
        return True

    def draw(self, nodes: int, stream: random.Random) -> Iterable[tuple[int, int]]:
        return combinations(range(nodes), 2)
