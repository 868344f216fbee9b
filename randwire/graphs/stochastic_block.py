"""Stochastic block model: dense blocks, with fewer edges between them."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import networkx as nx

from randwire.graphs._base import Domain, Generator


@dataclass(frozen=True)
class StochasticBlock(Generator):
    """STOCHASTIC_BLOCK(B,P_IN,P_OUT), Holland, Laskey & Leinhardt (1983): B blocks of equal size, the first ones larger
    by a node where N is no multiple of B.

    Each pair of nodes is joined with probability P_IN within a block and P_OUT between blocks, independently of the
    others: edges are binomial in both. Nodes are numbered block after block, so that the blocks follow one another as
    the modules of a network do, and edges between blocks lead to later ones. Within a block the numbers are random.
    """

    blocks: int
    p_in: float
    p_out: float
    default: ClassVar = False
    domains: ClassVar = {
        "blocks": Domain(2, 6, 2),
        "p_in": Domain(0.4, 0.8, 0.1),
        "p_out": Domain(0.1, 0.3, 0.1),
    }

    def check(self, nodes: int) -> None:
        if not 1 <= self.blocks <= nodes:
            raise ValueError(f"{self}: blocks must be in 1..{nodes}, the number of nodes")
        for name in ("p_in", "p_out"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{self}: {name} must be in 0..1")
        if self.p_out == 0 and self.blocks > 1:
            raise ValueError(f"{self}: p_out must be above 0 for more than one block, or no graph is connected")
        if self.p_in == 0 and self.blocks == 1 and nodes > 1:
            raise ValueError(f"{self}: p_in must be above 0 for one block, or no graph is connected")

    @property
    def deterministic(self) -> bool:
        return self.p_in in (0, 1) and (self.blocks == 1 or self.p_out in (0, 1))

    def draw(self, nodes: int, stream: random.Random) -> Iterable[tuple[int, int]]:
        size, larger = divmod(nodes, self.blocks)
        sizes = [size + (block < larger) for block in range(self.blocks)]
        shares = [[self.p_in if i == j else self.p_out for j in range(self.blocks)] for i in range(self.blocks)]
        # Not `sparse`, which divides by log(1 - p): by zero for the smallest probabilities.
        return nx.stochastic_block_model(sizes, shares, seed=stream, sparse=False).edges()  # type: ignore[no-any-return]
