"""Wirings beside those of the paper: exact values, and distributions from their definitions.

Distributions are compared as `chance` says. That all keep the contract of a generator is tested by test_graphs.py.
"""

import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache

import pytest
from chance import SAMPLES, assert_alike, assert_counts, assert_mean, assert_near, assert_share, counted

from randwire import graphs, registry, wiring
from randwire.config import load
from randwire.dag import DAG
from randwire.errors import ConfigError
from randwire.graphs import Generator
from randwire.study import space

N = 32
PAIRS = list(itertools.combinations(range(N), 2))
WIRINGS = tuple(name for name in registry.names(graphs.__name__) if not space.kind(name).default)
BEST: list[Generator] = [graphs.parse(spec) for spec in space.best(WIRINGS)]


@pytest.fixture(scope="module", autouse=True)
def _count_of_comparisons() -> Iterator[None]:
    with counted():
        yield


def _dag(spec: str, nodes: int = N, seed: int = 0) -> DAG:
    return graphs.parse(spec).sample(nodes, random.Random(seed)).dag


@cache
def _drawn(spec: str, nodes: int = N) -> tuple[DAG, ...]:
    """Draws, connected or not."""
    generator, stream = graphs.parse(spec), random.Random(spec)
    return tuple(DAG.orient(nodes, generator.draw(nodes, stream)) for _ in range(SAMPLES))


def _degrees(dag: DAG) -> list[int]:
    return [len(dag.predecessors[node]) + len(dag.successors[node]) for node in range(dag.nodes)]


def _triangles(dag: DAG) -> int:
    return sum(len(set(dag.predecessors[i]) & set(dag.predecessors[j])) for i, j in dag.edges)


def test_they_are_none_of_the_default_study() -> None:
    assert set(WIRINGS) == {
        "chain", "residual", "complete", "random_regular", "newman_watts", "powerlaw_cluster", "stochastic_block",
        "random_geometric",
    }  # fmt: skip
    assert not set(WIRINGS) & set(space.default())


# Hand-made ones.


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("chain", "0 1 0 0\n0 0 1 0\n0 0 0 1\n0 0 0 0\n"),
        ("residual", "0 1 1 0\n0 0 1 1\n0 0 0 1\n0 0 0 0\n"),
        ("complete", "0 1 1 1\n0 0 1 1\n0 0 0 1\n0 0 0 0\n"),
    ],
)
def test_hand_made_wirings_are_these_matrices(spec: str, text: str) -> None:
    assert _dag(spec, 4).to_text() == text
    assert graphs.parse(spec).deterministic
    assert graphs.parse(spec).label == spec.upper()


@pytest.mark.parametrize("nodes", [1, 2, 3, 6, 32, 33])
def test_hand_made_wirings_of_any_size(nodes: int) -> None:
    chain, residual, complete = (_dag(spec, nodes) for spec in ("chain", "residual", "complete"))
    pairs = list(itertools.combinations(range(nodes), 2))
    assert list(chain.edges) == [(i, j) for i, j in pairs if j == i + 1]
    assert list(residual.edges) == [(i, j) for i, j in pairs if j <= i + 2]
    assert list(complete.edges) == pairs
    assert len(residual.edges) == max(0, 2 * nodes - 3)
    for dag in (chain, residual, complete):
        assert (dag.sources, dag.sinks, dag.depth) == ((0,), (nodes - 1,), nodes)


def test_residual_is_the_ring_lattice_without_the_edges_that_close_it() -> None:
    assert set(_dag("ws:k=4,p=0").edges) - set(_dag("residual").edges) == {(0, 30), (0, 31), (1, 31)}
    assert set(_dag("residual").edges) < set(_dag("ws:k=4,p=0").edges)
    assert _dag("complete") == _dag("er:p=1")


# Random regular.


@pytest.mark.parametrize(
    ("d", "nodes"), [(1, 2), (2, 3), (2, 32), (3, 4), (3, 32), (4, 31), (8, 32), (20, 32), (30, 32), (31, 32)]
)
def test_random_regular_degrees(d: int, nodes: int) -> None:
    for seed in range(10):
        dag = _dag(f"random_regular:d={d}", nodes, seed)
        assert _degrees(dag) == [d] * nodes
        assert len(dag.edges) == nodes * d // 2


