"""Parameters, multiply-adds and activations of a network, by stage, without building it.

Multiply-adds are those of convolutions and the fully connected layer (the paper's FLOPs), for one image. Activations
are the numbers that one image leaves for the backward pass, those of the input included: of each node its rectified
input and what is between its layers, and its output where an aggregation multiplies it by a weight. The size of a stage
depends on its graph only through the numbers of sources, of edges into aggregating nodes and of nodes that they come
from, so each kind of node is measured once and counted: a study of thousands of graphs is planned in seconds.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from randwire.config import MAX_CHANNELS, MIN_CHANNELS, NetworkConfig
from randwire.dag import DAG
from randwire.model.counting import Shape, activations, measure
from randwire.model.network import Classifier, Stem
from randwire.model.node import Node, NodeSpec
from randwire.model.regimes import REGIMES


@dataclass(frozen=True)
class StageComplexity:
    """Counts of one stage, for one image."""

    name: str
    params: int
    mult_adds: int
    activations: int
    output: Shape  # channels, height, width


@dataclass(frozen=True)
class Complexity:
    """Counts of a network by stage, and their sums."""

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


@dataclass(frozen=True)
class _Part:
    """A module of a network, described: `build` makes it from `arguments`; its input is (C, H, W)."""

    build: Callable[..., nn.Module]
    arguments: tuple[Any, ...]
    shape: Shape

    def module(self) -> nn.Module:
        with torch.device("meta"):
            return self.build(*self.arguments)


class _OneInput(nn.Module):
    """A node that has one input: without an aggregation."""

    def __init__(self, spec: NodeSpec) -> None:
        super().__init__()
        self.node = Node(spec)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.node([x])
        return out


@dataclass(frozen=True)
class _StageParts:
    """A stage as its parts, each as often as it is there, and what its graph adds."""

    name: str
    output: Shape
    parts: Sequence[tuple[_Part, int]]
    weights: int = 0
    """Parameters of the aggregations."""
    activations: int = 0
    """Those that are not of the parts, or (negative) that parts share."""

    def params(self) -> int:
        return sum(number * _measured(part)[0] for part, number in self.parts) + self.weights

    def mult_adds(self) -> int:
        return sum(number * _measured(part)[1] for part, number in self.parts)

    def counted(self) -> StageComplexity:
        """Raises ValueError if a part cannot be counted."""
        activations = sum(number * _activations(part) for part, number in self.parts) + self.activations
        return StageComplexity(self.name, self.params(), self.mult_adds(), activations, self.output)


def complexity(config: NetworkConfig, dags: Mapping[str, DAG], classes: int, resolution: int) -> Complexity:
    """Counts for images of `resolution` x `resolution` pixels.

    Raises KeyError if a random stage has no DAG, and ValueError, naming the module, if one cannot be counted.
    """
    return Complexity(tuple(stage.counted() for stage in _stages(config, dags, classes, resolution)))


def mult_adds(config: NetworkConfig, dags: Mapping[str, DAG], classes: int, resolution: int) -> int:
    """Those of `complexity`, alone and sooner."""
    return sum(stage.mult_adds() for stage in _stages(config, dags, classes, resolution))


def _stages(config: NetworkConfig, dags: Mapping[str, DAG], classes: int, resolution: int) -> Iterator[_StageParts]:
    c_in, size = 3, resolution
    for index, plan in enumerate(REGIMES[config.regime]):
        c_out, out = plan.channels(config.channels), -(-size // plan.stride)
        output = (c_out, out, out)
        if plan.share:
            yield _random_stage(plan.name, dags[plan.name], NodeSpec.of(config, c_in, c_out, plan.stride), size, output)
        else:
            stem = _Part(Stem, (c_in, c_out, plan.stride, index > 0), (c_in, size, size))
            yield _StageParts(plan.name, output, [(stem, 1)])
        c_in, size = c_out, out
    classifier = _Part(Classifier, (c_in, config, classes), (c_in, size, size))
    yield _StageParts("classifier", (classes, 1, 1), [(classifier, 1)])


def _random_stage(name: str, dag: DAG, spec: NodeSpec, size: int, output: Shape) -> _StageParts:
    sources = len(dag.sources)
    source = _Part(_OneInput, (spec,), (spec.c_in, size, size))
    other = _Part(_OneInput, (spec.inner,), output)
    aggregated = [inputs for inputs in dag.predecessors if len(inputs) > 1]
    weighted = {node for inputs in aggregated for node in inputs}
    return _StageParts(
        name,
        output,
        [(source, sources), (other, dag.nodes - sources)],
        weights=sum(map(len, aggregated)),
        # The sources share their rectified input; the gradient of a weight needs the output that it multiplies.
        activations=len(weighted) * prod(output) - (sources - 1) * spec.c_in * size**2,
    )


def channels_for(budget: float, config: NetworkConfig, dags: Mapping[str, DAG], classes: int, resolution: int) -> int:
    """The base channels C whose multiply-adds are nearest to `budget`, all else as in `config`; the smaller of two.

    Raises ValueError for less than the narrowest or more than the widest network of the configuration's range has.
    """

    def counted(channels: int) -> int:
        return mult_adds(config.model_copy(update={"channels": channels}), dags, classes, resolution)

    low, high = MIN_CHANNELS, MAX_CHANNELS
    if not counted(low) <= budget <= counted(high):
        raise ValueError(
            f"no number of channels from {low} to {high} gives {budget:g} multiply-adds: they give "
            f"{counted(low):,} to {counted(high):,}"
        )
    while high - low > 1:  # multiply-adds grow with the channels
        middle = (low + high) // 2
        low, high = (middle, high) if counted(middle) <= budget else (low, middle)
    return min((low, high), key=lambda channels: abs(counted(channels) - budget))


@lru_cache(maxsize=4096)
def _measured(part: _Part) -> tuple[int, int]:
    return measure(part.module(), part.shape)


@lru_cache(maxsize=4096)
def _activations(part: _Part) -> int:
    return activations(part.module(), part.shape)
