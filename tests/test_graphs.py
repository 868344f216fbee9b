"""Every generator keeps its contract; ER, BA and WS follow their definitions, exactly or in distribution.

Distributional tests use fixed seeds, so they always give the same result. Their tolerance is FIVE_SIGMA standard
errors: with fresh seeds a faithful generator would fail one of these comparisons with probability 6e-7.
"""

import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import FrozenInstanceError, fields
from functools import cache
from statistics import fmean, pstdev

import pytest

from randwire import graphs, registry
from randwire.dag import DAG
from randwire.graphs import Domain, Generator, Sample

N = 32
FIVE_SIGMA = 5.0  # two-sided tail of a normal variable: 5.7e-7
SAMPLES = 2_000

Edges = set[tuple[int, int]]


def _kind(name: str) -> type[Generator]:
    return registry.load(graphs.__name__, name, Generator)  # type: ignore[type-abstract]


KINDS = [_kind(name) for name in registry.names(graphs.__name__)]
PAPER = [kind(*values) for kind in KINDS for values in kind.paper]


def _grid(domain: Domain) -> list[float]:
    steps = round((domain.high - domain.low) / domain.step)
    return [round(domain.low + index * domain.step, 10) for index in range(steps + 1)]


SEARCH = [kind(*values) for kind in KINDS for values in itertools.product(*map(_grid, kind.domains.values()))]


def _sample(spec: str, seed: int, nodes: int = N) -> Sample:
    return graphs.parse(spec).sample(nodes, random.Random(seed))


@cache
def _dags(spec: str, nodes: int = N, samples: int = SAMPLES) -> tuple[DAG, ...]:
    return tuple(_sample(spec, seed, nodes).dag for seed in range(samples))


def _assert_share(hits: int, of: int, share: float) -> None:
    """`hits` of `of` is what a probability of `share` gives."""
    error = math.sqrt(share * (1 - share) / of)
    assert abs(hits / of - share) < FIVE_SIGMA * error, f"{hits}/{of} is not {share:.4f} +- {error:.4f}"


def _assert_same_mean(ours: Sequence[float], theirs: Sequence[float]) -> None:
    error = math.sqrt(pstdev(ours) ** 2 / len(ours) + pstdev(theirs) ** 2 / len(theirs))
    assert abs(fmean(ours) - fmean(theirs)) <= FIVE_SIGMA * error, f"{fmean(ours)} {fmean(theirs)} +- {error}"


# Contract: new generators are picked up by themselves.


@pytest.mark.parametrize("generator", PAPER + SEARCH, ids=str)
def test_spec_round_trip(generator: Generator) -> None:
    again = graphs.parse(str(generator))
    assert again == generator
    assert type(again) is type(generator)
    assert str(again) == str(generator)


@pytest.mark.parametrize("generator", SEARCH, ids=str)
def test_every_setting_of_the_search_domain_is_possible(generator: Generator) -> None:
    generator.check(N)


@pytest.mark.parametrize("generator", PAPER, ids=str)
def test_paper_settings_give_connected_dags(generator: Generator) -> None:
    for seed in range(3):
        sample = generator.sample(N, random.Random(seed))
        dag = sample.dag
        assert dag.nodes == N
        assert dag.connected
        assert all(0 <= i < j < N for i, j in dag.edges)
        assert sample.redraws >= 0
        assert sample == generator.sample(N, random.Random(seed))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name())
def test_declarations_of_a_generator(kind: type[Generator]) -> None:
    names = [field.name for field in fields(kind)]
    assert list(kind.domains) == names
    assert kind.paper
    assert all(len(values) == len(names) for values in kind.paper)
    for values in kind.paper:
        generator = kind(*values)
        assert generator.params() == dict(zip(names, values, strict=True))
        assert generator.label == f"{kind.name().upper()}({','.join(f'{value:g}' for value in values)})"
        with pytest.raises(FrozenInstanceError):
            setattr(generator, names[0], values[0])
    for domain in kind.domains.values():
        assert domain.low < domain.high
        assert domain.step > 0
        assert (domain.high - domain.low) / domain.step == pytest.approx(len(_grid(domain)) - 1)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name())
def test_seeds_matter_and_the_global_stream_does_not(kind: type[Generator]) -> None:
    generator = kind(*kind.paper[0])
    random.seed(1)
    first = [generator.sample(N, random.Random(seed)).dag for seed in range(10)]
    random.seed(2)
    state = random.getstate()
    assert [generator.sample(N, random.Random(seed)).dag for seed in range(10)] == first
    assert random.getstate() == state
    assert len(set(first)) > 1


