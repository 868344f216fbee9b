"""A depthwise convolution whose data gradient avoids a slow kernel."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional


class Depthwise(nn.Conv2d):
    """A 3x3 convolution of each channel by itself, (B, C, H, W) to (B, C, ceil(H / stride), ceil(W / stride)).

    oneDNN (3.12, of PyTorch 2.13) has no fast kernel for the data gradient of a strided one in bf16: it takes up to 80
    times as long as that of stride 1 on the same pixels. Only there, on a CPU, the gradient is computed at stride 1.
    """

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(channels, channels, 3, stride, padding=1, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        slow = x.dtype == torch.bfloat16 and x.device.type == "cpu" and self.stride != (1, 1)
        if slow and torch.is_grad_enabled():
            out: Tensor = _Strided.apply(x, self.weight.to(x.dtype), self.stride[0])  # type: ignore[no-untyped-call]
            return out
        return super().forward(x)


class _Strided(torch.autograd.Function):
    """Depthwise convolution, strided forward; its data gradient is that of stride 1 with zeros between the pixels.

    The zeros add nothing, so the sum is the same bit for bit.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return functional.conv2d(x, weight, stride=stride, padding=1, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        stride: int = ctx.stride
        for_x, for_weight, _ = ctx.needs_input_grad
        grad_x = grad_weight = None
        if for_x:
            spread = torch.zeros_like(x)
            spread[:, :, ::stride, ::stride] = grad
            grad_x = _gradients(spread, x, weight, 1, (True, False))[0]
        if for_weight:
            grad_weight = _gradients(grad, x, weight, stride, (False, True))[1]
        return grad_x, grad_weight, None


def _gradients(
    grad: Tensor, x: Tensor, weight: Tensor, stride: int, mask: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """PyTorch's gradients of a depthwise 3x3 convolution for x and weight, those that `mask` asks for."""
    grads = torch.ops.aten.convolution_backward(
        grad, x, weight, None, [stride] * 2, [1, 1], [1, 1], False, [0, 0], len(weight), [*mask, False]
    )
    return grads[0], grads[1]
