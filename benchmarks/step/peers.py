"""Public implementations of randomly wired networks, imported from clones of their repositories, on graphs of ours.

    git clone https://github.com/seungwonpark/RandWireNN PEERS/seungwonpark
    git clone https://github.com/JiaminRen/RandWireNN PEERS/JiaminRen
    python -m benchmarks.step --peers PEERS

They are built for the small regime as they stand: convolutions have a bias where ours have none, seungwonpark's nodes
of one input weigh it, JiaminRen's stem is separable.
"""

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest import mock

import networkx
from torch import nn

from randwire.config import NetworkConfig
from randwire.dag import DAG


def seungwonpark(folder: Path, config: NetworkConfig, dags: Sequence[DAG], classes: int) -> nn.Module:
    graphs = [{"num_nodes": dag.nodes, "edges": dag.edges} for dag in dags]
    model = SimpleNamespace(channel=config.channels, classes=classes)
    with _module(folder, "model.model") as module:
        network: nn.Module = module.RandWire(SimpleNamespace(model=model), graphs)
    return network


def jiamin_ren(folder: Path, config: NetworkConfig, dags: Sequence[DAG], classes: int) -> nn.Module:
    graphs = iter(dags)

    def next_graph(*_: object) -> "networkx.Graph[int]":
        """In the place of a drawn one."""
        dag = next(graphs)
        graph = networkx.empty_graph(dag.nodes)
        graph.add_edges_from(dag.edges)
        return graph

    values = {"channels": config.channels, "net_type": "small", "resume": False, "model_dir": "", "nodes": 0}
    with (
        _module(folder, "model") as module,
        mock.patch.object(module, "build_graph", next_graph),
        mock.patch.object(module, "save_graph"),  # by a function that networkx no longer has
    ):
        network: nn.Module = module.CNN(SimpleNamespace(**values), classes)
        network.avgpool = nn.AdaptiveAvgPool2d(1)  # the same at 224 pixels, where theirs is for no other size
    return network


PEERS = {"seungwonpark": seungwonpark, "JiaminRen": jiamin_ren}


def networks(folder: Path, config: NetworkConfig, dags: Mapping[str, DAG], classes: int) -> dict[str, nn.Module]:
    """The networks of those peers that have a clone in `folder`, by name; (B, 3, H, W) to (B, classes)."""
    return {
        name: make(folder / name, config, list(dags.values()), classes)
        for name, make in PEERS.items()
        if (folder / name).is_dir()
    }


@contextmanager
def _module(folder: Path, name: str) -> Iterator[ModuleType]:
    """A module of a repository, which is forgotten afterwards: all have the same names."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))
        for added in set(sys.modules) - before:
            if str(folder) in str(getattr(sys.modules[added], "__spec__", None)):
                del sys.modules[added]
