"""Watts-Strogatz: a ring in which each node joins its K nearest, with every edge rewired with probability P."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import networkx as nx

from randwire.graphs._base import Domain, Generator


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
        # networkx lowers an odd k without a word
        if self.k < 2 or self.k % 2:
            raise ValueError(f"{self}: k must be even and at least 2")
        if self.k >= nodes:
            raise ValueError(f"{self}: k must be below the number of nodes, {nodes}")
        if not 0 <= self.p <= 1:
            raise ValueError(f"{self}: p must be in 0..1")

    @property
    def deterministic(self) -> bool:
        return self.p == 0

    def draw(self, nodes: int, stream: random.Random) -> Iterable[tuple[int, int]]:
        return nx.watts_strogatz_graph(nodes, self.k, self.p, seed=stream).edges()  # type: ignore[no-any-return]
