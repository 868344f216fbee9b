"""How fast is a step? Against the network as one would write it, and against what the machine's arithmetic allows.

python -m benchmarks.step [--rounds 10] [--batch 16] [--threads 1] [--device cpu] [--peers FOLDER] [--json FILE]

The baseline has one module for each node, in PyTorch's defaults: NCHW, fp32, inputs of a node stacked and summed with
their weights. It has the parameters of ours; before anything is measured, outputs and gradients of both are compared in
fp64. All methods take turns, so that whatever else the machine does meets all of them; ratios are taken within a round.
On a CPU the time is CPU time of this process, which depends less on the load of the machine than wall time does; on a
GPU it is wall time until the device has ended. Images are drawn once: no data loading is in the times.

Memory is what a training step adds to the most that a fresh process ever held before it, in a process for each method.
"""

import argparse
import copy
import json
import os
import subprocess
import sys
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile
from tqdm import tqdm

from benchmarks import peers
from benchmarks.table import print_table
from randwire.config import NetworkConfig, RunConfig, TrainConfig, load
from randwire.dag import DAG
from randwire.environment import environment
from randwire.model.folding import folded
from randwire.model.network import RandWire
from randwire.model.node import Node
from randwire.model.ops._depthwise import Depthwise
from randwire.model.regimes import REGIMES
from randwire.training.loop import train_step
from randwire.training.optim import optimizer
from randwire.training.worker import ProcessWorker, pick_device
from randwire.wiring import sample_graphs

CLASSES = 1000
TRAINING, INFERENCE = "training", "inference"
PLAIN, FP32, BF16 = "plain eager, fp32", "randwire, fp32", "randwire, bf16"
COMPILED = "aggregation compiled"
"""What `runtime.compile` does."""
RECOMPILATIONS = 256
"""More than there are kinds of nodes in a network: beyond its usual limit of 8 PyTorch leaves the rest as it is."""
KINDS = ("pointwise", "depthwise", "dense", "batch norm", "aggregation, ReLU", "rest")
"""Kinds of kernels: 1x1, depthwise and 3x3 convolutions (those of the stem), batch norm, elementwise, all else."""
ELEMENTWISE = {
    "mul", "mul_", "add", "add_", "addcmul", "addcmul_", "div", "sum", "cat", "stack", "relu", "relu_", "clamp_min",
    "clamp_min_", "threshold_backward",
}  # fmt: skip
FORWARD = ("mkldnn_convolution", "_slow_conv2d_forward", "cudnn_convolution", "_conv_depthwise2d")
MOVING = ("batch norm", "aggregation, ReLU")
"""Kinds that are bound by the memory, whose bytes follow from the shapes of their inputs."""
PROFILED = 3
"""Steps in a profile; a kernel counts with the median of its times, so that a disturbed one does not."""


class PlainNode(nn.Module):
    """A node as one would write it; parameters are named as in randwire."""

    def __init__(self, inputs: int, c_in: int, c_out: int, stride: int, stacked: bool) -> None:
        super().__init__()
        self.stacked = stacked
        self.aggregation = nn.Parameter(torch.zeros(inputs)) if inputs > 1 else None
        self.op = nn.ModuleDict(
            {
                "depthwise": nn.Conv2d(c_in, c_in, 3, stride, padding=1, groups=c_in, bias=False),
                "pointwise": nn.Conv2d(c_in, c_out, 1, bias=False),
            }
        )
        self.bn = nn.BatchNorm2d(c_out)

    def forward(self, inputs: list[Tensor]) -> Tensor:
        if self.aggregation is None:
            x = inputs[0]
        elif self.stacked:
            x = (torch.stack(inputs) * torch.sigmoid(self.aggregation).view(-1, 1, 1, 1, 1)).sum(0)
        else:
            weighted = [weight * x for weight, x in zip(torch.sigmoid(self.aggregation), inputs, strict=True)]
            x = sum(weighted[1:], weighted[0])
        out: Tensor = self.bn(self.op["pointwise"](self.op["depthwise"](functional.relu(x))))
        return out


