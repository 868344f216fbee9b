"""Power-law cluster: Barabasi-Albert with triangles."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from randwire.graphs._base import Domain, Generator


@dataclass(frozen=True)
class PowerlawCluster(Generator):
    """POWERLAW_CLUSTER(M,P), Holme & Kim (2002): BA(M) with clusters; P = 0 is BA(M). M sources, exactly M(N-M) edges.

    Each new node has M edges. The first prefers nodes of high degree; each further one goes with probability P to a
    neighbour of the node that was preferred last, which makes a triangle, and else, or where it has no neighbour left,
    prefers again. As BA it starts from M nodes without edges, and nodes are numbered in the order of their addition.
    """

    m: int
    p: float
    default: ClassVar = False
    domains: ClassVar = {"m": Domain(1, 8, 1), "p": Domain(0, 1, 0.1)}

    def check(self, nodes: int) -> None:
        if not 1 <= self.m < nodes:
            raise ValueError(f"{self}: m must be at least 1 and below the number of nodes, {nodes}")
        if not 0 <= self.p <= 1:
            raise ValueError(f"{self}: p must be in 0..1")

    def draw(self, nodes: int, stream: random.Random) -> Iterable[tuple[int, int]]:
        # networkx's own function counts an edge too many of the first M nodes, loses edges where a preferred node is
        # joined by a triangle first, and takes preferred nodes in the order of their numbers.
        neighbours: list[set[int]] = [set() for _ in range(nodes)]
        ends: list[int] = []  # each node as often as it has edges
        for node in range(self.m, nodes):
            joined = neighbours[node]
            preferred: int | None = None
            while len(joined) < self.m:
                near = [] if preferred is None else sorted(neighbours[preferred] - joined - {node})
                if near and stream.random() < self.p:
                    other = stream.choice(near)
                else:
                    other = preferred = self._preferred(joined, ends, stream)
                joined.add(other)
                neighbours[other].add(node)
            ends += [*sorted(joined), *[node] * self.m]
        return [(other, node) for node in range(self.m, nodes) for other in neighbours[node] if other < node]

    def _preferred(self, joined: set[int], ends: list[int], stream: random.Random) -> int:
        """A node that is not joined yet, by degree; the first node of all joins the M without edges."""
        while (other := stream.choice(ends) if ends else len(joined)) in joined:
            pass
        return other
