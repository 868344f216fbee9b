"""Which layer every node of a stage is in, and in which order: few edges cross.

The unique input node is above all and feeds all sources, the unique output node is below all and is fed by all sinks.
The output of a node is one tensor that all its consumers share, so its edges share one trunk: a chain with one dummy
vertex a layer, which the edges leave just above their consumers.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from randwire.dag import DAG

MAX_SWEEPS = 16
"""Sweeps over the layers that order them; fewer for large graphs."""

Order = list[list[int]]


@dataclass(frozen=True)
class Layers:
    """Vertices in layers. Beyond the nodes, the input and the output, they are the dummies of the trunks."""

    levels: tuple[int, ...]
    """Layer of every vertex, dummies included."""
    trunks: tuple[tuple[int, ...], ...]
    """For every vertex of the stage: itself and its dummies, one a layer."""
    edges: tuple[tuple[int, int], ...]
    """The edges of the stage, with those of the input and output node."""

    @cached_property
    def segments(self) -> tuple[tuple[int, int], ...]:
        """All connections between neighbouring layers, trunks once."""
        inner = [pair for trunk in self.trunks for pair in pairwise(trunk)]
        return tuple(sorted([*inner, *((self.leave(i, j), j) for i, j in self.edges)]))

    @cached_property
    def above(self) -> tuple[tuple[int, ...], ...]:
        return self._neighbours([(j, i) for i, j in self.segments])

    @cached_property
    def below(self) -> tuple[tuple[int, ...], ...]:
        return self._neighbours(self.segments)

    def leave(self, source: int, target: int) -> int:
        """The vertex of the source's trunk from which the edge goes to its target."""
        return self.trunks[source][self.levels[target] - self.levels[source] - 1]

    def trivial(self) -> Order:
        """Every layer in the order of its vertices' numbers."""
        order: Order = [[] for _ in range(max(self.levels) + 1)]
        for vertex, level in enumerate(self.levels):
            order[level].append(vertex)
        return order

    def _neighbours(self, pairs: Sequence[tuple[int, int]]) -> tuple[tuple[int, ...], ...]:
        neighbours: list[list[int]] = [[] for _ in self.levels]
        for vertex, other in pairs:
            neighbours[vertex].append(other)
        return tuple(map(tuple, neighbours))


def layers(dag: DAG) -> Layers:
    """The layers of a stage: a node below all its inputs, a source just above its first consumer."""
    source, sink = dag.nodes, dag.nodes + 1
    levels = [level + 1 for level in dag.levels]
    for node in dag.sources:
        levels[node] = min((levels[other] for other in dag.successors[node]), default=2) - 1
    levels += [0, dag.depth + 1]
    edges = sorted([*dag.edges, *((source, node) for node in dag.sources), *((node, sink) for node in dag.sinks)])
    trunks = []
    for vertex in range(dag.nodes + 2):
        last = max((levels[j] for i, j in edges if i == vertex), default=0)
        dummies = range(levels[vertex] + 1, last)
        trunks.append((vertex, *range(len(levels), len(levels) + len(dummies))))
        levels += dummies
    return Layers(tuple(levels), tuple(trunks), tuple(edges))


def crossings(stage: Layers, order: Order) -> int:
    """How many pairs of segments cross when the layers are in this order."""
    count = 0
    for upper, lower in pairwise(order):
        position = {vertex: k for k, vertex in enumerate(lower)}
        seen: list[int] = []
        for vertex in upper:
            ends = sorted(position[other] for other in stage.below[vertex])
            for end in ends:
                count += len(seen) - bisect_left(seen, end + 1)
            seen = sorted(seen + ends)
    return count


def arrange(stage: Layers) -> Order:
    """An order of every layer with few crossings: sweeps by barycentre, then exchanges of neighbours."""
    order = best = stage.trivial()
    fewest = crossings(stage, best)
    sweeps = max(2, min(MAX_SWEEPS, 30_000 // (len(stage.segments) + 1)))
    for sweep in range(sweeps):
        down = sweep % 2 == 0
        neighbours = stage.above if down else stage.below
        order = [list(layer) for layer in order]
        position = {vertex: float(k) for layer in order for k, vertex in enumerate(layer)}
        for layer in order if down else reversed(order):
            # Ties change sides on every other pair of sweeps, so that sweeps do not settle too early.
            layer.sort(key=lambda vertex: position[vertex], reverse=sweep % 4 > 1)
            layer.sort(key=lambda vertex: _mean([position[other] for other in neighbours[vertex]], position[vertex]))
            position.update((vertex, float(k)) for k, vertex in enumerate(layer))
        _exchange(stage, order)
        count = crossings(stage, order)
        if count < fewest:
            fewest, best = count, order
    return best


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default


def _exchange(stage: Layers, order: Order) -> None:
    """Exchange neighbours in a layer while that removes crossings."""
    position = {vertex: k for layer in order for k, vertex in enumerate(layer)}
    for _ in range(4):
        changed = False
        for layer in order:
            for k in range(len(layer) - 1):
                a, b = layer[k], layer[k + 1]
                gain = 0
                for neighbours in (stage.above, stage.below):
                    left = [position[other] for other in neighbours[a]]
                    right = [position[other] for other in neighbours[b]]
                    gain += sum((x > y) - (x < y) for x in left for y in right)
                if gain > 0:
                    layer[k], layer[k + 1] = b, a
                    position[a], position[b] = k + 1, k
                    changed = True
        if not changed:
            return
