"""Random regular: every node has exactly D edges, and is else joined at random."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import networkx as nx

from randwire.graphs._base import Domain, Generator


@dataclass(frozen=True)
class RandomRegular(Generator):
    """RANDOM_REGULAR(D), drawn as by Steger & Wormald (1999). Exactly ND/2 edges; in and out, each node has D of them.

    Nearly uniform over all such graphs, so its distribution is exchangeable: the numbers that networkx gives are a
    random numbering, as the paper has for ER.
    """

    d: int
    default: ClassVar = False
    domains: ClassVar = {"d": Domain(2, 8, 2)}  # even ones: they are possible with any number of nodes

    def check(self, nodes: int) -> None:
        if not 1 <= self.d < nodes:
            raise ValueError(f"{self}: d must be at least 1 and below the number of nodes, {nodes}")
        if self.d * nodes % 2:
            raise ValueError(f"{self}: d times the number of nodes must be even; with {nodes} nodes take an even d")
        if self.d == 1 and nodes > 2:
            raise ValueError(f"{self}: d must be at least 2 for {nodes} nodes, or no graph is connected")

    def draw(self, nodes: int, stream: random.Random) -> Iterable[tuple[int, int]]:
        # Dense ones as the complement of a sparse one, which is as random: networkx tries long to find them.
        sparse = min(self.d, nodes - 1 - self.d)
        graph = nx.random_regular_graph(sparse, nodes, seed=stream)
        return (graph if sparse == self.d else nx.complement(graph)).edges()  # type: ignore[no-any-return]
