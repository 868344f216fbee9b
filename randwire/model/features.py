"""A network as a backbone: the maps of its stages, for detection, segmentation and other dense tasks."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from randwire.config import NetworkConfig
from randwire.errors import ConfigError
from randwire.model.network import RandWire
from randwire.model.regimes import REGIMES
from randwire.model.stage import Stage

FIRST = "conv2"
"""The first stage whose map is given. That of conv1 would be changed in place by the ReLU that conv2 begins with."""


class FeatureInfo:
    """What the maps are; the accessors of timm's class of this name, so that its users find what they look for.

    An entry is {"num_chs": channels, "reduction": stride, "module": "stages.conv2", "index": 0}. Indexing, iteration
    and `len` go over all maps that the network has; the methods over those of `out_indices`, which are given, unless
    `idx` names others.
    """

    def __init__(self, info: Sequence[Mapping[str, Any]], out_indices: Sequence[int]) -> None:
        self.info = [dict(entry) for entry in info]
        self.out_indices = tuple(out_indices)

    def get(self, key: str, idx: int | Sequence[int] | None = None) -> Any:
        """The values of `key` for the maps that are given, for those of a sequence, or the one of an index."""
        if isinstance(idx, int):
            return self.info[idx][key]
        return [self.info[index][key] for index in (self.out_indices if idx is None else idx)]

    def get_dicts(self, keys: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """The entries of the maps that are given, with all keys or these."""
        chosen = [self.info[index] for index in self.out_indices]
        return [{key: entry[key] for key in keys or entry} for entry in chosen]

    def channels(self, idx: int | Sequence[int] | None = None) -> Any:
        """Channels of each map."""
        return self.get("num_chs", idx)

    def reduction(self, idx: int | Sequence[int] | None = None) -> Any:
        """Stride of each map: pixels of the image along a side, for one of the map."""
        return self.get("reduction", idx)

    def module_name(self, idx: int | Sequence[int] | None = None) -> Any:
        """The module whose output each map is."""
        return self.get("module", idx)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.info[index]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.info)

    def __len__(self) -> int:
        return len(self.info)


def backbone(network: nn.Module, config: NetworkConfig, out_indices: int | Sequence[int] | None = None) -> "Features":
    """The features of the network of a configuration. Raises as `Features`, and ConfigError for a published network."""
    if not isinstance(network, RandWire):
        raise ConfigError(
            f"features=True: {config.reference} is a published network, without the stages of a random one"
        )
    return Features(network, config, out_indices)


class Features(nn.Module):
    """The stages of a network up to the last map that is asked for, without its classifier; they are not copied.

    Maps to `feature_info`'s maps, in the order of the network: `out_indices` are theirs (negative ones count from the
    end), or how many of the last; all if left out. The names of parameters are those of the network, so that either
    takes the other's weights (`strict=False`). Drop edge draws in training as in the network. Raises ConfigError for
    indices that are repeated or not there.
    """

    def __init__(
        self, network: RandWire, config: NetworkConfig, out_indices: int | Sequence[int] | None = None
    ) -> None:
        super().__init__()
        info: list[dict[str, Any]] = []
        reduction = 1
        for plan in REGIMES[config.regime]:
            reduction *= plan.stride
            if info or plan.name == FIRST:
                channels, index = plan.channels(config.channels), len(info)
                info.append(
                    {"num_chs": channels, "reduction": reduction, "module": f"stages.{plan.name}", "index": index}
                )
        self.feature_info = FeatureInfo(info, _ascending(out_indices, len(info)))
        self._given = {name.removeprefix("stages.") for name in self.feature_info.module_name()}
        self.stages = nn.ModuleDict()
        for name, stage in network.stages.items():
            if self._given <= self.stages.keys():
                break
            self.stages[name] = stage
        self.drop_edge = network.drop_edge
        self.train(network.training)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Normalised images (B, 3, H, W), of any size, to maps (B, channels, ceil(H / stride), ceil(W / stride)).

        A map is the output of its stage: for a random one the mean over its sinks, which end with BN. No ReLU has been
        applied: it is the first thing that the next stage, or the classifier, does with it, and lateral convolutions
        of an FPN are better off with both signs.
        """
        keep = self.drop_edge()
        maps = []
        for name, stage in self.stages.items():
            x = stage(x, keep[name]) if name in keep else stage(x)
            if name in self._given:
                maps.append(x)
        return maps

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Hold less memory in training and compute more, with equal numbers; the name is timm's (see Stage)."""
        for stage in self.stages.values():
            if isinstance(stage, Stage):
                stage.recompute = enable


def _ascending(out_indices: int | Sequence[int] | None, count: int) -> list[int]:
    """Indices of maps, ascending."""
    if out_indices is None:
        return list(range(count))
    wanted = range(-out_indices, 0) if isinstance(out_indices, int) else out_indices
    indices = sorted(index + count if index < 0 else index for index in wanted)
    if not indices or len({*indices}) < len(indices) or not set(indices) <= set(range(count)):
        raise ConfigError(f"out_indices: {out_indices!r} must choose of the {count} maps of the network, each once")
    return indices