@pytest.mark.parametrize("d", [4, 24])
def test_random_regular_treats_all_nodes_alike(d: int) -> None:
    dags = _drawn(f"random_regular:d={d}")
    counts = Counter(edge for dag in dags for edge in dag.edges)
    for pair in PAIRS if d == 4 else PAIRS[::31]:
        assert_share(counts[pair], SAMPLES, d / (N - 1))
    # A node's neighbours are any d of the others: node j is a source if all are later ones. Sums to N / (d + 1).
    assert_mean([len(dag.sources) for dag in dags], N / (d + 1))
    assert_mean([len(dag.sinks) for dag in dags], N / (d + 1))


# Newman-Watts.


@pytest.mark.parametrize(("k", "p"), [(2, 1), (4, 0.5), (8, 0.05)])
def test_newman_watts_adds_a_binomial_number_of_shortcuts_and_removes_nothing(k: int, p: float) -> None:
    ring = set(_dag(f"ws:k={k},p=0").edges)
    dags = _drawn(f"newman_watts:k={k},p={p}")
    assert all(ring <= set(dag.edges) for dag in dags)
    assert_counts([len(dag.edges) - N * k // 2 for dag in dags], [p] * (N * k // 2))
    for dag in dags[:20]:
        assert (dag.sources, dag.sinks, dag.depth) == ((0,), (N - 1,), N)
    assert any(not ring <= set(dag.edges) for dag in _drawn(f"ws:k={k},p={p}")), "Watts-Strogatz moves edges"


def test_newman_watts_shortcuts_join_any_two_nodes() -> None:
    k, p = 4, 0.5
    ring = set(_dag(f"ws:k={k},p=0").edges)
    counts = Counter(edge for dag in _drawn(f"newman_watts:k={k},p={p}") for edge in dag.edges)
    for pair in set(PAIRS) - ring:
        assert_share(counts[pair], SAMPLES, p * N * k / 2 / (len(PAIRS) - len(ring)))


def test_newman_watts_without_and_with_all_shortcuts() -> None:
    assert _dag("newman_watts:k=4,p=0") == _dag("ws:k=4,p=0")
    assert len(_dag("newman_watts:k=4,p=1").edges) == 128
    assert _dag("newman_watts:k=8,p=1", 10) == _dag("complete", 10), "there is room for 5 of 40"
    assert _dag("newman_watts:k=2,p=1", 3) == _dag("complete", 3)


# Power-law cluster.


def _defined_powerlaw_cluster(m: int, p: float, stream: random.Random) -> DAG:
    """Holme & Kim (2002) as they state it: steps of preferential attachment, and of triads with probability p."""
    joined = [[False] * N for _ in range(N)]
    for new in range(m, N):
        attached = -1
        for _ in range(m):
            free = [old for old in range(new) if not joined[new][old]]
            triad = [old for old in free if attached >= 0 and joined[attached][old]]
            if stream.random() < p and triad:
                other = triad[stream.randrange(len(triad))]
            else:
                weights = [sum(joined[old]) - joined[new][old] for old in free]
                other = attached = stream.choices(free, weights if any(weights) else None)[0]
            joined[new][other] = joined[other][new] = True
    return DAG(N, tuple((i, j) for i, j in PAIRS if joined[i][j]))


@pytest.mark.parametrize(("m", "p"), [(1, 1), (2, 0.5), (5, 0), (5, 1)])
def test_powerlaw_cluster_edges_and_sources(m: int, p: float) -> None:
    for dag in _drawn(f"powerlaw_cluster:m={m},p={p}")[:50]:
        assert len(dag.edges) == m * (N - m)
        assert dag.sources == tuple(range(m))
        assert [len(dag.predecessors[node]) for node in range(m, N)] == [m] * (N - m)
        assert dag.connected


STATISTICS: list[Callable[[DAG], float]] = [
    _triangles,
    lambda dag: len(dag.sinks),
    *(lambda dag, node=node: _degrees(dag)[node] for node in (0, 4, N // 2)),
]


def test_powerlaw_cluster_without_triangles_is_ba() -> None:
    ours, theirs = _drawn("powerlaw_cluster:m=4,p=0"), _drawn("ba:m=4")
    for statistic in STATISTICS:
        assert_alike([statistic(dag) for dag in ours], [statistic(dag) for dag in theirs])


def test_powerlaw_cluster_follows_its_definition() -> None:
    stream = random.Random("definition of POWERLAW_CLUSTER(4,0.7)")
    theirs = [_defined_powerlaw_cluster(4, 0.7, stream) for _ in range(SAMPLES)]
    for statistic in STATISTICS:
        assert_alike([statistic(dag) for dag in _drawn("powerlaw_cluster:m=4,p=0.7")], [statistic(d) for d in theirs])


@pytest.mark.parametrize("p", [0, 0.3, 0.6, 1])
def test_powerlaw_cluster_closes_its_first_triangle(p: float) -> None:
    """With M = 2, nodes 0 and 1 have one edge and node 2 has two when node 3 comes. It misses node 2 if it prefers
    another one (1/2), does not close the triangle with node 2, and prefers the third (1/3).
    """
    missed = sum((2, 3) not in dag.edges for dag in _drawn(f"powerlaw_cluster:m=2,p={p}", 4))
    assert_share(missed, SAMPLES, (1 - p) / 6)


# Stochastic blocks.


def test_stochastic_block_sizes_and_order() -> None:
    blocks = [range(3), range(3, 6), range(6, 8), range(8, 10)]
    within = {pair for block in blocks for pair in itertools.combinations(block, 2)}
    assert set(_drawn("stochastic_block:blocks=4,p_in=1,p_out=0", 10)[0].edges) == within
    between = set(itertools.combinations(range(10), 2)) - within
    assert set(_drawn("stochastic_block:blocks=4,p_in=0,p_out=1", 10)[0].edges) == between


def test_stochastic_block_edges_are_binomial() -> None:
    dags = _drawn("stochastic_block:blocks=4,p_in=0.6,p_out=0.2")
    counts = [Counter(i // 8 == j // 8 for i, j in dag.edges) for dag in dags]
    assert_counts([count[True] for count in counts], [0.6] * 112)
    assert_counts([count[False] for count in counts], [0.2] * 384)
    edges = Counter(edge for dag in dags for edge in dag.edges)
    for i, j in PAIRS[::17]:
        assert_share(edges[i, j], SAMPLES, 0.6 if i // 8 == j // 8 else 0.2)


def test_stochastic_block_takes_the_smallest_probability() -> None:
    assert len(_drawn("stochastic_block:blocks=2,p_in=1,p_out=1e-300", 6)[0].edges) == 6


# Random geometric.


@pytest.mark.parametrize("radius", [0.25, 0.5, 1])
def test_random_geometric_mean_of_edges(radius: float) -> None:
    share = math.pi * radius**2 - 8 * radius**3 / 3 + radius**4 / 2
    assert_mean([len(dag.edges) for dag in _drawn(f"random_geometric:radius={radius}", 12)], share * 66)


@pytest.mark.parametrize("lag", [1, 2, 5, 10, 15, 20])
def test_random_geometric_nodes_are_numbered_along_an_axis(lag: int) -> None:
    """The first coordinates of nodes that are `lag` apart differ by a Beta(lag, N + 1 - lag) variable, and their second
    ones by at most h with probability h (2 - h).
    """
    radius, steps = 0.35, 20_000
    share = 0.0
    for step in range(steps):
        x = (step + 0.5) * radius / steps
        h = math.sqrt(radius**2 - x**2)
        density = lag * math.comb(N, lag) * x ** (lag - 1) * (1 - x) ** (N - lag)
        share += density * h * (2 - h) * radius / steps
    for i in (0, N - 1 - lag):
        hits = sum((i, i + lag) in dag.edges for dag in _drawn(f"random_geometric:radius={radius}"))
        assert_near(hits / SAMPLES, share, math.sqrt(share * (1 - share) / SAMPLES), rounding=1e-5)


# All of them.


@pytest.mark.parametrize("nodes", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize(
    "generator", [*BEST, *map(graphs.parse, ("random_regular:d=1", "newman_watts:k=2,p=1"))], ids=str
)
def test_few_nodes_give_a_graph_or_a_line_that_says_what_to_change(generator: Generator, nodes: int) -> None:
    for seed in range(5):
        try:
            dag = generator.sample(nodes, random.Random(seed)).dag
        except ValueError as error:
            message = str(error)
        else:
            assert (dag.nodes, dag.connected) == (nodes, True)
            continue
        assert message.startswith(f"{generator}: ")
        assert "\n" not in message
        assert str(nodes) in message


@pytest.mark.parametrize("generator", BEST, ids=str)
def test_stages_of_half_the_nodes_have_graphs(generator: Generator) -> None:
    config = load("regular-109", {"graph.generator": str(generator)})
    samples = wiring.sample_graphs(config)
    assert [sample.dag.nodes for sample in samples.values()] == [16, 32, 32, 32]
    assert all(sample.dag.connected for sample in samples.values())


def test_a_stage_whose_half_is_odd_is_told() -> None:
    config = load("regular-109", {"graph.generator": "random_regular:d=3", "graph.nodes": 30})
    with pytest.raises(ConfigError, match=r"even; with 15 nodes take an even d \(stage conv2 of 15 nodes\)"):
        wiring.sample_graphs(config)


@pytest.mark.parametrize(
    ("spec", "deterministic"),
    [
        ("newman_watts:k=4,p=0", True),
        ("newman_watts:k=4,p=1", False),
        ("powerlaw_cluster:m=2,p=1", False),
        ("stochastic_block:blocks=2,p_in=1,p_out=0.5", False),
        ("stochastic_block:blocks=2,p_in=0,p_out=1", True),
        ("stochastic_block:blocks=1,p_in=1,p_out=0.5", True),
        ("random_geometric:radius=1.5", True),
        ("random_geometric:radius=1.4", False),
    ],
)
def test_settings_without_chance_say_so(spec: str, deterministic: bool) -> None:
    assert graphs.parse(spec).deterministic == deterministic
    if deterministic:
        assert len({_dag(spec, 12, seed) for seed in range(20)}) == 1


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("chain:k=2", "no parameter of chain; write chain"),
        ("random_regular:d=0", "at least 1 and below the number of nodes, 32"),
        ("random_regular:d=32", "at least 1 and below the number of nodes, 32"),
        ("random_regular:d=1", "d must be at least 2 for 32 nodes"),
        ("newman_watts:k=3,p=0.5", "k must be even"),
        ("newman_watts:k=32,p=0.5", "below the number of nodes, 32"),
        ("newman_watts:k=4,p=1.5", "p must be in 0..1"),
        ("powerlaw_cluster:m=0,p=0.5", "at least 1 and below the number of nodes, 32"),
        ("powerlaw_cluster:m=32,p=0.5", "at least 1 and below the number of nodes, 32"),
        ("powerlaw_cluster:m=3,p=-0.5", "p must be in 0..1"),
        ("stochastic_block:blocks=0,p_in=0.5,p_out=0.1", "blocks must be in 1..32"),
        ("stochastic_block:blocks=33,p_in=0.5,p_out=0.1", "blocks must be in 1..32"),
        ("stochastic_block:blocks=4,p_in=1.5,p_out=0.1", "p_in must be in 0..1"),
        ("stochastic_block:blocks=4,p_in=0.5,p_out=-1", "p_out must be in 0..1"),
        ("stochastic_block:blocks=4,p_in=0.5,p_out=0", "p_out must be above 0 for more than one block"),
        ("stochastic_block:blocks=1,p_in=0,p_out=0.5", "p_in must be above 0 for one block"),
        ("random_geometric:radius=0", "radius must be above 0"),
        ("random_geometric:radius=0.01", "no connected graph of 32 nodes"),
    ],
)
def test_a_bad_spec_is_a_line_that_says_what_to_change(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        _dag(spec)
    assert "\n" not in str(caught.value)
