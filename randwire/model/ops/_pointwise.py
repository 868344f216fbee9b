"""A 1x1 convolution, computed as a matrix product where that is faster."""

import torch
from torch import Tensor, nn
from torch.nn import functional

AS_LINEAR: bool | None = None
"""Whether 1x1 convolutions are computed as matrix products, wherever the layout allows it; None: where measured faster.

For measurements alone. The rule depends on no measured time, so that equal runs do equal arithmetic.
"""
WIDE_INPUT = 64
"""Channels from which the rows of a product in bf16 are long enough for training."""
WIDE_OUTPUT = 256
"""Channels from which a product in bf16 with a bias gains more than writing the bias beforehand costs."""


class Pointwise(nn.Conv2d):
    """A 1x1 convolution, (B, c_in, H, W) to (B, c_out, H, W).

    Images in NHWC are rows of c_in numbers, so that it is a product of matrices. Both ways have the same result up to
    rounding. CPU time of the convolution over that of the product, 1 thread of an Intel Xeon with AMX, PyTorch 2.13,
    batches of 4 to 64 and the sizes of the small regime (78 channels at 28x28 to 312 at 7x7):

    - forward and backward, bf16: 1.1 to 1.8; with 32 channels at 16x16 and a batch of 64 it is 0.9, with 8 it is 0.7
    - forward and backward, fp32: 1.0 to 1.2; with 8 to 128 channels 1.1 to 2.1 from a batch of 16 on, 0.8 at 4
    - forward with a bias, bf16: 1.0 to 1.5 to 312 channels and more, 0.7 to 1.1 to fewer
    - forward with a bias, fp32: 0.9 to 1.1

    It has not been measured on a GPU, which keeps the convolution.
    """

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__(c_in, c_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        # What is compiled or exported is a convolution: the layout is not known then, and others choose for it.
        if torch.compiler.is_compiling() or not self._as_linear(x):
            return super().forward(x)
        # Permuted, the gradient of a weight in NHWC has its strides, as distributed training demands.
        weight = self.weight.permute(0, 2, 3, 1).flatten(1)
        return functional.linear(x.permute(0, 2, 3, 1), weight, self.bias).permute(0, 3, 1, 2)

    def _as_linear(self, x: Tensor) -> bool:
        if AS_LINEAR is False or not x.is_contiguous(memory_format=torch.channels_last):
            return False
        if AS_LINEAR is None and x.device.type != "cpu":
            return False
        if AS_LINEAR or (x.dtype != torch.bfloat16 and torch.is_grad_enabled()):
            return True
        wide = self.in_channels >= WIDE_INPUT if torch.is_grad_enabled() else self.out_channels >= WIDE_OUTPUT
        return x.dtype == torch.bfloat16 and wide
