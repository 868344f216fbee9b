"""3x3 average-pooling and a 1x1 convolution (paper, section 4.1, node operations; certainty C)."""

from torch import Tensor, nn

from randwire.model.ops._base import NodeOp
from randwire.model.ops._pointwise import Pointwise


class AvgPool(NodeOp):
    """3x3 average-pooling, which carries the stride, then a 1x1 convolution, which carries the change of channels.

    At the border the mean is taken over the pixels that exist; how the paper treats the border is unknown.
    """

    positively_homogeneous = True
    deterministic = True
    paddable = True

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__(c_in, c_out, stride)
        self.pool = nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)
        self.conv = Pointwise(c_in, c_out)

    @property
    def output_conv(self) -> nn.Conv2d:
        return self.conv

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(self.pool(x))
        return out
