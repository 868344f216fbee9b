"""Watts-Strogatz: a ring in which each node joins its K nearest, with every edge rewired with probability P."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import networkx as nx

from randwire.graphs._base import Domain, Generator
from randwire.graphs._ring import check_ring


@dataclass(frozen=True)
class WS(Generator):
    """WS(K,P), paper section 3.2. Exactly NK/2 edges; nodes are numbered clockwise."""

    k: int
    p: float
    order: ClassVar = 3
    domains: ClassVar = {"k": Domain(2, 8, 2), "p": Domain(0, 1, 0.05)}
    paper: ClassVar = (
        *((4, p) for p in (0.75, 0.5, 0.25, 1.0, 0.0)),
        *((k, p) for k in (2, 6, 8) for p in (1.0, 0.75, 0.5, 0.25, 0.0)),
    )

    def check(self, nodes: int) -> None:
        check_ring(self, self.k, self.p, nodes)

    @property
    def deterministic(self) -> bool:
        return self.p == 0

    def draw(self, nodes: int, stream: random.Random) -> Iterable[tuple[int, int]]:
        return nx.watts_strogatz_graph(nodes, self.k, self.p, seed=stream).edges()  # type: ignore[no-any-return]