class PlainStage(nn.Module):
    """All outputs are kept to the end; the mean of the sinks is that of their stack."""

    def __init__(self, dag: DAG, c_in: int, c_out: int, stride: int, stacked: bool) -> None:
        super().__init__()
        self.dag = dag
        self.nodes = nn.ModuleList(
            PlainNode(len(inputs), c_out if inputs else c_in, c_out, 1 if inputs else stride, stacked)
            for inputs in dag.predecessors
        )

    def forward(self, x: Tensor) -> Tensor:
        outputs: list[Tensor] = []
        for node, inputs in zip(self.nodes, self.dag.predecessors, strict=True):
            outputs.append(node([outputs[i] for i in inputs] or [x]))
        return torch.stack([outputs[i] for i in self.dag.sinks]).mean(0)


class PlainClassifier(nn.Module):
    def __init__(self, c_in: int, head: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, head, 1, bias=False)
        self.bn = nn.BatchNorm2d(head)
        self.fc = nn.Linear(head, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn(self.conv(functional.relu(x))))
        out: Tensor = self.fc(x.mean((2, 3)))
        return out


def plain(config: NetworkConfig, dags: Mapping[str, DAG], classes: int, stacked: bool = True) -> nn.Module:
    """The baseline, (B, 3, H, W) to (B, classes); loads the state of a RandWire of separable convolutions."""
    stages = nn.Sequential()
    c_in = 3
    for index, row in enumerate(REGIMES[config.regime]):
        c_out = row.channels(config.channels)
        if row.share:
            stage: nn.Module = PlainStage(dags[row.name], c_in, c_out, row.stride, stacked)
        else:
            conv = nn.Conv2d(c_in, c_out, 3, row.stride, padding=1, bias=False)
            stage = nn.Sequential(*([nn.ReLU()] if index else []), conv, nn.BatchNorm2d(c_out))
        stages.add_module(row.name, stage)
        c_in = c_out
    stages.add_module("classifier", PlainClassifier(c_in, config.head, classes))
    return nn.Sequential(OrderedDict(stages=stages))


def differences(ours: nn.Module, other: nn.Module, size: int) -> tuple[float, float]:
    """How far outputs and gradients of two networks of equal parameters differ in fp64, as shares of the largest.

    In training mode, on 4 random images (3, size, size).
    """
    stream = torch.Generator().manual_seed(0)
    images = torch.randn(4, 3, size, size, generator=stream, dtype=torch.float64)
    outputs, gradients = [], []
    for network in (ours, other):
        network = copy.deepcopy(network).cpu().double().train()
        out = network(images)
        out.square().sum().backward()
        outputs.append(out.detach())
        found = {name: parameter.grad for name, parameter in network.named_parameters()}
        gradients.append(torch.cat([grad.flatten() for _, grad in sorted(found.items()) if grad is not None]))
    return _off(*outputs), _off(*gradients)


def _off(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max())


Step = Callable[[], object]


@dataclass(frozen=True)
class Method:
    """One way to do a step, training or inference. `make` builds its network for `batch` images of `side` pixels."""

    phase: str
    name: str
    make: Callable[[int, int], Step]


