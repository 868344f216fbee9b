"""Drawings of DAGs: what must hold of every layout, and of the SVG and PNG made from it."""

import random
import re
import struct
import time
from xml.etree import ElementTree

import pytest

from randwire import drawing, graphs
from randwire.dag import DAG
from randwire.drawing.layers import arrange, crossings, layers
from randwire.drawing.layout import lay_out

SPECS = ("er:p=0.2", "er:p=0.6", "ba:m=5", "ws:k=4,p=0.75", "ws:k=2,p=0", "ws:k=6,p=0.25")
SVG = "{http://www.w3.org/2000/svg}"


def sample(spec: str, nodes: int = 32, seed: int = 0) -> DAG:
    return graphs.parse(spec).sample(nodes, random.Random(seed)).dag


DAGS = {f"{spec} N={nodes}": sample(spec, nodes) for spec in SPECS for nodes in (16, 32)} | {
    "one node": DAG(1, ()),
    "two nodes": DAG(2, ((0, 1),)),
    "no edges": DAG(4, ()),
    "complete": DAG(9, tuple((i, j) for i in range(9) for j in range(i + 1, 9))),
    "two parts": DAG(5, ((0, 3), (1, 4))),
}


@pytest.fixture(params=DAGS, ids=str)
def dag(request: pytest.FixtureRequest) -> DAG:
    return DAGS[request.param]


def test_every_edge_is_drawn_downwards_from_its_source_to_its_target(dag: DAG) -> None:
    layout = lay_out(dag)
    expected = {*dag.edges, *((dag.nodes, i) for i in dag.sources), *((i, dag.nodes + 1) for i in dag.sinks)}
    assert set(layout.edges) == expected
    for source, target in layout.edges:
        path = [strand for strand in layout.strands if strand.source == source and target in strand.targets]
        path.sort(key=lambda strand: strand.start[1])
        points = [layout.centres[source]]
        for strand in path:
            assert strand.start == points[-1], "the strands of an edge do not meet"
            points += [point for piece in strand.pieces for point in piece]
        assert points[-1] == layout.centres[target]
        heights = [y for _, y in points]
        assert heights == sorted(set(heights)), "an edge turns upwards"


def test_input_is_above_and_output_below_all_nodes(dag: DAG) -> None:
    *nodes, top, bottom = (y for _, y in lay_out(dag).centres)
    assert len(nodes) == dag.nodes
    assert top < min(nodes)
    assert max(nodes) < bottom


def test_nodes_do_not_overlap_and_stay_inside(dag: DAG) -> None:
    layout = lay_out(dag)
    circles = list(zip(layout.centres, layout.radii, strict=True))
    for k, ((x, y), radius) in enumerate(circles):
        assert radius <= x <= layout.width - radius
        assert radius <= y <= layout.height - radius
        for (other_x, other_y), other in circles[:k]:
            assert (x - other_x) ** 2 + (y - other_y) ** 2 > (radius + other + 1) ** 2


def test_no_trunk_runs_through_a_node(dag: DAG) -> None:
    layout = lay_out(dag)
    for strand in layout.strands:
        ends = {strand.source, *strand.targets}
        for piece in strand.pieces:
            for vertex, ((x, y), radius) in enumerate(zip(layout.centres, layout.radii, strict=True)):
                if vertex not in ends and y == piece[2][1]:
                    assert abs(x - piece[2][0]) > radius


def test_layers_keep_their_vertices_and_get_no_more_crossings_than_the_trivial_order(dag: DAG) -> None:
    stage = layers(dag)
    order = arrange(stage)
    assert [sorted(layer) for layer in order] == stage.trivial()
    assert crossings(stage, order) <= crossings(stage, stage.trivial())
    assert crossings(stage, order) == lay_out(dag).crossings


def test_crossings_are_counted_as_pairs_of_segments() -> None:
    stage = layers(DAG(4, ((0, 3), (1, 2))))
    straight = [[4], [0, 1], [3, 2], [5]]
    assert crossings(stage, straight) == 0
    assert crossings(stage, [[4], [0, 1], [2, 3], [5]]) == 1


def test_a_lattice_is_drawn_without_crossings() -> None:
    assert lay_out(sample("ws:k=4,p=0")).crossings == 0


def test_sources_are_next_to_their_first_consumer() -> None:
    dag = DAG(5, ((0, 1), (1, 2), (2, 4), (3, 4)))
    assert layers(dag).levels[:5] == (1, 2, 3, 3, 4)


@pytest.mark.parametrize("spec", SPECS)
def test_layout_is_fast(spec: str) -> None:
    dag = sample(spec)
    start = time.process_time()
    lay_out(dag)
    assert time.process_time() - start < 1.0  # 0.1 s on an idle laptop


