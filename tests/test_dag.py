"""The DAG value, against brute force and networkx."""

import math
from itertools import combinations, pairwise

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from randwire.dag import DAG

DIAMOND = DAG(4, ((0, 1), (0, 2), (1, 3), (2, 3)))


@st.composite
def dags(draw: st.DrawFn, max_nodes: int = 12) -> DAG:
    nodes = draw(st.integers(1, max_nodes))
    pairs = list(combinations(range(nodes), 2))
    chosen = draw(st.sets(st.sampled_from(pairs))) if pairs else set()
    return DAG(nodes, tuple(sorted(chosen)))


def _paths_into(dag: DAG, node: int) -> list[tuple[int, ...]]:
    """Every path that ends in `node` and starts in a node without an edge into it."""
    inputs = [i for i, j in dag.edges if j == node]
    if not inputs:
        return [(node,)]
    return [(*path, node) for i in inputs for path in _paths_into(dag, i)]


@given(dags(40))
def test_text_round_trip(dag: DAG) -> None:
    text = dag.to_text()
    assert DAG.from_text(text) == dag
    rows = text.splitlines()
    assert len(rows) == dag.nodes
    assert text.endswith("\n")
    assert {(i, j) for i, row in enumerate(rows) for j, x in enumerate(row.split()) if x == "1"} == set(dag.edges)


