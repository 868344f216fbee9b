"""The network of a configuration: a randomly wired one, or a published one."""

from collections.abc import Mapping

from torch import nn

from randwire.config import NetworkConfig
from randwire.dag import DAG
from randwire.model import references
from randwire.model.network import RandWire


def build(
    config: NetworkConfig,
    dags: Mapping[str, DAG],
    classes: int,
    resolution: int,
    recompute: bool = False,
    compiled: bool = False,
    channel_multiple: int = 1,
) -> nn.Module:
    """A network from normalised images (B, 3, H, W) to logits (B, `classes`), with initial weights.

    `dags` are the graphs of the random stages; a published network has none, and is built for images of `resolution`.
    Raises ValueError if the stages are not those of the regime, ConfigError for a published network that is none,
    and for an operation that cannot be computed with channels of another number.
    """
    if config.reference is not None:
        return references.build(config.reference, classes, resolution)
    return RandWire(config, dags, classes, recompute, compiled, channel_multiple)
