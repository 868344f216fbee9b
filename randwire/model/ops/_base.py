"""What a node operation is: the convolution of the ReLU-convolution-BN triplet of a node (paper, section 3.1)."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn


class NodeOp(nn.Module, ABC):
    """Contract: a subclass is built from (c_in, c_out, stride); BN follows it, so a bias at its end has no effect.

    Maps (B, c_in, H, W) to (B, c_out, ceil(H / stride), ceil(W / stride)). Its output depends on its input, parameters,
    and random numbers of PyTorch's global generators alone. A subclass states which of the properties below it has;
    what it does not state is taken not to hold, which costs speed and changes no number.
    """

    positively_homogeneous: ClassVar[bool] = False
    """Whether op(c x) = c op(x) for every c > 0: evaluation may then move a weight of the input into the output."""
    deterministic: ClassVar[bool] = False
    """Whether nothing in it is random: recomputation may then leave the states of random generators alone."""
    paddable: ClassVar[bool] = False
    """Whether one of more channels, whose further parameters are zeros, has the same output and further zeros for an
    input with further channels of zeros, and needs no buffers: training may then store such channels.
    """

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.c_in, self.c_out, self.stride = c_in, c_out, stride

    @property
    def output_conv(self) -> nn.Conv2d | None:
        """The convolution whose output is that of the operation, if there is one: it takes up the BN in evaluation."""
        return None

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor: ...