def test_text_is_the_adjacency_matrix() -> None:
    assert DIAMOND.to_text() == "0 1 1 0\n0 0 0 1\n0 0 0 1\n0 0 0 0\n"
    assert DAG(1, ()).to_text() == "0\n"
    assert DAG.from_text("0   1\r\n0 0\r\n\n") == DAG(2, ((0, 1),))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("0 1\n0\n", "row 2 has 1 entries, expected 2"),
        ("0 1 0\n0 0 0\n", "row 1 has 3 entries, expected 2"),
        ("0 2\n0 0\n", "row 1, column 2 is '2'"),
        ("0 x\n0 0\n", "row 1, column 2 is 'x'"),
        ("0 1\n1 0\n", "row 2, column 1: only entries above"),
        ("1 0\n0 0\n", "row 1, column 1: only entries above"),
        ("", "at least one node"),
        ("\n \n", "at least one node"),
    ],
)
def test_damaged_text_names_the_place(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as caught:
        DAG.from_text(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("nodes", "edges"),
    [
        (0, ()),
        (-1, ()),
        (2, ((0, 0),)),
        (2, ((1, 0),)),
        (2, ((0, 2),)),
        (2, ((-1, 1),)),
        (3, ((0, 1), (0, 1))),
        (3, ((1, 2), (0, 1))),
        (3, ((0, 2), (0, 1))),
    ],
)
def test_impossible_values_are_refused(nodes: int, edges: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(ValueError, match=r"node|edge") as caught:
        DAG(nodes, edges)
    assert "\n" not in str(caught.value)


@given(st.integers(2, 12), st.data())
def test_orient_points_from_the_smaller_to_the_larger_number(nodes: int, data: st.DataObject) -> None:
    pairs = st.tuples(st.integers(0, nodes - 1), st.integers(0, nodes - 1)).filter(lambda pair: pair[0] != pair[1])
    edges = data.draw(st.lists(pairs))
    dag = DAG.orient(nodes, edges)
    assert {frozenset(edge) for edge in dag.edges} == {frozenset(edge) for edge in edges}
    assert all(i < j for i, j in dag.edges)
    assert list(dag.edges) == sorted(set(dag.edges))


def test_orient_refuses_loops() -> None:
    with pytest.raises(ValueError, match="edge"):
        DAG.orient(3, [(1, 1)])


@given(dags())
def test_neighbours_sources_and_sinks(dag: DAG) -> None:
    for node in range(dag.nodes):
        assert dag.predecessors[node] == tuple(i for i in range(dag.nodes) if (i, node) in dag.edges)
        assert dag.successors[node] == tuple(j for j in range(dag.nodes) if (node, j) in dag.edges)
    assert dag.sources == tuple(v for v in range(dag.nodes) if all(j != v for _, j in dag.edges))
    assert dag.sinks == tuple(v for v in range(dag.nodes) if all(i != v for i, _ in dag.edges))


@settings(max_examples=50)
@given(dags(9))
def test_levels_and_depth_are_those_of_the_longest_path(dag: DAG) -> None:
    longest = [max(map(len, _paths_into(dag, node))) for node in range(dag.nodes)]
    assert dag.levels == tuple(length - 1 for length in longest)
    assert dag.depth == max(longest)


@settings(max_examples=50)
@given(dags())
def test_every_node_is_on_a_path_from_a_source_to_a_sink(dag: DAG) -> None:
    graph = nx.DiGraph(dag.edges)
    graph.add_nodes_from(range(dag.nodes))
    for node in range(dag.nodes):
        assert any(nx.has_path(graph, source, node) for source in dag.sources)
        assert any(nx.has_path(graph, node, sink) for sink in dag.sinks)


@given(dags())
def test_connected_as_networkx_says(dag: DAG) -> None:
    graph = nx.Graph(dag.edges)
    graph.add_nodes_from(range(dag.nodes))
    assert dag.connected == nx.is_connected(graph)


def test_connected_when_the_only_way_goes_against_the_arrows() -> None:
    assert DAG(3, ((0, 2), (1, 2))).connected
    assert not DAG(3, ((1, 2),)).connected
    assert DAG(1, ()).connected


@given(dags())
def test_without_edge_removes_that_edge_alone(dag: DAG) -> None:
    for edge in dag.edges:
        smaller = dag.without_edge(edge)
        assert smaller.nodes == dag.nodes
        assert set(smaller.edges) == set(dag.edges) - {edge}
    with pytest.raises(ValueError, match="no edge"):
        dag.without_edge((0, dag.nodes))


def test_measures_of_a_graph_worked_by_hand() -> None:
    # A triangle 0-1-2 with a tail 2-3. Clustering: 1, 1, 1/3, 0. Distances: four 1s and two 2s.
    measures = DAG(4, ((0, 1), (0, 2), (1, 2), (2, 3))).measures()
    assert (measures.nodes, measures.edges, measures.sources, measures.sinks, measures.depth) == (4, 4, 1, 1, 4)
    assert measures.clustering == pytest.approx((1 + 1 + 1 / 3 + 0) / 4, abs=1e-12)
    assert measures.path_length == pytest.approx((4 * 1 + 2 * 2) / 6, abs=1e-12)
    assert measures.mean_degree == 2
    assert (measures.max_in_degree, measures.max_out_degree) == (2, 2)
    # Directed: 0-1-2-3 and 0-2-3. Of the shortest paths 0 to 3 and 1 to 3 pass node 2, of 3 * 2 pairs of other nodes.
    assert (measures.shortest_path, measures.mean_path, measures.betweenness) == (3, 3.5, 2 / 6)
    assert measures.to_dict()["depth"] == 4


def test_measures_of_a_known_graph_as_networkx_gives_them() -> None:
    graph = nx.convert_node_labels_to_integers(nx.karate_club_graph())
    measures = DAG.orient(34, graph.edges()).measures()
    assert (measures.nodes, measures.edges) == (34, 78)
    assert measures.clustering == pytest.approx(0.5706384782076823, abs=1e-9)
    assert measures.path_length == pytest.approx(2.408199643493761, abs=1e-9)
    assert measures.mean_degree == pytest.approx(156 / 34)


@given(dags(14))
def test_measures_are_those_of_networkx_to_the_bit(dag: DAG) -> None:
    graph = nx.Graph()
    graph.add_nodes_from(range(dag.nodes))
    graph.add_edges_from(dag.edges)
    measures = dag.measures()
    assert measures.clustering == nx.average_clustering(graph)
    length = nx.average_shortest_path_length(graph) if nx.is_connected(graph) else math.inf
    assert measures.path_length == length


@settings(max_examples=50)
@given(dags(9))
def test_paths_from_input_to_output_are_those_that_can_be_listed(dag: DAG) -> None:
    lengths = [len(path) for node in dag.sinks for path in _paths_into(dag, node)]
    measures = dag.measures()
    assert measures.shortest_path == min(lengths)
    assert measures.mean_path == sum(lengths) / len(lengths)


@given(dags(14))
def test_betweenness_is_that_of_networkx(dag: DAG) -> None:
    graph = nx.DiGraph()
    graph.add_nodes_from(range(dag.nodes))
    graph.add_edges_from(dag.edges)
    assert dag.measures().betweenness == pytest.approx(max(nx.betweenness_centrality(graph).values()), abs=1e-12)


def test_directed_measures_of_a_complete_graph_and_a_chain() -> None:
    # Of its 2^200 paths each node but the ends is on half.
    complete = DAG(202, tuple(combinations(range(202), 2))).measures()
    assert (complete.shortest_path, complete.mean_path, complete.betweenness) == (2, 102, 0)
    chain = DAG(9, tuple(pairwise(range(9)))).measures()
    assert (chain.shortest_path, chain.mean_path) == (9, 9)
    assert chain.betweenness == pytest.approx(4 * 4 / (8 * 7))  # the node in the middle


def test_a_node_without_edges_is_a_path_of_its_own() -> None:
    measures = DAG(4, ((0, 1), (1, 2))).measures()
    assert (measures.shortest_path, measures.mean_path, measures.betweenness) == (1, 2, 1 / 6)


def test_measures_of_a_ring() -> None:
    # WS(2,0), 32 nodes: a chain and one edge from the first to the last node. Mean distance on a ring: 256 / 31.
    ring = DAG.orient(32, [*pairwise(range(32)), (31, 0)])
    measures = ring.measures()
    assert measures.depth == 32
    assert measures.clustering == 0
    assert measures.path_length == pytest.approx(256 / 31)


def test_measures_of_a_disconnected_graph_and_of_one_node() -> None:
    assert DAG(3, ((0, 1),)).measures().path_length == math.inf
    alone = DAG(1, ()).measures()
    assert (alone.path_length, alone.shortest_path, alone.mean_path, alone.betweenness) == (0, 1, 1, 0)


def test_a_dag_is_a_value() -> None:
    again = DAG(4, DIAMOND.edges)
    assert again == DIAMOND
    assert hash(again) == hash(DIAMOND)
    with pytest.raises(AttributeError):
        DIAMOND.nodes = 5  # type: ignore[misc]