def methods(
    config: RunConfig, device: torch.device, compiled: bool = False, clones: Path | None = None
) -> list[Method]:
    """What is measured, in the order of a round; all but public implementations start from the same parameters."""
    ours, (stacked, loop) = networks(config)
    recomputing = RandWire(config.network, _dags(config), CLASSES, recompute=True)
    recomputing.load_state_dict(ours.state_dict())

    def images(batch: int, side: int, layout: torch.memory_format, kind: torch.dtype) -> Tensor:
        stream = torch.Generator().manual_seed(0)
        drawn = torch.randn(batch, 3, side, side, generator=stream)
        return drawn.to(device, kind, memory_format=layout)

    def training(
        name: str,
        network: nn.Module,
        precision: str,
        layout: torch.memory_format = torch.channels_last,
        around: Callable[[], AbstractContextManager[object]] = nullcontext,
        compiled: Callable[[nn.Module], Iterable[nn.Module]] = lambda network: (),
    ) -> Method:
        def make(batch: int, side: int) -> Step:
            mine = copy.deepcopy(network).train().to(device, memory_format=layout)  # type: ignore[call-overload]
            for module in compiled(mine):
                module.compile(dynamic=False, recompile_limit=RECOMPILATIONS)
            given, labels = images(batch, side, layout, torch.float32), torch.arange(batch, device=device)
            settings = TrainConfig.model_validate({"precision": precision})
            update = optimizer(mine, settings)

            def step() -> None:
                with around():
                    train_step(mine, update, given, labels, settings)

            return step

        return Method(TRAINING, name, make)

    def inference(
        name: str, network: nn.Module, kind: torch.dtype, layout: torch.memory_format = torch.channels_last
    ) -> Method:
        def make(batch: int, side: int) -> Step:
            mine = copy.deepcopy(network).eval().to(device, kind, memory_format=layout)  # type: ignore[call-overload]
            given = images(batch, side, layout, kind)

            def step() -> None:
                with torch.no_grad():
                    mine(given)

            return step

        return Method(INFERENCE, name, make)

    fp32, bf16, nchw = torch.float32, torch.bfloat16, torch.contiguous_format
    found = [
        training(PLAIN, stacked, "fp32", nchw),
        training("the same, without stack", loop, "fp32", nchw),
        training("the same, without stack, NHWC, bf16", loop, "bf16"),
        training(FP32, ours, "fp32"),
        training("randwire, bf16, but NCHW", ours, "bf16", nchw),
        training("randwire, bf16, but PyTorch's gradient", ours, "bf16", around=slow_gradient),
        training(BF16, ours, "bf16"),
        training("randwire, bf16, recompute", recomputing, "bf16"),
        inference(PLAIN, stacked, fp32, nchw),
        inference("the same, without stack, NHWC, bf16", loop, bf16),
        inference(FP32, folded(ours), fp32),
        inference("randwire, bf16, but BN not folded", ours, bf16),
        inference(BF16, folded(ours), bf16),
    ]
    if clones is not None:
        for name, network in peers.networks(clones, config.network, _dags(config), CLASSES).items():
            found += [training(name, network, "fp32", nchw), inference(name, network, fp32, nchw)]
    if device.type != "cpu":
        found = [method for method in found if "PyTorch's gradient" not in method.name]
    if compiled:
        kernels = RandWire(config.network, _dags(config), CLASSES, compiled=True)
        kernels.load_state_dict(ours.state_dict())
        found += [
            training(f"{FP32}, {COMPILED}", kernels, "fp32"),
            training(f"{BF16}, {COMPILED}", kernels, "bf16"),
            training(f"{BF16}, nodes compiled", ours, "bf16", compiled=_nodes),
            training(f"{BF16}, whole network compiled", ours, "bf16", compiled=lambda network: (network,)),
        ]
    return found


def _nodes(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, Node)]


def networks(config: RunConfig) -> tuple[RandWire, tuple[nn.Module, nn.Module]]:
    """Ours, and the baseline with and without stacking, of equal parameters and statistics."""
    torch.manual_seed(0)
    dags = _dags(config)
    ours = RandWire(config.network, dags, CLASSES)
    for module in ours.modules():
        if isinstance(module, nn.BatchNorm2d):
            # Values that a folded BN could not get right by chance.
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
        elif isinstance(module, Node) and module.aggregation is not None:
            nn.init.normal_(module.aggregation)
    stacked, loop = (plain(config.network, dags, CLASSES, stacks) for stacks in (True, False))
    for network in (stacked, loop):
        network.load_state_dict(ours.state_dict())
    return ours, (stacked, loop)


def _dags(config: RunConfig) -> dict[str, DAG]:
    return {stage: sample.dag for stage, sample in sample_graphs(config).items()}


