"""Parameters, multiply-adds and activations of a network, by stage, without building it.

Multiply-adds are those of convolutions and the fully connected layer (the paper's FLOPs), for one image. Activations
are the numbers that one image leaves for the backward pass, those of the input included: of each node its rectified
input and what is between its layers, and its output where an aggregation multiplies it by a weight. The size of a stage
depends on its graph only through the number of sources and of edges into aggregating nodes, so each kind of node
is measured once and counted: a study of thousands of graphs is planned in seconds.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from randwire.config import MAX_CHANNELS, MIN_CHANNELS, NetworkConfig
from randwire.dag import DAG
from randwire.model import ops
from randwire.model.network import Classifier
from randwire.model.regimes import REGIMES


@dataclass(frozen=True)
class StageComplexity:
    name: str
    params: int
    mult_adds: int
    activations: int
    output: tuple[int, int, int]  # channels, height, width


@dataclass(frozen=True)
class Complexity:
    stages: tuple[StageComplexity, ...]

    @property
    def params(self) -> int:
        return sum(stage.params for stage in self.stages)

    @property
    def mult_adds(self) -> int:
        return sum(stage.mult_adds for stage in self.stages)

    @property
    def activations(self) -> int:
        return sum(stage.activations for stage in self.stages)

    def to_dict(self) -> dict[str, Any]:
        totals = {"params": self.params, "mult_adds": self.mult_adds, "activations": self.activations}
        return {**totals, "stages": [asdict(stage) for stage in self.stages]}


def complexity(config: NetworkConfig, dags: Mapping[str, DAG], classes: int, resolution: int) -> Complexity:
    """Counts for images of `resolution` x `resolution` pixels. Raises KeyError if a random stage has no DAG."""
    found = []
    c_in, size = 3, resolution
    for plan in REGIMES[config.regime]:
        c_out, out = plan.channels(config.channels), -(-size // plan.stride)
        if plan.share:
            dag = dags[plan.name]
            sources = len(dag.sources)
            first = _node(config.op, c_in, c_out, plan.stride, size)
            other = _node(config.op, c_out, c_out, 1, out)
            weights = sum(len(inputs) for inputs in dag.predecessors if len(inputs) > 1)
            params = sources * first[0] + (dag.nodes - sources) * other[0] + weights
            mult_adds = sources * first[1] + (dag.nodes - sources) * other[1]
            weighted = {i for inputs in dag.predecessors if len(inputs) > 1 for i in inputs}
            inside = sources * first[2] + (dag.nodes - sources) * other[2]
            activations = c_in * size**2 + inside + (dag.nodes - sources + len(weighted)) * c_out * out**2
        else:
            params = 9 * c_in * c_out + 2 * c_out
            mult_adds = 9 * c_in * c_out * out * out
            activations = c_in * size**2 + c_out * out**2
        found.append(StageComplexity(plan.name, params, mult_adds, activations, (c_out, out, out)))
        c_in, size = c_out, out
    params, mult_adds = _classifier(c_in, config, classes, size)
    activations = (c_in + (2 if config.head_relu else 1) * config.head) * size**2 + config.head
    if config.dropout:
        activations += config.head  # which of them are dropped
    found.append(StageComplexity("classifier", params, mult_adds, activations, (classes, 1, 1)))
    return Complexity(tuple(found))


def channels_for(
    mult_adds: float, config: NetworkConfig, dags: Mapping[str, DAG], classes: int, resolution: int
) -> int:
    """The base channels C whose multiply-adds are nearest to `mult_adds`, all else as in `config`; the smaller of two.

    Raises ValueError for less than the narrowest or more than the widest network of the configuration's range has.
    """

    def counted(channels: int) -> int:
        wide = config.model_copy(update={"channels": channels})
        return complexity(wide, dags, classes, resolution).mult_adds

    low, high = MIN_CHANNELS, MAX_CHANNELS
    if not counted(low) <= mult_adds <= counted(high):
        raise ValueError(
            f"no number of channels from {low} to {high} gives {mult_adds:g} multiply-adds: they give "
            f"{counted(low):,} to {counted(high):,}"
        )
    while high - low > 1:  # multiply-adds grow with the channels
        middle = (low + high) // 2
        low, high = (middle, high) if counted(middle) <= mult_adds else (low, middle)
    return min((low, high), key=lambda channels: abs(counted(channels) - mult_adds))


@lru_cache(maxsize=4096)
def _node(op: str, c_in: int, c_out: int, stride: int, size: int) -> tuple[int, int, int]:
    """Of one node: parameters (its BN included, its aggregation not), multiply-adds, and outputs of its layers."""
    with torch.device("meta"):
        module = ops.build(op, c_in, c_out, stride)
    outputs: list[int] = []
    for layer in module.modules():
        if not list(layer.children()):
            layer.register_forward_hook(lambda *found: outputs.append(found[-1].numel()))
    params, mult_adds = measure(module, (c_in, size, size))
    return params + 2 * c_out, mult_adds, sum(outputs)


@lru_cache(maxsize=4096)
def _classifier(c_in: int, config: NetworkConfig, classes: int, size: int) -> tuple[int, int]:
    with torch.device("meta"):
        head = Classifier(c_in, config, classes)
    return measure(head, (c_in, size, size))


def measure(module: nn.Module, shape: tuple[int, int, int]) -> tuple[int, int]:
    """Parameters, and multiply-adds on one image (C, H, W), of any module on the meta device, by running it there."""
    total = 0

    def count(layer: nn.Module, _: tuple[Tensor, ...], out: Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.Conv2d):
            total += out[0].numel() * layer.weight[0].numel()
        elif isinstance(layer, nn.Linear):
            total += layer.weight.numel()

    was_training = module.training
    hooks = [layer.register_forward_hook(count) for layer in module.modules()]
    try:
        with torch.no_grad():
            module.eval()(torch.empty(1, *shape, device="meta"))
    finally:
        module.train(was_training)
        for hook in hooks:
            hook.remove()
    return sum(parameter.numel() for parameter in module.parameters()), total
