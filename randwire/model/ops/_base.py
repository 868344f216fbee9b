"""What a node operation is: the convolution of the ReLU-convolution-BN triplet of a node (paper, section 3.1)."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class NodeOp(nn.Module, ABC):
    """Contract: a subclass is built from (c_in, c_out, stride) and has no bias, since BN follows it.

    Maps (B, c_in, H, W) to (B, c_out, ceil(H / stride), ceil(W / stride)). Its last module is a convolution, which
    takes up that BN in evaluation.
    """

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.c_in, self.c_out, self.stride = c_in, c_out, stride

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor: ...
