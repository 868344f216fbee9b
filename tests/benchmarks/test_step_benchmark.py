"""The baseline of the benchmark of a step is the same network, and public implementations are on our graphs."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.autograd import profiler_util

from benchmarks.step import __main__ as benchmark
from benchmarks.step import peers
from benchmarks.step.baseline import differences
from benchmarks.step.kernels import operations
from benchmarks.step.methods import networks
from randwire.config import load
from randwire.dag import DAG
from randwire.errors import UserError


def test_the_plain_network_has_our_outputs_and_gradients() -> None:
    ours, baselines = networks(load("digits", {"graph.nodes": 8, "network.channels": 6}))
    for other in baselines:
        outputs, gradients = differences(ours, other, 16)
        assert outputs < 1e-12
        assert gradients < 1e-12
    with torch.no_grad():
        other.get_parameter("stages.conv3.nodes.5.bn.weight").mul_(1.001)
    assert differences(ours, other, 16)[1] > 1e-6


SEUNGWONPARK = """
from torch import nn
class RandWire(nn.Module):
    def __init__(self, hp, graphs):
        super().__init__()
        self.graphs, self.channels, self.classes = graphs, hp.model.channel, hp.model.classes
        self.images = hp.model.input_maps
"""
JIAMIN_REN = """
from torch import nn
def build_graph(nodes, args): raise AssertionError
def save_graph(graph, path): raise AssertionError
class CNN(nn.Module):
    def __init__(self, args, num_classes=1000):
        super().__init__()
        self.graphs, self.classes = [], num_classes
        assert args.net_type == "small" and not args.resume
        for _ in range(2):
            self.graphs.append(build_graph(args.nodes, args))
            save_graph(self.graphs[-1], args.model_dir)
"""
DAGS = {"conv3": DAG.from_text("0 1 1\n0 0 1\n0 0 0\n"), "conv4": DAG.from_text("0 1\n0 0\n")}


def _git(folder: Path, *words: str) -> str:
    about = ["-c", "user.name=nobody", "-c", "user.email=nobody@localhost", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *about, *words], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def clones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two clones with the interfaces of the public implementations, whose modules have the same names."""
    for name, file, text in (
        ("seungwonpark", "model/model.py", SEUNGWONPARK),
        ("JiaminRen", "model.py", JIAMIN_REN),
    ):
        path = tmp_path / name / file
        path.parent.mkdir(parents=True)
        path.write_text(text)
        _git(tmp_path / name, "init", "-q")
        _git(tmp_path / name, "add", "-A")
        _git(tmp_path / name, "commit", "-q", "-m", "all")
        pinned = replace(peers.PEERS[name], commit=_git(tmp_path / name, "rev-parse", "HEAD"))
        monkeypatch.setitem(peers.PEERS, name, pinned)
    return tmp_path


def test_public_implementations_are_built_on_our_graphs(clones: Path) -> None:
    config = load("small").network
    found: dict[str, Any] = peers.networks(clones, config, DAGS, 7)
    assert list(found) == [f"{name} {peer.commit[:7]}" for name, peer in peers.PEERS.items()]
    one, other = found.values()
    assert (one.channels, one.classes, one.images, other.classes) == (config.channels, 7, 3, 7)
    edges = [{(0, 1), (0, 2), (1, 2)}, {(0, 1)}]
    assert [(graph["num_nodes"], set(graph["edges"])) for graph in one.graphs] == [(3, edges[0]), (2, edges[1])]
    assert [(list(graph), set(graph.edges)) for graph in other.graphs] == [([0, 1, 2], edges[0]), ([0, 1], edges[1])]
    assert not [name for name in sys.modules if name.split(".")[0] == "model"]
    assert str(clones) not in " ".join(sys.path)


def test_another_commit_of_a_public_implementation_is_not_measured(clones: Path) -> None:
    config, clone = load("small").network, clones / "JiaminRen"
    pinned = peers.PEERS["JiaminRen"].commit

    def refused() -> str:
        with pytest.raises(UserError) as caught:
            peers.networks(clones, config, DAGS, 7)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    (clone / "model.py").write_text(JIAMIN_REN + "# changed\n")
    assert f"{clone}: has changes in 1 file(s), and commit {pinned[:12]} is measured" in refused()
    _git(clone, "commit", "-q", "-a", "-m", "changed")
    other = _git(clone, "rev-parse", "HEAD")
    assert f"{clone}: is at commit {other[:12]}, and {pinned[:12]} is measured" in refused()
    _git(clone, "checkout", "-q", pinned)
    assert peers.networks(clones, config, DAGS, 7)
    (clone / ".git").rename(clones / "elsewhere")  # a copy; the repository that holds it, if one does, is not asked
    _git(clones, "init", "-q")
    assert f"{clone}: git cannot read it" in refused()


def test_public_implementations_that_are_not_there_are_not_left_out_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks.step", "--peers", str(tmp_path)])
    with pytest.raises(SystemExit) as caught:
        benchmark.main()
    assert caught.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"--peers {tmp_path}: has no folder seungwonpark or JiaminRen; clone one: git clone https://" in said
    with pytest.raises(UserError, match=r"and this preset has network\.regime regular"):
        peers.networks(tmp_path, load("regular-109").network, DAGS, 7)


def test_each_kernel_of_a_gpu_is_counted_once() -> None:
    """As a profile of a GPU has them: at the operation that launched it, and as an event of its own."""

    make: Any = profiler_util.FunctionEvent  # it has no types
    cpu, gpu = torch._C._autograd.DeviceType.CPU, torch._C._autograd.DeviceType.CUDA

    def event(name: str, device: object, start: float, end: float, **more: object) -> Any:
        return make(1, name, 1, start, end, use_device="cuda", device_type=device, **more)

    convolution = event("aten::convolution", cpu, 0, 9)
    inside = event("aten::cudnn_convolution", cpu, 1, 8, input_shapes=[[2, 3, 4, 4], [5, 3, 1, 1]])
    convolution.append_cpu_child(inside)
    annotation = event("Optimizer.step", cpu, 9, 20, is_user_annotation=True)
    kernels = [event("gemm", gpu, 10, 40), event("gemm", gpu, 40, 45), event("memset", gpu, 50, 52)]
    region = event("Optimizer.step", gpu, 10, 52, is_user_annotation=True)
    for kernel in kernels[:2]:
        inside.append_kernel(kernel.name, 0, kernel.time_range.elapsed_us())
    annotation.append_kernel(region.name, 0, region.time_range.elapsed_us())
    events = [convolution, inside, annotation, *kernels, region]
    found = {event.name: spent for event, spent in operations(events, torch.device("cuda")) if spent}
    assert found == {"aten::cudnn_convolution": 35, "memset": 2}
    of_cpu = {event.name: spent for event, spent in operations(events[:3], torch.device("cpu"))}
    assert of_cpu == {"aten::convolution": 2, "aten::cudnn_convolution": 7, "Optimizer.step": 11}
