"""Residual: a chain in which every node is also skipped by an edge."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from randwire.graphs._base import Generator


@dataclass(frozen=True)
class Residual(Generator):
    """RESIDUAL: a chain with skips over one node, after ResNet (He, Zhang, Ren & Sun 2016). Exactly 2N-3 edges.

    Node i has nodes i-1 and i-2 as inputs. Nodes are numbered along the chain. WS(4,0) is this graph with the three
    edges that close its ring.
    """

    default: ClassVar = False

    def check(self, nodes: int) -> None:
        """Possible with any number of nodes."""

    @property
    def deterministic(self) -> bool:
        return True

    def draw(self, nodes: int, stream: random.Random) -> Iterable[tuple[int, int]]:
        return [(before, node) for node in range(1, nodes) for before in range(max(0, node - 2), node)]
