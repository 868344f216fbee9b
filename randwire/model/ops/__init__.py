"""Node operations: one file each. `build("sepconv", 78, 156, 2)` gives the module of one node's convolution."""

from randwire import registry
from randwire.model.ops._base import NodeOp
from randwire.model.ops._pointwise import Pointwise

__all__ = ["NodeOp", "Pointwise", "build"]

PACKAGE = "randwire.model.ops"


def build(name: str, c_in: int, c_out: int, stride: int) -> NodeOp:
    """The node operation `name`, from `c_in` to `c_out` channels. Raises ValueError for an unknown name."""
    return registry.load(PACKAGE, name, NodeOp)(c_in, c_out, stride)  # type: ignore[type-abstract]
