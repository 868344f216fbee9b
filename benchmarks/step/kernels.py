"""The time of a step by kind of kernel."""

import copy
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from benchmarks.step.methods import TRAINING, Method, Step
from randwire.model.kernels import NAME as ONE_PASS
from randwire.model.network import RandWire

KINDS = ("pointwise", "depthwise", "dense", "batch norm", "aggregation, ReLU", "rest")
"""Kinds of kernels: 1x1, depthwise and 3x3 convolutions (those of the stem), batch norm, elementwise, all else."""
ELEMENTWISE = {
    "mul", "mul_", "add", "add_", "addcmul", "addcmul_", "div", "sum", "cat", "stack", "relu", "relu_", "clamp_min",
    "clamp_min_", "threshold_backward",
}  # fmt: skip
FORWARD = ("mkldnn_convolution", "_slow_conv2d_forward", "cudnn_convolution", "_conv_depthwise2d")
PRODUCTS = ("mm", "addmm")
"""Products of matrices: 1x1 convolutions where those are faster, and the fully connected layer, which is small."""
ROWS = ("copy_", "dot")
"""Operations that are elementwise ones of images if they are on rows of numbers, as pieces of images are."""
SHORTEST_ROW, PIECE = 1 << 13, 1 << 16
"""Numbers from which a row is one of images, and those of the pieces in which images are added up on a CPU."""
MOVING = ("batch norm", "aggregation, ReLU")
"""Kinds that are bound by the memory, whose bytes follow from the shapes of their inputs."""
CPU = torch._C._autograd.DeviceType.CPU
PROFILED_STEPS = 3
"""Steps in a profile; a kernel counts with the median of its times, so that a disturbed one does not."""


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
        for _ in range(PROFILED_STEPS):
            step()
    passes, size = 3 if method.phase == TRAINING else 1, 2 if "bf16" in method.name else 4
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    kinds: dict[tuple[str, str], str] = {}
    gflop, gigabytes = dict.fromkeys(KINDS, 0.0), dict.fromkeys(KINDS, 0.0)
    for event, spent in operations(profiler.events() or [], device):
        name, shapes = event.name.removeprefix("aten::"), _shapes(event.input_shapes or [])
        key = name, str(shapes)
        kind = kinds.setdefault(key, _kind(name, shapes))
        times[key].append(spent)
        if kind in MOVING:
            moved = float(name.split()[1]) if name.startswith(ONE_PASS) else _moved(name, shapes) * size
            gigabytes[kind] += moved / 1e9 / PROFILED_STEPS / batch
    for layer, image, out in _convolutions(network, side):
        kind = _convolution(layer.weight.shape)
        gflop[kind] += passes * 2 * out.numel() * layer.weight[0].numel() / 1e9
        if kind == "depthwise":
            gigabytes[kind] += passes * (image.numel() + out.numel()) * size / 1e9
    totals = dict.fromkeys(KINDS, 0.0)
    for key, event_times in times.items():
        totals[kinds[key]] += float(np.median(event_times)) * len(event_times)
    shares = {kind: total / sum(totals.values()) for kind, total in totals.items()}
    return Kernels(method.phase, method.name, shares, gflop, gigabytes)


def operations(events: Iterable[FunctionEvent], device: torch.device) -> Iterator[tuple[FunctionEvent, float]]:
    """Each operation with the time of its own in microseconds: of a CPU, or of the kernels that it launched on a GPU.

    A profile of a GPU has each kernel twice, as an event of its own and at the operation that launched it, and regions
    that the host has named (a step of an optimizer) once more as events of the GPU. Only what no operation has
    launched is taken from the kernels themselves.
    """
    launched: Counter[str] = Counter()
    kernels: list[FunctionEvent] = []
    for event in events:
        if device.type == "cpu":
            yield event, event.self_cpu_time_total
        elif event.is_user_annotation:
            continue
        elif event.device_type != CPU:
            kernels.append(event)
        else:
            launched.update(kernel.name for kernel in event.kernels)
            yield event, sum(kernel.duration for kernel in event.kernels)
    for event in kernels:
        if launched[event.name]:
            launched[event.name] -= 1
        else:
            yield event, event.time_range.end - event.time_range.start


def _shapes(inputs: Sequence[Any]) -> list[list[int]]:
    """The shapes of all tensors in the inputs of an operation, those in lists of tensors too."""
    shapes: list[list[int]] = []
    for shape in inputs:
        if shape:
            shapes += shape if isinstance(shape[0], list) else [shape]
    return shapes


def _kind(name: str, shapes: Sequence[Sequence[int]]) -> str:
    if name in PRODUCTS:
        return "pointwise"
    if name.startswith(ONE_PASS):
        return "aggregation, ReLU"
    if name in FORWARD:
        return _convolution(shapes[1])
    if name == "convolution_backward":
        return _convolution(shapes[2])
    if "batch_norm" in name and len(shapes) > 2:
        return "batch norm"
    # There is little time in other vectors than those of images, and in scalars.
    on_images = (
        bool(shapes) and _of_images(shapes[0]) and (name in ELEMENTWISE or (name in ROWS and len(shapes[0]) == 1))
    )
    return "aggregation, ReLU" if on_images else "rest"


def _of_images(shape: Sequence[int]) -> bool:
    """Images have four dimensions, or are rows of numbers that are longer than those of any parameter."""
    return len(shape) >= 4 or (len(shape) == 1 and shape[0] >= SHORTEST_ROW)


def _moved(name: str, shapes: Sequence[Sequence[int]]) -> float:
    """The numbers that an operation on images reads and writes in the memory.

    A copy of a piece of images has its other end in the cache, where all else that is done with the piece stays.
    """
    sizes = [float(np.prod(shape)) for shape in shapes if _of_images(shape)]
    if name == "copy_":
        return max(sizes)
    if len(shapes[0]) == 1 and sizes[0] <= PIECE:
        return 0.0
    return sum(sizes) + (0.0 if name in ("sum", "dot") else max(sizes))


def _convolution(weight: Sequence[int]) -> str:
    """The kind of a convolution by the shape of its weights."""
    return "pointwise" if weight[2] == 1 else "depthwise" if weight[1] == 1 else "dense"


def _convolutions(network: RandWire, side: int) -> list[tuple[nn.Conv2d, Tensor, Tensor]]:
    """The convolutions of a network with the input and the output that they have for one image, without data."""
    convolutions: list[tuple[nn.Conv2d, Tensor, Tensor]] = []

    def record(layer: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d)
        convolutions.append((layer, inputs[0], out))

    network = copy.deepcopy(network).eval().to("meta")
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(record)
    with torch.no_grad():
        network(torch.empty(1, 3, side, side, device="meta"))
    return convolutions