def slow_gradient() -> AbstractContextManager[object]:
    """Depthwise convolutions with PyTorch's own gradient."""
    return mock.patch.object(Depthwise, "forward", nn.Conv2d.forward)


def timer(device: torch.device) -> Callable[[Step], float]:
    """Seconds of a step: of this process on a CPU, of the wall until the work has ended on a GPU."""

    def measure(step: Step) -> float:
        if device.type == "cpu":
            start = time.process_time()
            step()
            return time.process_time() - start
        torch.cuda.synchronize(device)
        start = time.perf_counter()
        step()
        torch.cuda.synchronize(device)
        return time.perf_counter() - start

    return measure


class Limits:
    """What the machine does at most: multiply-adds in products of matrices, and bytes in copies of the memory.

    Products are taken as such and as a 1x1 convolution: libraries differ, and the better one is the limit.
    """

    def __init__(self, device: torch.device) -> None:
        side, batch = (2048, 16) if device.type == "cpu" else (8192, 256)
        self.products: dict[str, list[tuple[float, Step]]] = {}
        for name, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
            factor = torch.randn(side, side, device=device).to(kind)
            images = torch.randn(batch, 512, 28, 28, device=device).to(kind, memory_format=torch.channels_last)
            kernel = torch.randn(512, 512, 1, 1, device=device).to(kind)
            self.products[name] = [
                (2 * side**3, partial(torch.mm, factor, factor)),
                (2 * images.numel() * 512, partial(functional.conv2d, images, kernel)),
            ]
        self.source = torch.zeros((256 if device.type == "cpu" else 2048) * 2**20, dtype=torch.uint8, device=device)
        self.target = torch.zeros_like(self.source)

    def measure(self, measure: Callable[[Step], float]) -> dict[str, float]:
        """GFLOP/s by precision, and GB/s read and written."""
        rates = {
            name: max(flops / 1e9 / measure(product) for flops, product in products)
            for name, products in self.products.items()
        }
        rates["copy"] = 2 * len(self.source) / 1e9 / measure(lambda: self.target.copy_(self.source))
        return rates


@dataclass
class Kernels:
    """Of one step by kind of kernel: shares of the time, and for an image what must be done and moved at least."""

    phase: str
    name: str
    shares: dict[str, float]
    gflop: dict[str, float]
    gigabytes: dict[str, float]


