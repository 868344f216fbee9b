"""Where the nodes and edges of a stage go: a small Sugiyama layout in plain Python.

igraph's Sugiyama layout, on the same layers of ER(0.2), BA(5) and WS(4,0.75) with 32 nodes and three seeds each, drew
1.5 to 2.8 times the crossings with 1.7 to 5.7 times the length of lines, and 450 to 1440 pixels wide instead of 220 to
290. It gives every edge dummies of its own where all edges of a node share one trunk here, and it does not pull nodes
towards the middle, so its drawings are a wide band in which no direction is seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from randwire.dag import DAG
from randwire.drawing.layers import Layers, Order, arrange, crossings, layers

STRAIGHT_ROUNDS, FREE_ROUNDS = 40, 10
"""Rounds of settling with straight trunks, and then with free ones."""
TRUNK_WEIGHT = 3.0
"""How much more strongly a trunk holds together than an edge pulls at its ends."""
CENTRING_WEIGHT = 0.35
"""How strongly all vertices are drawn to the middle of the stage, in pulls of their edges."""
DUMMY_RADIUS_PX = 1.5
MARGIN_PX = 12.0

Point = tuple[float, float]


@dataclass(frozen=True)
class Strand:
    """A piece of trunk that the same edges share, or the end of one edge: cubic Bezier pieces from top to bottom."""

    source: int
    targets: tuple[int, ...]
    span: int
    """Levels down the shortest of its edges; 1 for neighbouring levels."""
    start: Point
    pieces: tuple[tuple[Point, Point, Point], ...]
    """Two control points and an end each."""


@dataclass(frozen=True)
class Layout:
    """The drawing of one stage in pixels. Vertex `nodes` is the input node, vertex `nodes + 1` the output node."""

    nodes: int
    width: float
    height: float
    centres: tuple[Point, ...]
    radii: tuple[float, ...]
    edges: tuple[tuple[int, int], ...]
    """The edges of the stage, with those of the input and output node."""
    strands: tuple[Strand, ...]
    """Long edges first: drawn in this order, a shorter one is on top."""
    crossings: int


def lay_out(dag: DAG) -> Layout:
    """The drawing of one stage."""
    stage = layers(dag)
    order = arrange(stage)
    inputs = [len(others) for others in dag.predecessors]
    radii = [4.2 + 0.28 * min(count, 9) for count in inputs] + [6.2, 6.2]
    half_widths = radii + [DUMMY_RADIUS_PX] * (len(stage.levels) - len(radii))
    gap = max(21.0, min(40.0, 760 / len(order)))
    xs = _positions(stage, order, half_widths)
    left = min(x - r for x, r in zip(xs, half_widths, strict=True)) - MARGIN_PX
    xs = [round(x - left, 1) for x in xs]
    ys = [round(MARGIN_PX + 6 + gap * level, 1) for level in stage.levels]
    return Layout(
        nodes=dag.nodes,
        width=max(x + r for x, r in zip(xs, half_widths, strict=True)) + MARGIN_PX,
        height=max(ys) + MARGIN_PX + 6,
        centres=tuple(zip(xs, ys, strict=True))[: dag.nodes + 2],
        radii=tuple(radii),
        edges=stage.edges,
        strands=tuple(_strands(stage, xs, ys)),
        crossings=crossings(stage, order),
    )


def _positions(stage: Layers, order: Order, half_widths: Sequence[float]) -> list[float]:
    """Horizontal positions that keep the order and the widths of the vertices: first straight trunks, then at ease."""
    xs = [0.0] * len(stage.levels)
    for layer in order:
        steps = [_min_distance(half_widths, a, b) for a, b in pairwise(layer)]
        x = -sum(steps) / 2
        for vertex, step in zip(layer, [*steps, 0.0], strict=True):
            xs[vertex] = x
            x += step
    centred = list(xs)
    xs = _settle(stage, order, half_widths, _blocks(stage, order), xs, centred, STRAIGHT_ROUNDS)
    return _settle(stage, order, half_widths, list(range(len(xs))), xs, centred, FREE_ROUNDS)


def _settle(
    stage: Layers,
    order: Order,
    half_widths: Sequence[float],
    block: Sequence[int],
    start: Sequence[float],
    centred: Sequence[float],
    rounds: int,
) -> list[float]:
    """Move each block of vertices towards its neighbours, and a little towards the middle, as far as there is room."""
    count = max(block) + 1
    members: list[list[int]] = [[] for _ in range(count)]
    for vertex, b in enumerate(block):
        members[b].append(vertex)
    distance: dict[tuple[int, int], float] = {}
    for layer in order:
        for a, b in pairwise(layer):
            pair = block[a], block[b]
            distance[pair] = max(_min_distance(half_widths, a, b), distance.get(pair, 0.0))
    lefts: list[list[tuple[int, float]]] = [[] for _ in range(count)]
    rights: list[list[tuple[int, float]]] = [[] for _ in range(count)]
    for (a, b), step in distance.items():
        lefts[b].append((a, step))
        rights[a].append((b, step))
    ranking = _ranking(lefts, rights)
    low = [sum(start[vertex] for vertex in group) / len(group) for group in members]
    high = list(low)
    for b in ranking:
        low[b] = max([low[b], *(low[a] + step for a, step in lefts[b])])
    for b in reversed(ranking):
        high[b] = min([high[b], *(high[a] - step for a, step in rights[b])])
    xs = [(a + b) / 2 for a, b in zip(low, high, strict=True)]  # both keep the distances, so their mean does

    real = len(stage.trunks)
    pulls: list[list[tuple[int, float]]] = [[] for _ in range(count)]
    for i, j in stage.segments:
        if block[i] != block[j]:
            weight = TRUNK_WEIGHT if j >= real else 1.0
            pulls[block[i]].append((block[j], weight))
            pulls[block[j]].append((block[i], weight))
    middle = [CENTRING_WEIGHT * sum(centred[vertex] for vertex in group) / len(group) for group in members]
    for turn in range(rounds):
        for b in ranking if turn % 2 else reversed(ranking):
            total = sum(weight for _, weight in pulls[b])
            x = (total * middle[b] + sum(xs[a] * weight for a, weight in pulls[b])) / (total * (1 + CENTRING_WEIGHT))
            x = min([x, *(xs[a] - step for a, step in rights[b])])
            xs[b] = max([x, *(xs[a] + step for a, step in lefts[b])])
    return [xs[b] for b in block]


def _min_distance(half_widths: Sequence[float], a: int, b: int) -> float:
    """Least distance of two neighbours in a layer."""
    return half_widths[a] + half_widths[b] + (9 if max(half_widths[a], half_widths[b]) > DUMMY_RADIUS_PX else 5)


def _blocks(stage: Layers, order: Order) -> list[int]:
    """For every vertex, the block of vertices that get one position: pieces of trunks that cross no other trunk."""
    position = {vertex: k for layer in order for k, vertex in enumerate(layer)}
    follower = {a: b for trunk in stage.trunks for a, b in pairwise(trunk)}
    block = list(range(len(stage.levels)))
    for layer in order:
        heads = [vertex for vertex in layer if vertex in follower]
        # The longest increasing run of positions below: the most trunks that go on without a crossing.
        chains: list[list[int]] = []
        for k, vertex in enumerate(heads):
            before = [chains[m] for m in range(k) if position[follower[heads[m]]] < position[follower[vertex]]]
            chains.append([*max(before, key=len, default=[]), vertex])
        for vertex in max(chains, key=len, default=[]):
            block[follower[vertex]] = block[vertex]
    number = {name: k for k, name in enumerate(sorted(set(block)))}
    return [number[name] for name in block]


def _ranking(lefts: Sequence[Sequence[tuple[int, float]]], rights: Sequence[Sequence[tuple[int, float]]]) -> list[int]:
    """The blocks from left to right."""
    waiting = [len(others) for others in lefts]
    ready = [b for b, others in enumerate(waiting) if not others]
    for b in ready:
        for other, _ in rights[b]:
            waiting[other] -= 1
            if not waiting[other]:
                ready.append(other)
    return ready


def _strands(stage: Layers, xs: Sequence[float], ys: Sequence[float]) -> list[Strand]:
    """All edges in pieces that are drawn once."""
    slopes = _slopes(stage, xs)
    users: dict[tuple[int, int], list[int]] = {}
    for i, j in stage.edges:
        for pair in pairwise([*stage.trunks[i][: stage.levels[j] - stage.levels[i]], j]):
            users.setdefault(pair, []).append(j)
    strands = []
    for source, trunk in enumerate(stage.trunks):
        for k, vertex in enumerate(trunk):
            for other in stage.below[vertex]:
                targets = users[vertex, other]
                if k and users[trunk[k - 1], vertex] == targets:
                    continue  # no edge leaves here: the piece belongs to the strand above
                path = [vertex, other]
                while path[-1] >= len(stage.trunks) and len(stage.below[path[-1]]) == 1:
                    path.append(stage.below[path[-1]][0])
                span = min(stage.levels[target] for target in targets) - stage.levels[source]
                strands.append(
                    Strand(source, tuple(targets), span, (xs[vertex], ys[vertex]), _curve(path, xs, ys, slopes))
                )
    return sorted(strands, key=lambda strand: (-strand.span, strand.source, strand.targets))


def _curve(
    path: Sequence[int], xs: Sequence[float], ys: Sequence[float], slopes: Sequence[float]
) -> tuple[tuple[Point, Point, Point], ...]:
    """The Bezier pieces through vertices in neighbouring layers."""
    pieces = []
    for a, b in pairwise(path):
        third = (ys[b] - ys[a]) / 3
        before = (xs[a] + slopes[a] / 3, ys[a] + third)
        after = (xs[b] - slopes[b] / 3, ys[b] - third)
        pieces.append((before, after, (xs[b], ys[b])))
    return tuple(pieces)


def _slopes(stage: Layers, xs: Sequence[float]) -> list[float]:
    """Sideways steps a layer at which trunks pass their vertices, so that trunks bend smoothly and do not swing."""
    slopes = [0.0] * len(stage.levels)
    for trunk in stage.trunks:
        for a, b, c in zip(trunk, trunk[1:], trunk[2:], strict=False):
            first, second = xs[b] - xs[a], xs[c] - xs[b]
            if first * second > 0:
                slopes[b] = 2 * first * second / (first + second)
    return slopes
