"""The passes of a node by themselves: does the number of channels matter, and is a product faster than a convolution?

Rates are of the bytes that a pass must read and write at least; a backward pass is the difference of both passes and
the forward one.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.training import Way, computing

SHAPES = ((78, 28), (80, 28), (156, 14), (160, 14), (312, 7))
"""Channels and side of the stages of `small`, and the next multiples of 8 and of 16 bytes."""


def measure(bench: Bench) -> None:
    """Each pass in bf16, with the kernels that cuDNN takes unasked, and with those that it measures to be fastest."""
    count = 2 if bench.dry else 256
    for channels, side in SHAPES[:1] if bench.dry else SHAPES:
        for tuned in (False, True):
            name = f"{channels} channels, side {side}{', cudnn.benchmark' if tuned else ''}"
            if bench.time_left(name):
                with bench.case(name), computing(Way(tuned=tuned), bench.device):
                    _passes(bench, name, count, channels, side)


def _passes(bench: Bench, name: str, count: int, channels: int, side: int) -> None:
    def random(*shape: int) -> Tensor:
        numbers = torch.randn(shape, device=bench.device).to(torch.bfloat16)
        return numbers.contiguous(memory_format=torch.channels_last).requires_grad_()

    x, pointwise, depthwise = (
        random(count, channels, side, side),
        random(channels, channels, 1, 1),
        random(channels, 1, 3, 3),
    )
    norm = nn.BatchNorm2d(channels).to(bench.device)
    passes: dict[str, Callable[[], Tensor]] = {
        "1x1 as a convolution": lambda: functional.conv2d(x, pointwise),
        "1x1 as a product": lambda: functional.linear(x.permute(0, 2, 3, 1), pointwise[:, :, 0, 0]),
        "depthwise": lambda: functional.conv2d(x, depthwise, padding=1, groups=channels),
        "depthwise, stride 2": lambda: functional.conv2d(x, depthwise, stride=2, padding=1, groups=channels),
        "batch norm": lambda: norm(x),
        "relu": lambda: functional.relu(x),
    }
    inputs = (x, pointwise, depthwise, *norm.parameters())
    for kind, forward in passes.items():
        with bench.case(f"{name}: {kind}"):
            out = forward()
            gradient = torch.randn_like(out)
            once = bench.time(forward, 0.2).ms
            both = bench.time(partial(_both, forward, gradient, inputs), 0.2).ms
            moved = x.element_size() * (x.numel() + out.numel())
            bench.row(
                f"{name}: {kind}",
                forward_us=1000 * once,
                forward_GBs=moved / once / 1e6,
                backward_us=1000 * (both - once),
            )


def _both(forward: Callable[[], Tensor], gradient: Tensor, inputs: Sequence[Tensor]) -> None:
    """A forward pass and the gradients of all that it uses."""
    torch.autograd.grad(forward(), inputs, gradient, allow_unused=True)
