"""Erdos-Renyi: each pair of nodes is joined with probability P, independently of the others."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import networkx as nx

from randwire.graphs._base import Domain, Generator


@dataclass(frozen=True)
class ER(Generator):
    """ER(P), paper section 3.2. Edges: binomial with mean P N(N-1)/2.

    The paper numbers the nodes of an ER graph at random. Its distribution is exchangeable, so the numbers that
    networkx gives are such a random numbering already.
    """

    p: float
    order: ClassVar = 1
    domains: ClassVar = {"p": Domain(0.1, 0.9, 0.05)}
    paper: ClassVar = ((0.2,), (0.4,), (0.6,), (0.8,))

    def check(self, nodes: int) -> None:
        if not 0 <= self.p <= 1:
            raise ValueError(f"{self}: p must be in 0..1")
        if self.p == 0 and nodes > 1:
            raise ValueError(f"{self}: p must be above 0 for {nodes} nodes, or no graph is connected")

    @property
    def deterministic(self) -> bool:
        return self.p == 1

    def draw(self, nodes: int, stream: random.Random) -> Iterable[tuple[int, int]]:
        return nx.gnp_random_graph(nodes, self.p, seed=stream).edges()  # type: ignore[no-any-return]