def test_paper_settings_are_the_29_of_figure_4() -> None:
    labels = {generator.label for generator in PAPER if generator.name() in ("er", "ba", "ws")}
    expected = {f"ER({p})" for p in ("0.2", "0.4", "0.6", "0.8")} | {f"BA({m})" for m in (1, 2, 3, 5, 7)}
    expected |= {f"WS({k},{p})" for k in (2, 4, 6, 8) for p in ("0", "0.25", "0.5", "0.75", "1")}
    assert labels == expected
    assert len(labels) == 29


# Disconnected draws.


@pytest.mark.parametrize("spec", ["ws:k=2,p=0.25", "ws:k=2,p=1", "er:p=0.1", "er:p=0.2"])
def test_redraws_continue_the_same_stream(spec: str) -> None:
    generator = graphs.parse(spec)
    redrawn = 0
    for seed in range(60):
        stream, replay = random.Random(seed), random.Random(seed)
        sample = generator.sample(N, stream)
        for _ in range(sample.redraws):
            assert not DAG.orient(N, generator.draw(N, replay)).connected
        assert DAG.orient(N, generator.draw(N, replay)) == sample.dag
        assert stream.getstate() == replay.getstate()
        redrawn += sample.redraws > 0
    assert 0 < redrawn < 60


def test_two_samples_of_one_stream_differ() -> None:
    stream = random.Random(0)
    generator = graphs.parse("ws:k=4,p=0.75")
    assert generator.sample(N, stream).dag != generator.sample(N, stream).dag


@pytest.mark.parametrize(
    ("spec", "low", "high"),
    [
        ("ws:k=2,p=0.25", 0.69, 0.71),
        ("ws:k=2,p=1", 0.69, 0.71),
        ("er:p=0.1", 0.29, 0.29),
    ],
)
def test_share_of_connected_draws(spec: str, low: float, high: float) -> None:
    # The redraws of a sample are geometric: as many successes as samples in samples + redraws independent draws.
    samples = 1_000 if low < 0.5 else SAMPLES
    draws = samples + sum(_sample(spec, seed).redraws for seed in range(samples))
    share = samples / draws
    error = FIVE_SIGMA * math.sqrt(share * (1 - share) / draws) + 0.005  # the expected values have two to three digits
    assert low - error < share < high + error


def test_share_of_connected_er_draws_in_closed_form() -> None:
    # Gilbert's recurrence for the probability that G(n, p) is connected.
    p, connected = 0.2, [math.nan, 1.0]
    for n in range(2, N + 1):
        split = (math.comb(n - 1, k - 1) * connected[k] * (1 - p) ** (k * (n - k)) for k in range(1, n))
        connected.append(1 - sum(split))
    draws = SAMPLES + sum(_sample("er:p=0.2", seed).redraws for seed in range(SAMPLES))
    _assert_share(SAMPLES, draws, connected[N])


@pytest.mark.parametrize("spec", ["ws:k=4,p=0.75", "ws:k=4,p=0", "ws:k=8,p=1", "ba:m=1", "ba:m=5", "er:p=0.6"])
def test_dense_generators_need_no_redraws(spec: str) -> None:
    assert sum(_sample(spec, seed).redraws for seed in range(200)) == 0


def test_hopeless_density_is_an_error_not_an_endless_loop() -> None:
    with pytest.raises(ValueError, match="no connected graph") as caught:
        _sample("er:p=0.001", 0)
    assert "\n" not in str(caught.value)
    assert "raise" in str(caught.value)


# Exact values.


@pytest.mark.parametrize(("nodes", "k", "edges"), [(32, 2, 32), (32, 4, 64), (32, 6, 96), (32, 8, 128), (16, 4, 32)])
@pytest.mark.parametrize("p", [0, 0.25, 0.75, 1])
def test_ws_edges(nodes: int, k: int, edges: int, p: float) -> None:
    assert {len(_sample(f"ws:k={k},p={p}", seed, nodes).dag.edges) for seed in range(20)} == {edges}


