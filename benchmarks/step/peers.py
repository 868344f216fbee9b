"""Public implementations of randomly wired networks, imported from clones of their repositories, on graphs of ours.

    git clone https://github.com/seungwonpark/RandWireNN PEERS/seungwonpark
    git clone https://github.com/JiaminRen/RandWireNN PEERS/JiaminRen
    python -m benchmarks.step --peers PEERS

Each is measured at one commit, that of PEERS. They are built for the small regime as they stand: convolutions have a
bias where ours have none, seungwonpark's nodes of one input weigh it, JiaminRen's stem is separable.
"""

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest import mock

import networkx
from torch import nn

from randwire.config import NetworkConfig
from randwire.dag import DAG
from randwire.errors import UserError


def seungwonpark(folder: Path, config: NetworkConfig, dags: Sequence[DAG], classes: int) -> nn.Module:
    graphs = [{"num_nodes": dag.nodes, "edges": dag.edges} for dag in dags]
    model = SimpleNamespace(channel=config.channels, classes=classes, input_maps=3)
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


@dataclass(frozen=True)
class Peer:
    """A public implementation: where it is, the commit that is measured, and how its network is made."""

    url: str
    commit: str
    make: Callable[[Path, NetworkConfig, Sequence[DAG], int], nn.Module]


PEERS = {
    "seungwonpark": Peer(
        "https://github.com/seungwonpark/RandWireNN", "0850008e9204cef5fcb1fe508d4c99576b37f995", seungwonpark
    ),
    "JiaminRen": Peer(
        "https://github.com/JiaminRen/RandWireNN", "8c729f62be049bc20db4f27cafa6866ba4744296", jiamin_ren
    ),
}


def networks(folder: Path, config: NetworkConfig, dags: Mapping[str, DAG], classes: int) -> dict[str, nn.Module]:
    """The networks of those peers that have a clone in `folder`, by name and commit; (B, 3, H, W) to (B, classes).

    Raises UserError for another regime than the small one, if there is no clone, or for one that is not at the commit
    of PEERS, without changes.
    """
    if config.regime != "small":
        raise UserError(
            f"--peers {folder}: is for the small regime, and this preset has network.regime {config.regime}"
        )
    found = [name for name in PEERS if (folder / name).is_dir()]
    if not found:
        raise UserError(f"--peers {folder}: has no folder {' or '.join(PEERS)}; clone one: {_clone(folder, *PEERS)}")
    for name in found:
        _check(folder, name)
    return {
        f"{name} {PEERS[name].commit[:7]}": PEERS[name].make(folder / name, config, list(dags.values()), classes)
        for name in found
    }


def _check(folder: Path, name: str) -> None:
    """Raise UserError unless the clone is at the commit that is measured, and as that is."""
    clone, commit = folder / name, PEERS[name].commit
    git = ["git", f"--git-dir={clone / '.git'}", f"--work-tree={clone}"]
    head, changes = (
        subprocess.run([*git, *words], capture_output=True, text=True, check=False)
        for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
    )
    if head.returncode or changes.returncode:
        said = " ".join((head.stderr or changes.stderr).split())
        raise UserError(f"{clone}: git cannot read it ({said}); clone it again: {_clone(folder, name)}")
    if head.stdout.strip() != commit:
        raise UserError(
            f"{clone}: is at commit {head.stdout.strip()[:12]}, and {commit[:12]} is measured; "
            f"check that one out: git -C {clone} checkout {commit}"
        )
    if changes.stdout:
        raise UserError(
            f"{clone}: has changes in {len(changes.stdout.splitlines())} file(s), and commit {commit[:12]} is measured "
            f"as it is; undo them: git -C {clone} checkout ."
        )


def _clone(folder: Path, *names: str) -> str:
    return " or ".join(f"git clone {PEERS[name].url} {folder / name}" for name in names)


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
