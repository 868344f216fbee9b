"""Newman-Watts: a ring in which each node joins its K nearest, with shortcuts added and no edge removed."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import networkx as nx

from randwire.graphs._base import Domain, Generator
from randwire.graphs._ring import check_ring


@dataclass(frozen=True)
class NewmanWatts(Generator):
    """NEWMAN_WATTS(K,P), Newman & Watts (1999). Edges: NK/2 of the ring, and a binomial number of shortcuts of mean
    P NK/2, or as many as there is room for.

    For each edge of the ring a shortcut is added with probability P, between two nodes that are not joined yet; all
    such pairs are equally likely. Nodes are numbered clockwise, as those of WS: so CHAIN is a part of every graph, and
    each has one source and one sink.
    """

    k: int
    p: float
    default: ClassVar = False
    domains: ClassVar = {"k": Domain(2, 8, 2), "p": Domain(0, 1, 0.05)}

    def check(self, nodes: int) -> None:
        check_ring(self, self.k, self.p, nodes)

    @property
    def deterministic(self) -> bool:
        return self.p == 0

    def draw(self, nodes: int, stream: random.Random) -> Iterable[tuple[int, int]]:
        # networkx's own function starts each shortcut at the smaller number of an edge of the ring: the first node
        # would have twice the shortcuts of others, and the last one only ends of them.
        graph = nx.circulant_graph(nodes, range(1, self.k // 2 + 1))
        edges = graph.number_of_edges()
        room = nodes * (nodes - 1) // 2 - edges
        shortcuts = min(room, sum(stream.random() < self.p for _ in range(edges)))
        while graph.number_of_edges() < edges + shortcuts:
            graph.add_edge(*stream.sample(range(nodes), 2))  # one that is there already stays
        return graph.edges()  # type: ignore[no-any-return]
