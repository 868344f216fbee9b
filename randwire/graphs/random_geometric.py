"""Random geometric: points in the unit square, joined where they are near each other."""

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import networkx as nx

from randwire.graphs._base import Domain, Generator


@dataclass(frozen=True)
class RandomGeometric(Generator):
    """RANDOM_GEOMETRIC(R), Gilbert (1961), Penrose (2003): uniform points in the unit square, joined where they are at
    most R apart.

    A pair is joined with probability pi R^2 - 8 R^3 / 3 + R^4 / 2 for R <= 1; pairs with a common node are dependent.
    Nodes are numbered by their first coordinate, from left to right: as on the ring of WS, near numbers are near
    in space, and edges are short. (Numbered at random, the geometry would show in triangles alone.)
    """

    radius: float
    default: ClassVar = False
    domains: ClassVar = {"radius": Domain(0.25, 0.5, 0.05)}

    def check(self, nodes: int) -> None:
        if self.radius <= 0:
            raise ValueError(f"{self}: radius must be above 0")

    @property
    def deterministic(self) -> bool:
        return self.radius >= math.sqrt(2)  # the diagonal of the square

    def draw(self, nodes: int, stream: random.Random) -> Iterable[tuple[int, int]]:
        points = sorted((stream.random(), stream.random()) for _ in range(nodes))
        return nx.random_geometric_graph(nodes, self.radius, pos=dict(enumerate(points))).edges()  # type: ignore[no-any-return]