def kernels(method: Method, step: Step, batch: int, network: RandWire, side: int, device: torch.device) -> Kernels:
    """Profile some steps of `batch` images. Bytes count all inputs and outputs, as if nothing stayed in a cache."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with profile(activities=activities, record_shapes=True) as profiler:
        for _ in range(PROFILED):
            step()
    passes, size = 3 if method.phase == TRAINING else 1, 2 if "bf16" in method.name else 4
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    kinds: dict[tuple[str, str], str] = {}
    gflop, gigabytes = dict.fromkeys(KINDS, 0.0), dict.fromkeys(KINDS, 0.0)
    for event in profiler.events() or []:
        name, shapes = event.name.removeprefix("aten::"), _shapes(event.input_shapes or [])
        key = name, str(shapes)
        kind = kinds.setdefault(key, _kind(name, shapes))
        times[key].append(event.self_cpu_time_total if device.type == "cpu" else event.self_device_time_total)
        if kind in MOVING:
            sizes = [float(np.prod(shape)) for shape in shapes if len(shape) >= 4]
            moved = sum(sizes) + (0.0 if name == "sum" else max(sizes))
            gigabytes[kind] += moved * size / 1e9 / PROFILED / batch
    for layer, given, out in _convolutions(network, side):
        kind = _convolution(layer.weight.shape)
        gflop[kind] += passes * 2 * out.numel() * layer.weight[0].numel() / 1e9
        if kind == "depthwise":
            gigabytes[kind] += passes * (given.numel() + out.numel()) * size / 1e9
    totals = dict.fromkeys(KINDS, 0.0)
    for key, found in times.items():
        totals[kinds[key]] += float(np.median(found)) * len(found)
    shares = {kind: total / sum(totals.values()) for kind, total in totals.items()}
    return Kernels(method.phase, method.name, shares, gflop, gigabytes)


def _shapes(given: Sequence[Any]) -> list[list[int]]:
    """The shapes of all tensors in the inputs of an operation, those in lists of tensors too."""
    found: list[list[int]] = []
    for shape in given:
        if shape:
            found += shape if isinstance(shape[0], list) else [shape]
    return found


def _kind(name: str, shapes: Sequence[Sequence[int]]) -> str:
    if name in FORWARD:
        return _convolution(shapes[1])
    if name == "convolution_backward":
        return _convolution(shapes[2])
    if "batch_norm" in name and len(shapes) > 2:
        return "batch norm"
    # Images have four dimensions; there is little time in vectors and scalars.
    return "aggregation, ReLU" if name in ELEMENTWISE and shapes and len(shapes[0]) >= 4 else "rest"


def _convolution(weight: Sequence[int]) -> str:
    """The kind of a convolution by the shape of its weights."""
    return "pointwise" if weight[2] == 1 else "depthwise" if weight[1] == 1 else "dense"


def _convolutions(network: RandWire, side: int) -> list[tuple[nn.Conv2d, Tensor, Tensor]]:
    """The convolutions of a network with the input and the output that they have for one image, without data."""
    found: list[tuple[nn.Conv2d, Tensor, Tensor]] = []

    def note(layer: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d)
        found.append((layer, given[0], out))

    network = copy.deepcopy(network).eval().to("meta")
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(note)
    with torch.no_grad():
        network(torch.empty(1, 3, side, side, device="meta"))
    return found


def memory(method: Method, batch: int, side: int, device: torch.device) -> float:
    """MiB for each image that a step adds, in this process, to what the network and its optimizer hold."""
    method.make(2, 64)()  # loads what a first step loads
    step = method.make(batch, side)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        held = torch.cuda.memory_allocated(device)
        step()
        return (torch.cuda.max_memory_allocated(device) - held) / 2**20 / batch
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = _peak()
    step()
    return (_peak() - before) / 2**20 / batch


def _peak() -> float:
    """The most memory that this process held, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * float(next(line.split()[1] for line in lines if line.startswith("VmHWM")))


@dataclass
class Measured:
    """What one method did in each round, and its peak memory."""

    phase: str
    name: str
    ms_per_image: list[float]
    mib_per_image: float
    first_s: list[float] = field(default_factory=list)
    """Wall seconds of the first step in a fresh process, with nothing in the cache of compiled code and once more."""


