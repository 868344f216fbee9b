"""The DAG value: a directed acyclic graph whose edges point from lower to higher node numbers.

Orientation follows the paper (section 3.2): number the nodes, point every edge from the smaller to the larger number.
The value is independent of networkx, so a recorded graph survives a change of random streams. Its measures are computed
here, on sets of bits: a plan has those of thousands of graphs, and networkx takes a millisecond for each.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from operator import add


@dataclass(frozen=True)
class Measures:
    """Graph measures of one DAG. Clustering and path length are those of the undirected graph.

    Paths from the input node of a stage to its output node are those from a source to a sink; both nodes themselves do
    not count.
    """

    nodes: int
    edges: int
    sources: int
    sinks: int
    depth: int  # nodes on the longest path
    clustering: float  # mean local clustering coefficient
    path_length: float  # mean shortest path length between pairs of nodes; inf if disconnected
    mean_degree: float
    max_in_degree: int
    max_out_degree: int
    shortest_path: int  # nodes on the shortest path from the input node to the output node
    mean_path: float  # mean number of nodes over all paths from the input node to the output node
    betweenness: float  # largest betweenness centrality of a node, along the edges

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


@dataclass(frozen=True)
class DAG:
    """Nodes 0..nodes-1 and sorted, unique edges (i, j) with i < j. Raises ValueError if that does not hold."""

    nodes: int
    edges: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        if self.nodes < 1:
            raise ValueError(f"a DAG needs at least one node, not {self.nodes}")
        for i, j in self.edges:
            if not 0 <= i < j < self.nodes:
                raise ValueError(f"edge ({i}, {j}) breaks 0 <= i < j < {self.nodes}")
        if list(self.edges) != sorted(set(self.edges)):
            raise ValueError("edges must be sorted and unique")

    @classmethod
    def orient(cls, nodes: int, edges: Iterable[tuple[int, int]]) -> "DAG":
        """The DAG of an undirected graph: each edge points from the smaller to the larger number."""
        return cls(nodes, tuple(sorted({(min(edge), max(edge)) for edge in edges})))

    @classmethod
    def from_text(cls, text: str) -> "DAG":
        """Read the 0/1 adjacency matrix that `to_text` writes. Raises ValueError naming the line at fault."""
        return _from_text(text)

    def to_text(self) -> str:
        """The adjacency matrix as text: one row a line, entries 0 or 1, upper triangular."""
        present = set(self.edges)
        rows = (" ".join("1" if (i, j) in present else "0" for j in range(self.nodes)) for i in range(self.nodes))
        return "\n".join(rows) + "\n"

    @cached_property
    def predecessors(self) -> tuple[tuple[int, ...], ...]:
        """For each node, the nodes with an edge into it, ascending."""
        inputs: list[list[int]] = [[] for _ in range(self.nodes)]
        for i, j in self.edges:
            inputs[j].append(i)
        return tuple(map(tuple, inputs))

    @cached_property
    def successors(self) -> tuple[tuple[int, ...], ...]:
        """For each node, the nodes that it has an edge to, ascending."""
        outputs: list[list[int]] = [[] for _ in range(self.nodes)]
        for i, j in self.edges:
            outputs[i].append(j)
        return tuple(map(tuple, outputs))

    @cached_property
    def sources(self) -> tuple[int, ...]:
        """Nodes without an edge into them."""
        return tuple(node for node in range(self.nodes) if not self.predecessors[node])

    @cached_property
    def sinks(self) -> tuple[int, ...]:
        """Nodes without an edge out of them."""
        return tuple(node for node in range(self.nodes) if not self.successors[node])

    @cached_property
    def levels(self) -> tuple[int, ...]:
        """For each node, the number of edges on the longest path that ends in it (0 for a source)."""
        levels: list[int] = []
        for node in range(self.nodes):
            levels.append(1 + max((levels[i] for i in self.predecessors[node]), default=-1))
        return tuple(levels)

    @property
    def depth(self) -> int:
        """Nodes on the longest path."""
        return 1 + max(self.levels)

    @cached_property
    def connected(self) -> bool:
        """Whether the undirected graph is connected."""
        seen, stack = {0}, [0]
        while stack:
            node = stack.pop()
            for other in self.predecessors[node] + self.successors[node]:
                if other not in seen:
                    seen.add(other)
                    stack.append(other)
        return len(seen) == self.nodes

    def without_edge(self, edge: tuple[int, int]) -> "DAG":
        """The DAG without one edge. Raises ValueError if there is no such edge."""
        if edge not in self.edges:
            raise ValueError(f"no edge {edge} in this DAG")
        return DAG(self.nodes, tuple(other for other in self.edges if other != edge))

    def measures(self) -> Measures:
        """Graph measures, for logging and for plots against top-1."""
        shortest_path, mean_path = self._paths()
        return Measures(
            nodes=self.nodes,
            edges=len(self.edges),
            sources=len(self.sources),
            sinks=len(self.sinks),
            depth=self.depth,
            clustering=self._clustering(),
            path_length=self._path_length(),
            mean_degree=2 * len(self.edges) / self.nodes,
            max_in_degree=max(map(len, self.predecessors)),
            max_out_degree=max(map(len, self.successors)),
            shortest_path=shortest_path,
            mean_path=mean_path,
            betweenness=self._betweenness(),
        )

    @cached_property
    def _neighbours(self) -> tuple[tuple[int, ...], ...]:
        return tuple(before + after for before, after in zip(self.predecessors, self.successors, strict=True))

    def _clustering(self) -> float:
        sets = [sum(1 << other for other in others) for others in self._neighbours]
        coefficients = []
        for node, others in enumerate(self._neighbours):
            linked = sum((sets[other] & sets[node]).bit_count() for other in others)  # each link among them twice
            coefficients.append(linked / (len(others) * (len(others) - 1)) if linked else 0.0)
        return sum(coefficients) / self.nodes

    def _path_length(self) -> float:
        if not self.connected:
            return float("inf")
        # The sum of all distances is the number of pairs further apart than 0, plus those further than 1, and so on.
        reached, total = [1 << node for node in range(self.nodes)], 0
        while further := self.nodes**2 - sum(map(int.bit_count, reached)):
            total += further
            before, reached = reached, []
            for nodes, others in zip(before, self._neighbours, strict=True):
                for other in others:
                    nodes |= before[other]
                reached.append(nodes)
        return total / max(1, self.nodes * (self.nodes - 1))

    def _paths(self) -> tuple[int, float]:
        """Nodes on the shortest path from the input node to the output node, and their mean number over all paths."""
        shortest: list[int] = []  # nodes on the shortest path that ends in each node
        paths: list[int] = []  # how many there are; a complete graph of 4,096 nodes has 2^4094 in all
        lengths: list[int] = []  # the sum of the numbers of nodes on these
        for inputs in self.predecessors:
            shortest.append(1 + min([shortest[i] for i in inputs], default=0))
            paths.append(sum([paths[i] for i in inputs]) if inputs else 1)
            lengths.append(sum([lengths[i] for i in inputs]) + paths[-1])
        total, number = (sum([values[node] for node in self.sinks]) for values in (lengths, paths))
        return min([shortest[node] for node in self.sinks]), total / number

    def _betweenness(self) -> float:
        """By Brandes (2001): for each pair of nodes, the share of the shortest paths between them that pass a node."""
        targets = self.successors
        below = [1 << node for node in range(self.nodes)]  # the nodes that can be reached from each
        for node in reversed(range(self.nodes)):
            for other in targets[node]:
                below[node] |= below[other]
        totals = [0.0] * self.nodes
        for start, first in enumerate(targets):
            level: Sequence[int] = first
            left = below[start].bit_count() - 1 - len(first)
            if not left:
                continue  # no path from here passes a node
            paths = [0] * self.nodes  # how many of the shortest ones from the start
            for node in (start, *first):
                paths[node] = 1
            seen, steps = paths[:], []
            while left:
                further = []
                for node in level:
                    for other in targets[node]:
                        if not seen[other]:
                            if not paths[other]:
                                further.append(other)
                            paths[other] += paths[node]
                            steps.append((node, other))
                for node in further:
                    seen[node] = 1
                left -= len(further)
                level = further
            passed = [0.0] * self.nodes
            for node, other in reversed(steps):
                passed[node] += (1 + passed[other]) * paths[node] / paths[other]
            totals = list(map(add, totals, passed))
        return max(totals) / max(1, (self.nodes - 1) * (self.nodes - 2))


def graph_key(dags: Mapping[str, DAG]) -> str:
    """16 hexadecimal digits that name the graphs of a network, by stage: where they are equal, so are the graphs."""
    text = "\n".join(f"{stage}\n{dags[stage].to_text()}" for stage in sorted(dags))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@lru_cache(maxsize=16)  # the stages of a record mostly have one text, and then share one value
def _from_text(text: str) -> DAG:
    rows = [line.split() for line in text.splitlines() if line.strip()]
    edges = []
    for i, row in enumerate(rows):
        if len(row) != len(rows):
            raise ValueError(f"adjacency row {i + 1} has {len(row)} entries, expected {len(rows)}")
        for j, entry in enumerate(row):
            if entry not in ("0", "1"):
                raise ValueError(f"adjacency row {i + 1}, column {j + 1} is {entry!r}, expected 0 or 1")
            if entry == "1":
                if j <= i:
                    raise ValueError(f"adjacency row {i + 1}, column {j + 1}: only entries above the diagonal")
                edges.append((i, j))
    return DAG(len(rows), tuple(edges))
