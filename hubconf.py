"""Networks by torch.hub, from a clone (`source="local"`) or from GitHub, without an installation of randwire.

Every function here that has no leading underscore is an entry point, imported names included: there are none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import nn

dependencies = ["torch", "networkx", "pydantic", "safetensors", "yaml"]
"""What the entry points import: torch.hub tells what is missing. Neither Ray nor FFCV is needed."""


def randwire(
    record_or_weights: str | Path, features: bool = False, out_indices: int | Sequence[int] | None = None
) -> nn.Module:
    """A trained network: of the folder of a record, a checkpoint, or the file that `train.py RECORD --export` wrote.

    It is in evaluation mode and maps normalised images (B, 3, H, W) to logits (B, classes); with `features=True` to a
    list of the maps of conv2 to conv5, which `feature_info` describes, or those of `out_indices`, as timm has it.

        torch.hub.load(REPOSITORY, "randwire", "net.safetensors", features=True)
    """
    from randwire.inference import load

    return load(record_or_weights, features, out_indices)


def untrained(
    config: str = "small",
    values: Mapping[str, object] | None = None,
    classes: int | None = None,
    features: bool = False,
    out_indices: int | Sequence[int] | None = None,
) -> nn.Module:
    """The network of a preset, a config.yaml or a record, with the weights that its training starts from.

    `values` are keys of train.py, such as {"graph.seed": 3, "graph.generator": "ba:m=5"}; `classes` are those of the
    configuration's data set if left out. `features` and `out_indices` are those of the entry point `randwire`. It is
    in training mode.

        torch.hub.load(REPOSITORY, "untrained", "small", {"graph.seed": 3})
    """
    from randwire import config as configuration
    from randwire.model.features import backbone
    from randwire.wiring import initial_network

    resolved = configuration.load(config, values)
    network = initial_network(resolved, classes)
    return backbone(network, resolved.network, out_indices) if features else network