@dataclass
class Report:
    """All that was measured, and on what."""

    machine: dict[str, Any]
    preset: str
    batch: int
    side: int
    rounds: int
    off_in_fp64: tuple[float, float]
    limits: dict[str, list[float]]
    methods: list[Measured]
    kernels: list[Kernels]

    def show(self) -> None:
        """Print it as tables: medians with the interquartile range, and medians of the ratios of each round."""
        about = self.machine
        processor = about["hardware"]["gpu"] or about["hardware"]["cpu"]
        print(f"{processor}, {about['threads']} thread(s), load {about['load']}")
        print(f"torch {about['packages']['torch']}, python {about['python']}, commit {about['commit']}")
        print(f"{self.preset} at {self.side} pixels, batches of {self.batch}, n = {self.rounds} rounds")
        print(
            "outputs and gradients off the baseline's in fp64: {:.1e}, {:.1e} of the largest".format(*self.off_in_fp64)
        )
        rates = {name: f"{np.median(found):.0f}" for name, found in self.limits.items()}
        print("limits: {fp32} GFLOP/s fp32, {bf16} GFLOP/s bf16, copy {copy} GB/s\n".format(**rates))
        rows = [
            ["ms an image", "median [quartiles]", "x baseline", "MiB an image", "of baseline", "first step, again: s"]
        ]
        for one in self.methods:
            base = self.find(one.phase, PLAIN)
            low, middle, high = np.percentile(one.ms_per_image, (25, 50, 75))
            cells = [f"{one.phase}: {one.name}", f"{middle:.1f} [{low:.1f} {high:.1f}]", f"{self.ratio(one):.2f}"]
            rows.append([*cells, f"{one.mib_per_image:.1f}", f"{one.mib_per_image / base.mib_per_image:.2f}",
                         ", ".join(f"{seconds:.0f}" for seconds in one.first_s)])  # fmt: skip
        print_table(rows)
        rows = [["kernels", "ms an image", "of the step", "of the limit"]]
        for found in self.kernels:
            for kind, share in found.shares.items():
                name = f"{found.phase}: {found.name}: {kind}"
                limit = self.of_limit(found, kind)
                cells = [f"{share * self.time_of(found):.2f}", f"{share:.0%}", "" if limit is None else f"{limit:.0%}"]
                rows.append([name, *cells])
        print_table(rows)

    def find(self, phase: str, name: str) -> Measured:
        return next(one for one in self.methods if (one.phase, one.name) == (phase, name))

    def ratio(self, one: Measured) -> float:
        """How many times as fast as the baseline: the median over rounds."""
        base = self.find(one.phase, PLAIN).ms_per_image
        return float(np.median(np.array(base) / np.array(one.ms_per_image)))

    def time_of(self, found: Kernels) -> float:
        """Median ms of an image."""
        return float(np.median(self.find(found.phase, found.name).ms_per_image))

    def of_limit(self, found: Kernels, kind: str) -> float | None:
        """The rate of a kind of kernel as a share of the limit: matrix products, or copies for what moves data."""
        seconds = found.shares[kind] * self.time_of(found) / 1000
        if seconds == 0 or kind == "rest":
            return None
        if kind in ("pointwise", "dense"):
            precision = "bf16" if "bf16" in found.name else "fp32"
            return found.gflop[kind] / seconds / float(np.median(self.limits[precision]))
        return found.gigabytes[kind] / seconds / float(np.median(self.limits["copy"]))


COLOURS = dict(zip(KINDS, ("#30638e", "#5fa8d3", "#003d5b", "#edae49", "#d1495b", "#b5b5b5"), strict=True))


