"""Barabasi-Albert: nodes are added one by one, each with M edges that prefer nodes of high degree."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import networkx as nx

from randwire.graphs._base import Domain, Generator


@dataclass(frozen=True)
class BA(Generator):
    """BA(M), paper section 3.2. Starts from M nodes without edges: M sources and exactly M(N-M) edges.

    Nodes are numbered in the order of their addition.
    """

    m: int
    order: ClassVar = 2
    domains: ClassVar = {"m": Domain(1, 8, 1)}
    paper: ClassVar = ((5,), (7,), (3,), (2,), (1,))

    def check(self, nodes: int) -> None:
        if not 1 <= self.m < nodes:
            raise ValueError(f"{self}: m must be in 1..{nodes - 1} for {nodes} nodes")

    def draw(self, nodes: int, stream: random.Random) -> Iterable[tuple[int, int]]:
        # networkx's own start, a star around node 0, would give one source. The first node added to M isolated nodes
        # must join all of them: a star around node M.
        start = nx.Graph((i, self.m) for i in range(self.m))
        return nx.barabasi_albert_graph(nodes, self.m, seed=stream, initial_graph=start).edges()  # type: ignore[no-any-return]
