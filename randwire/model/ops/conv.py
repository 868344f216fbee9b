"""3x3 convolution (paper, section 4.1, node operations; certainty C)."""

from torch import Tensor, nn

from randwire.model.ops._base import NodeOp


class Conv(NodeOp):
    """A dense 3x3 convolution, which carries the stride and the change of channels."""

    positively_homogeneous = True
    deterministic = True
    paddable = True

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__(c_in, c_out, stride)
        self.conv = nn.Conv2d(c_in, c_out, 3, stride, padding=1, bias=False)

    @property
    def output_conv(self) -> nn.Conv2d:
        return self.conv

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out