def draw(report: Report, path: Path) -> None:
    """The time of an image by kind of kernel: the baseline and ours, training above inference."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import patches, pyplot

    phases = (TRAINING, INFERENCE)
    figure, axes = pyplot.subplots(2, 1, figsize=(9, 4.6), layout="constrained")
    for ax, phase in zip(axes, phases, strict=True):
        rows = [found for found in report.kernels if found.phase == phase]
        base = report.time_of(rows[0])
        for place, found in enumerate(rows):
            total, left = report.time_of(found), 0.0
            for kind, share in found.shares.items():
                width = share * total
                ax.barh(place, width, left=left, height=0.7, color=COLOURS[kind], edgecolor="white", linewidth=0.5)
                if width > 0.045 * base:
                    text = f"{width:.0f}" if width >= 10 else f"{width:.1f}"
                    colour = "black" if kind in ("batch norm", "rest", "depthwise") else "white"
                    ax.text(left + width / 2, place, text, ha="center", va="center", fontsize=8, color=colour)
                left += width
            speed = (
                f"{total:.0f} ms"
                if found.name == PLAIN
                else f"{total:.0f} ms, {report.ratio(report.find(phase, found.name)):.1f}x"
            )
            ax.text(left + 0.01 * base, place, speed, va="center", fontsize=9, fontweight="bold")
        ax.set_yticks(range(len(rows)), [found.name for found in rows])
        ax.invert_yaxis()
        ax.set_xlim(0, 1.13 * base)
        ax.set_title(f"{phase.capitalize()}: ms for one image", loc="left", fontsize=10)
        ax.spines[["top", "right"]].set_visible(False)
    handles = [patches.Rectangle((0, 0), 1, 1, color=colour) for colour in COLOURS.values()]
    told = {"pointwise": "1x1 convolution", "depthwise": "3x3 depthwise", "dense": "3x3 (stem)"}
    labels = [told.get(kind, kind) for kind in COLOURS]
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, fontsize=9)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--preset", default="small", help="a preset of separable convolutions [%(default)s]")
    parser.add_argument("--rounds", type=int, default=10, help="[%(default)s]")
    parser.add_argument("--batch", type=int, default=16, help="images in a step [%(default)s]")
    parser.add_argument("--side", type=int, help="pixels [the preset's resolution]")
    parser.add_argument("--threads", type=int, default=1, help="of a CPU [%(default)s]")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="[%(default)s]")
    parser.add_argument(
        "--compile", action="store_true", help="measure what torch.compile makes of it too: minutes more"
    )
    parser.add_argument("--peers", type=Path, metavar="FOLDER", help="clones of public implementations to measure too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured there")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the time by kind of kernel there")
    for one in ("--memory", "--first"):
        parser.add_argument(one, type=int, metavar="NUMBER", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.rounds < 1 or chosen.batch < 2:
        parser.error("--rounds must be at least 1 and --batch at least 2")
    torch.set_num_threads(chosen.threads)
    device, config = pick_device(chosen.device), load(chosen.preset)
    side = chosen.side or config.data.resolution
    found = methods(config, device, chosen.compile, chosen.peers)
    if chosen.memory is not None:
        print(memory(found[chosen.memory], chosen.batch, side, device))
        return
    if chosen.first is not None:
        step, started = found[chosen.first].make(chosen.batch, side), time.perf_counter()
        step()
        print(time.perf_counter() - started)
        return
    with TemporaryDirectory() as cache, mock.patch.dict(os.environ, {"TORCHINDUCTOR_CACHE_DIR": cache}):
        report = run(config, found, chosen, side, device)
    report.show()
    if chosen.json:
        chosen.json.write_text(json.dumps(asdict(report), indent=1) + "\n")
    if chosen.picture:
        draw(report, chosen.picture)


def _elsewhere(what: str, number: int) -> float:
    """What this command finds out of one method in a process of its own."""
    words = [sys.executable, "-m", "benchmarks.step", *sys.argv[1:], what, str(number)]
    return float(subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout)


def run(
    config: RunConfig, found: Sequence[Method], chosen: argparse.Namespace, side: int, device: torch.device
) -> Report:
    """Measure everything: differences, rounds, profiles, memory."""
    batch, load_before = chosen.batch, os.getloadavg()[0]
    ours, (stacked, _) = networks(config)
    off = differences(ours, stacked, 64)
    results = [Measured(method.phase, method.name, [], 0.0) for method in found]
    for number, result in enumerate(tqdm(results, desc="memory", disable=None)):
        if "compiled" in result.name:
            result.first_s = [_elsewhere("--first", number) for _ in range(2)]
        result.mib_per_image = _elsewhere("--memory", number)
    measure, limits = timer(device), Limits(device)
    steps = [method.make(batch, side) for method in found]
    rates: dict[str, list[float]] = defaultdict(list)
    with tqdm(total=(chosen.rounds + 1) * len(found), desc="steps", disable=None) as progress:
        for number in range(chosen.rounds + 1):  # the first does not count
            for step, result in zip(steps, results, strict=True):
                seconds = measure(step)
                if number:
                    result.ms_per_image.append(1000 * seconds / batch)
                progress.update()
            if number:
                for name, rate in limits.measure(measure).items():
                    rates[name].append(rate)
    shown = [place for place, method in enumerate(found) if method.name in (PLAIN, FP32, BF16)]
    profiles = [kernels(found[place], steps[place], batch, ours, side, device) for place in shown]
    about = environment(ProcessWorker(device), "python -m benchmarks.step")
    about |= {"threads": torch.get_num_threads(), "load": [round(load_before, 1), round(os.getloadavg()[0], 1)]}
    return Report(about, chosen.preset, batch, side, chosen.rounds, off, dict(rates), results, profiles)


if __name__ == "__main__":
    main()
