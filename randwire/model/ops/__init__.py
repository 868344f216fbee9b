"""Node operations: one file each. `build("sepconv", 78, 156, 2)` gives the module of one node's convolution."""

from randwire import registry
from randwire.model.ops._base import NodeOp
from randwire.model.ops._pointwise import Pointwise

__all__ = ["NodeOp", "Pointwise", "build", "kind"]

PACKAGE = "randwire.model.ops"


def build(name: str, c_in: int, c_out: int, stride: int) -> NodeOp:
    """The node operation `name`, from `c_in` to `c_out` channels. Raises ValueError for an unknown name."""
    return kind(name)(c_in, c_out, stride)


def kind(name: str) -> type[NodeOp]:
    """The class of the node operation `name`. Raises ValueError for an unknown name."""
    return registry.load(PACKAGE, name, NodeOp)  # type: ignore[type-abstract]
