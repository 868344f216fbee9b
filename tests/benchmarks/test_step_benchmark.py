"""The baseline of the benchmark of a step is the same network, and public implementations are on our graphs."""

import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.step import peers
from benchmarks.step.baseline import differences
from benchmarks.step.methods import networks
from randwire.config import load
from randwire.dag import DAG


def test_the_plain_network_has_our_outputs_and_gradients() -> None:
    ours, baselines = networks(load("digits", {"graph.nodes": 8, "network.channels": 6}))
    for other in baselines:
        outputs, gradients = differences(ours, other, 16)
        assert outputs < 1e-12
        assert gradients < 1e-12
    with torch.no_grad():
        other.get_parameter("stages.conv3.nodes.5.bn.weight").mul_(1.001)
    assert differences(ours, other, 16)[1] > 1e-6


def test_public_implementations_are_built_on_our_graphs(tmp_path: Path) -> None:
    """Two clones whose modules have the same names."""
    (tmp_path / "seungwonpark" / "model").mkdir(parents=True)
    (tmp_path / "seungwonpark" / "model" / "model.py").write_text(
        """
from torch import nn
class RandWire(nn.Module):
    def __init__(self, hp, graphs):
        super().__init__()
        self.graphs, self.channels, self.classes = graphs, hp.model.channel, hp.model.classes
"""
    )
    (tmp_path / "JiaminRen").mkdir()
    (tmp_path / "JiaminRen" / "model.py").write_text(
        """
from torch import nn
def build_graph(nodes, args): raise AssertionError
def save_graph(graph, path): raise AssertionError
class CNN(nn.Module):
    def __init__(self, args, classes):
        super().__init__()
        self.graphs = []
        for _ in range(2):
            self.graphs.append(build_graph(args.nodes, args))
            save_graph(self.graphs[-1], args.model_dir)
"""
    )
    dags = {"conv3": DAG.from_text("0 1 1\n0 0 1\n0 0 0\n"), "conv4": DAG.from_text("0 1\n0 0\n")}
    config = load("small").network
    found: dict[str, Any] = peers.networks(tmp_path, config, dags, 7)
    one, other = found["seungwonpark"], found["JiaminRen"]
    assert (one.channels, one.classes) == (config.channels, 7)
    edges = [{(0, 1), (0, 2), (1, 2)}, {(0, 1)}]
    assert [(graph["num_nodes"], set(graph["edges"])) for graph in one.graphs] == [(3, edges[0]), (2, edges[1])]
    assert [(list(graph), set(graph.edges)) for graph in other.graphs] == [([0, 1, 2], edges[0]), ([0, 1], edges[1])]
    assert not [name for name in sys.modules if name.split(".")[0] == "model"]
    assert str(tmp_path) not in " ".join(sys.path)
    assert peers.networks(tmp_path / "nowhere", config, dags, 7) == {}