@pytest.mark.parametrize(("m", "edges"), [(1, 31), (2, 60), (3, 87), (5, 135), (7, 175)])
def test_ba_edges_and_sources(m: int, edges: int) -> None:
    for seed in range(50):
        dag = _sample(f"ba:m={m}", seed).dag
        assert len(dag.edges) == edges
        assert dag.sources == tuple(range(m))
        assert [len(dag.predecessors[node]) for node in range(m, N)] == [m] * (N - m)
        assert dag.predecessors[m] == tuple(range(m))


@pytest.mark.parametrize("k", [2, 4, 6, 8])
def test_ws_without_rewiring_is_the_ring_lattice(k: int) -> None:
    dag = _sample(f"ws:k={k},p=0", 7).dag
    assert set(dag.edges) == {(i, j) for i, j in itertools.combinations(range(N), 2) if min(j - i, N - j + i) <= k // 2}
    assert (len(dag.sources), len(dag.sinks), dag.depth) == (1, 1, 32)


def test_ws_4_0_in_degrees() -> None:
    inputs = [len(found) for found in _sample("ws:k=4,p=0", 0).dag.predecessors]
    assert (inputs[31], inputs[30], inputs[1]) == (4, 3, 1)
    assert inputs[2:30] == [2] * 28
    assert sum(inputs[node] for node in range(N) if inputs[node] > 1) == 63


def test_er_of_all_edges_is_complete() -> None:
    assert _sample("er:p=1", 3).dag.edges == tuple(itertools.combinations(range(N), 2))


@pytest.mark.parametrize(("spec", "nodes"), [("er:p=0", 1), ("er:p=0.5", 1), ("ba:m=1", 2), ("ws:k=2,p=1", 3)])
def test_smallest_graphs(spec: str, nodes: int) -> None:
    assert _sample(spec, 0, nodes).dag.connected


# Distributions, from the definitions.


@pytest.mark.parametrize("p", [0.4, 0.7])
def test_er_edges_are_binomial(p: float) -> None:
    """At p >= 0.4 fewer than one draw in 100,000 is disconnected, so conditioning on connection does not show."""
    counts = Counter[tuple[int, int]]()
    sizes = []
    for dag in _dags(f"er:p={p}"):
        sizes.append(len(dag.edges))
        counts.update(dag.edges)
    pairs = N * (N - 1) // 2
    variance = pairs * p * (1 - p)
    assert abs(fmean(sizes) - pairs * p) < FIVE_SIGMA * math.sqrt(variance / SAMPLES)
    assert abs(pstdev(sizes) ** 2 / variance - 1) < FIVE_SIGMA * math.sqrt(2 / SAMPLES)
    # Each of the 496 pairs alike: 6.2 standard errors hold all of them with a false alarm rate of 3e-7.
    error = math.sqrt(p * (1 - p) / SAMPLES)
    assert len(counts) == pairs
    assert max(abs(count / SAMPLES - p) for count in counts.values()) < 6.2 * error


def _defined_ws(nodes: int, k: int, p: float, stream: random.Random) -> Edges:
    """Watts & Strogatz as the paper states it: k/2 clockwise passes over the nodes, on an adjacency matrix."""
    joined = [[min(abs(i - j), nodes - abs(i - j)) in range(1, k // 2 + 1) for j in range(nodes)] for i in range(nodes)]
    for distance in range(1, k // 2 + 1):
        for v in range(nodes):
            if stream.random() < p:
                old = (v + distance) % nodes
                free = [w for w in range(nodes) if w != v and not joined[v][w]]
                new = free[stream.randrange(len(free))]
                joined[v][old] = joined[old][v] = False
                joined[v][new] = joined[new][v] = True
    return {(i, j) for i, j in itertools.combinations(range(nodes), 2) if joined[i][j]}


def _defined_ba(nodes: int, m: int, stream: random.Random) -> Edges:
    """Barabasi & Albert as the paper states it: m nodes without edges, then m distinct neighbours by degree."""
    degree = [0] * nodes
    edges: Edges = set()
    for new in range(m, nodes):
        chosen: set[int] = set()
        while len(chosen) < m:
            left = [old for old in range(new) if old not in chosen]
            weights = [degree[old] for old in left]
            chosen.add(stream.choices(left, weights if any(weights) else None)[0])
        for old in chosen:
            edges.add((old, new))
            degree[old] += 1
            degree[new] += 1
    return edges


def _lattice_edges(edges: Iterable[tuple[int, int]], k: int, nodes: int = N) -> int:
    return sum(min(j - i, nodes - j + i) <= k // 2 for i, j in edges)


def _sources(edges: Iterable[tuple[int, int]]) -> int:
    return N - len({j for _, j in edges})


def _sinks(edges: Iterable[tuple[int, int]]) -> int:
    return N - len({i for i, _ in edges})


def _triangles(edges: Iterable[tuple[int, int]]) -> int:
    near: list[set[int]] = [set() for _ in range(N)]
    for i, j in edges:
        near[i].add(j)
        near[j].add(i)
    return sum(len(near[i] & near[j]) for i in range(N) for j in near[i]) // 6


def _degree(node: int) -> Callable[[Iterable[tuple[int, int]]], int]:
    return lambda edges: sum(node in edge for edge in edges)


@pytest.mark.parametrize(("k", "p"), [(4, 0.75), (6, 0.25)])
def test_ws_follows_its_definition(k: int, p: float) -> None:
    samples = 800
    stream = random.Random(f"definition of WS({k},{p})")
    defined = [_defined_ws(N, k, p, stream) for _ in range(samples)]
    ours = [dag.edges for dag in _dags(f"ws:k={k},p={p}", samples=samples)]
    statistics = [lambda edges: _lattice_edges(edges, k), _sources, _sinks, _triangles, _degree(0), _degree(N - 1)]
    for statistic in statistics:
        _assert_same_mean([statistic(edges) for edges in ours], [statistic(edges) for edges in defined])


@pytest.mark.parametrize("m", [1, 4])
def test_ba_follows_its_definition(m: int) -> None:
    samples = 800
    stream = random.Random(f"definition of BA({m})")
    defined = [_defined_ba(N, m, stream) for _ in range(samples)]
    ours = [dag.edges for dag in _dags(f"ba:m={m}", samples=samples)]
    for statistic in [_sinks, _triangles, *map(_degree, (0, m - 1, m, m + 1, N // 2, N - 1))]:
        _assert_same_mean([statistic(edges) for edges in ours], [statistic(edges) for edges in defined])


def test_ws_4_075_keeps_the_lattice_edges_that_rewiring_leaves() -> None:
    kept = [_lattice_edges(dag.edges, 4) for dag in _dags("ws:k=4,p=0.75")]
    assert abs(fmean(kept) - 18.6) < FIVE_SIGMA * 3.5 / math.sqrt(SAMPLES) + 0.05  # 18.6 has one decimal
    assert abs(pstdev(kept) - 3.5) < FIVE_SIGMA * 3.5 / math.sqrt(2 * SAMPLES) + 0.05
    assert 4 <= min(kept) < 12
    assert 26 < max(kept) <= 36


def test_ws_4_075_sources() -> None:
    sources = [len(dag.sources) for dag in _dags("ws:k=4,p=0.75")]
    assert abs(fmean(sources) - 5.8) < FIVE_SIGMA * 1.6 / math.sqrt(SAMPLES) + 0.05
    assert abs(pstdev(sources) - 1.6) < FIVE_SIGMA * 1.6 / math.sqrt(2 * SAMPLES) + 0.05


def test_ws_rewires_every_edge_at_p_1() -> None:
    # A rewired edge may land on a lattice pair whose own edge has moved away, but most do not: under a quarter stay.
    kept = [_lattice_edges(dag.edges, 4) for dag in _dags("ws:k=4,p=1", samples=200)]
    assert fmean(kept) < 16


@pytest.mark.parametrize("m", [1, 2, 3])
def test_ba_first_free_attachment_prefers_by_degree(m: int) -> None:
    """Node m+1 finds nodes 0..m-1 of degree 1 and node m of degree m: it misses node m with m! m! / (2m)!.

    A choice that ignores degrees would miss it with 1 / (m + 1).
    """
    missed = sum((m, m + 1) not in dag.edges for dag in _dags(f"ba:m={m}", nodes=m + 2))
    _assert_share(missed, SAMPLES, math.factorial(m) ** 2 / math.factorial(2 * m))


def test_ba_1_first_node_grows_as_its_expectation() -> None:
    """With e edges each new node joins node 0 with probability degree / 2e, so E[degree] = prod (1 + 1 / 2e)."""
    expected = math.prod(1 + 1 / (2 * edges) for edges in range(1, N - 1))
    degrees = [_degree(0)(dag.edges) for dag in _dags("ba:m=1")]
    assert abs(fmean(degrees) - expected) < FIVE_SIGMA * pstdev(degrees) / math.sqrt(SAMPLES)
    assert expected > 2 * (2 * 31 / 32)


@pytest.mark.parametrize("m", [2, 5, 7])
def test_ba_early_nodes_are_hubs(m: int) -> None:
    dags = _dags(f"ba:m={m}", samples=300)
    mean = 2 * m * (N - m) / N
    degree = [fmean(_degree(node)(dag.edges) for dag in dags) for node in range(N)]
    assert degree[m] > 1.5 * mean
    assert degree[N - 1] == m
    assert fmean(degree[-8:]) < mean
    assert degree[m] > degree[m + 4] > degree[m + 12] > degree[N - 1]


def test_ba_1_first_nodes_degree_is_far_above_the_mean() -> None:
    dags = _dags("ba:m=1", samples=300)
    assert fmean(_degree(0)(dag.edges) for dag in dags) > 2.5 * (2 * 31 / 32)


# Mistakes.

BAD = [
    ("ws:k=3,p=0.5", "even"),
    ("ws:k=0,p=0.5", "at least 2"),
    ("ws:k=-2,p=0.5", "at least 2"),
    ("ws:k=32,p=0.5", "below the number of nodes, 32"),
    ("ws:k=40,p=0.5", "below the number of nodes, 32"),
    ("ws:k=4,p=1.01", "p must be in 0..1"),
    ("ws:k=4,p=-0.01", "p must be in 0..1"),
    ("ws:k=4,p=nan", "p must be a finite number"),
    ("ws:k=4,p=inf", "p must be a finite number"),
    ("er:p=1.5", "p must be in 0..1"),
    ("er:p=-1", "p must be in 0..1"),
    ("er:p=nan", "p must be a finite number"),
    ("er:p=0", "above 0"),
    ("ba:m=0", "m must be in 1..31"),
    ("ba:m=-1", "m must be in 1..31"),
    ("ba:m=32", "m must be in 1..31"),
    ("ba:m=33", "m must be in 1..31"),
    ("ba:m=2.5", "m must be a whole number"),
    ("ws:k=4.5,p=0.5", "k must be a whole number"),
    ("ba:m=nan", "m must be a finite number"),
    ("ba:m=inf", "m must be a finite number"),
    ("ba:m=five", "m must be a number, not 'five'"),
    ("er:p=", "p must be a number"),
    ("er:p", "p must be a number"),
    ("nothing:p=1", "known: .*er.*ws"),
    ("", "known: .*er.*ws"),
    ("_base:p=1", "known: .*er.*ws"),
    ("ER:p=0.5", "known: .*er.*ws"),
    ("er", "missing p; write er:p="),
    ("er:", "missing p; write er:p="),
    ("ws:k=4", "missing p; write ws:k=...,p="),
    ("ws:p=0.5", "missing k; write ws:k=...,p="),
    ("ws:k=4,p=0.5,p=0.6", "'p' is repeated .* write ws:k=...,p="),
    ("ws:k=4,k=4,p=0.5", "'k' is repeated .* write ws:k=...,p="),
    ("ws:k=4,p=0.5,m=3", "'m' is .*no parameter of ws; write ws:k=...,p="),
    ("ws:4,0.75", "no parameter of ws; write ws:k=...,p="),
]


@pytest.mark.parametrize(("spec", "message"), BAD, ids=[spec for spec, _ in BAD])
def test_a_bad_spec_is_a_line_that_says_what_to_change(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        graphs.parse(spec).sample(N, random.Random(0))
    assert "\n" not in str(caught.value)


def test_spaces_and_whole_floats_are_read() -> None:
    assert graphs.parse(" ws: k = 4.0 , p=.75 ".replace(" = ", "=")) == graphs.parse("ws:k=4,p=0.75")
    assert str(graphs.parse("ws:p=0.75,k=4")) == "ws:k=4,p=0.75"
    generator = graphs.parse("ba:m=5.0")
    assert generator.params() == {"m": 5}
    assert isinstance(generator.params()["m"], int)


@pytest.mark.parametrize("spec", ["er:p=0.1234567890123", "ws:k=4,p=1", "ba:m=1234567"])
def test_a_spec_keeps_every_digit(spec: str) -> None:
    assert str(graphs.parse(spec)) == spec
    assert graphs.parse(str(graphs.parse(spec))) == graphs.parse(spec)
