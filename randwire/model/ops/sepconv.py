"""3x3 separable convolution, the paper's default node operation."""

from torch import Tensor, nn

from randwire.model.ops._base import NodeOp
from randwire.model.ops._depthwise import Depthwise
from randwire.model.ops._pointwise import Pointwise


class SepConv(NodeOp):
    """3x3 depthwise, then 1x1 pointwise convolution with nothing between them (as in Xception; certainty R)."""

    positively_homogeneous = True
    deterministic = True
    paddable = True

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__(c_in, c_out, stride)
        self.depthwise = Depthwise(c_in, stride)
        self.pointwise = Pointwise(c_in, c_out)

    @property
    def output_conv(self) -> nn.Conv2d:
        return self.pointwise

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pointwise(self.depthwise(x))
        return out
