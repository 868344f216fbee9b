"""Drop edge, the regulariser of the paper's regular regime: a training step does without one random edge."""

import random
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from randwire import streams
from randwire.config import NetworkConfig
from randwire.dag import DAG

Edge = tuple[int, int]


def weighted_edges(dag: DAG) -> list[Edge]:
    """The edges that have a weight, those into nodes of in-degree above 1: by node, in the order of its inputs."""
    return [(i, j) for j, inputs in enumerate(dag.predecessors) if len(inputs) > 1 for i in inputs]


class DropEdge(nn.Module):
    """Draws the edges that a step does without; has no parameters.

    With probability P one edge, of those into nodes of in-degree above 1, is left out. What is recalled of the paper
    (certainty C and R) leaves open whether it is one edge for each graph or for the network, and whether the replicas
    of a step share it: `drop_edge_scope` and `drop_edge_ranks` choose. The rest is our reading: weights are not scaled
    up, and the sinks, which are averaged, stay those of the whole graph.

    `keep` (edges,) has a factor for each edge with a weight, of all stages in order: 0 for those that the step does
    without, 1 for the others. Each forward pass draws anew, unless draws are `manual`: who repeats a captured step
    calls `redraw` before it.
    """

    keep: Tensor

    def __init__(self, config: NetworkConfig, dags: Mapping[str, DAG]) -> None:
        super().__init__()
        self.probability, self.ranks = config.drop_edge, config.drop_edge_ranks
        edges = [(stage, (i, j)) for stage, dag in dags.items() for i, j in dag.edges if len(dag.predecessors[j]) > 1]
        scopes = [None] if config.drop_edge_scope == "network" else list(dags)
        self.pools = [[edge for edge in edges if scope in (None, edge[0])] for scope in scopes]
        self._stream = random.Random(0)
        self.manual = False
        weighted = {stage: weighted_edges(dag) for stage, dag in dags.items()}
        self._counts = {stage: len(edges) for stage, edges in weighted.items()}
        numbered = enumerate((stage, edge) for stage, edges in weighted.items() for edge in edges)
        self._numbers = {edge: number for number, edge in numbered}
        self.register_buffer("keep", torch.ones(len(self._numbers)), persistent=False)

    def seed(self, seed: int, epoch: int, rank: int, step: int = 0) -> None:
        """Start the draws of an epoch, or those that are left of it after `step` steps on another number of ranks.

        They do not depend on the rank unless the configuration says so.
        """
        self._stream = streams.drop_edge(seed, epoch, rank if self.ranks == "independent" else None, step)

    @property
    def state(self) -> tuple[Any, ...]:
        """Where the draws are: numbers, and tuples of them. What is set goes on from there."""
        return self._stream.getstate()

    @state.setter
    def state(self, value: tuple[Any, ...]) -> None:
        self._stream.setstate(value)

    def forward(self) -> dict[str, Tensor]:
        """The factors of this step by stage, in the order of `weighted_edges`. Empty where nothing can be dropped."""
        if not (self.training and self.probability):
            return {}
        if not self.manual:
            self.redraw()
        kept = self.keep.clone()  # a backward pass needs these, also after another draw
        return dict(zip(self._counts, torch.split(kept, list(self._counts.values())), strict=True))

    @torch.no_grad()
    def redraw(self) -> None:
        """Draw the edges of the next step, and write `keep` by fills on its device, for which the host waits not."""
        self.keep.fill_(1)
        for stage, edge in self.draw().items():
            self.keep[self._numbers[stage, edge]].fill_(0)

    def draw(self) -> dict[str, Edge]:
        """The edge that the next step does without, by stage; stages that keep all edges are absent.

        Empty in evaluation. Each pool takes two numbers of the stream, whatever they decide: draws of a step do not
        shift those of others.
        """
        dropped: dict[str, Edge] = {}
        if self.training and self.probability:
            for pool in self.pools:
                happens, which = self._stream.random() < self.probability, self._stream.random()
                if happens and pool:
                    stage, edge = pool[int(which * len(pool))]
                    dropped[stage] = edge
        return dropped