def test_svg_is_xml_with_a_described_circle_for_each_node(dag: DAG) -> None:
    root = ElementTree.fromstring(drawing.svg({"conv3": dag}, "a title"))
    texts = [title.text or "" for title in root.iter(f"{SVG}title")]
    assert len(texts) == dag.nodes + 2
    for node in range(dag.nodes):
        inputs = ", ".join(map(str, dag.predecessors[node])) or "input"
        outputs = ", ".join(map(str, dag.successors[node])) or "output"
        count_in, count_out = max(1, len(dag.predecessors[node])), max(1, len(dag.successors[node]))
        assert texts[node] == f"conv3: node {node}\nin ({count_in}): {inputs}\nout ({count_out}): {outputs}"


def test_hovering_reaches_every_edge_of_a_node() -> None:
    dag = sample("ba:m=5")
    root = ElementTree.fromstring(drawing.svg({"conv3": dag}))
    classes = [set((path.get("class") or "").split()) for path in root.iter(f"{SVG}path")]
    style = next(root.iter(f"{SVG}style")).text or ""
    for i, j in dag.edges:
        assert any({f"o{i}", f"i{j}"} <= names for names in classes)
    for vertex in range(dag.nodes + 2):
        assert f".h{vertex}:hover~.o{vertex}{{" in style
        assert f".h{vertex}:hover~.i{vertex}{{" in style


def test_stages_with_one_dag_are_drawn_once_under_all_names() -> None:
    one, other = sample("er:p=0.2"), sample("er:p=0.2", seed=1)
    text = drawing.svg({"conv3": one, "conv4": one, "conv5": other})
    assert "conv3 = conv4<" in text
    assert ">conv5<" in text
    assert text.count("<g ") == 2


def test_rules_of_a_svg_reach_no_other() -> None:
    texts = [drawing.svg({"conv3": sample(spec, 16)}, title) for spec in SPECS for title in ("", "b")]
    scopes = set()
    for text in texts:
        root = ElementTree.fromstring(text)
        scope = root.get("class")
        style = next(root.iter(f"{SVG}style")).text or ""
        selectors = re.findall(r"([^{}]+)\{", style)
        assert selectors
        assert all(selector.startswith(f".{scope}") and "," not in selector for selector in selectors)
        assert not [element for element in root.iter() if element.get("id")]
        scopes.add(scope)
    assert len(scopes) == len(texts)


def test_svg_escapes_its_texts() -> None:
    text = drawing.svg({"<a>&": DAG(2, ((0, 1),))}, '"</svg><script>')
    ElementTree.fromstring(text)
    assert "<script>" not in text


@pytest.mark.parametrize("spec", SPECS)
def test_pictures_are_small_and_self_contained(spec: str) -> None:
    dag = sample(spec)
    text = drawing.svg({"conv3": dag, "conv4": dag, "conv5": dag}, "title")
    assert len(text) < 64_000
    assert len(drawing.thumbnail_svg(dag)) < 20_000
    for picture in (text, drawing.thumbnail_svg(dag)):
        assert "http" not in picture.replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert "@import" not in picture
        assert "url(" not in picture


def test_thumbnail_is_xml_without_rules_or_ids(dag: DAG) -> None:
    root = ElementTree.fromstring(drawing.thumbnail_svg(dag))
    assert len(list(root.iter(f"{SVG}circle"))) == dag.nodes + 2
    assert not list(root.iter(f"{SVG}style"))
    assert not [element for element in root.iter() if element.get("id") or element.get("class")]


@pytest.mark.parametrize("width", [400, 900])
@pytest.mark.parametrize("spec", ["er:p=0.6", "ws:k=2,p=0"])
def test_png_has_the_width_asked_for_and_no_metadata(spec: str, width: int) -> None:
    picture = drawing.png({"conv3": sample(spec)}, "title", width)
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    width_px, height = struct.unpack(">II", picture[16:24])
    assert width_px == width
    assert 0.2 * width < height <= 2 * width
    for kind in (b"tEXt", b"iTXt", b"zTXt", b"tIME"):
        assert kind not in picture


def test_the_same_dag_gives_the_same_bytes() -> None:
    def dags() -> dict[str, DAG]:
        return {f"conv{k}": sample("ws:k=4,p=0.75", 16, k) for k in (3, 4, 5)}

    assert drawing.svg(dags(), "t") == drawing.svg(dags(), "t")
    assert drawing.png(dags(), "t") == drawing.png(dags(), "t")
    assert drawing.thumbnail_svg(dags()["conv3"]) == drawing.thumbnail_svg(dags()["conv3"])


def test_a_dag_that_no_picture_can_show_gets_its_caption_alone() -> None:
    dag = DAG(120, tuple((i, j) for i in range(120) for j in range(i + 1, 120)))
    assert "120 nodes, 7140 edges, depth 120: too large to draw" in drawing.svg({"conv3": dag})
    assert drawing.png({"conv3": dag}).startswith(b"\x89PNG")
    assert drawing.thumbnail_svg(dag).startswith("<svg")
