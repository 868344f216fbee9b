"""The network as one would write it, and how far another is from it."""

import copy
from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from randwire.config import NetworkConfig
from randwire.dag import DAG
from randwire.model.regimes import REGIMES


class PlainNode(nn.Module):
    """A node as one would write it; parameters are named as in randwire."""

    def __init__(self, inputs: int, c_in: int, c_out: int, stride: int, stacked: bool) -> None:
        super().__init__()
        self.stacked = stacked
        self.aggregation = nn.Parameter(torch.zeros(inputs)) if inputs > 1 else None
        self.op = nn.ModuleDict(
            {
                "depthwise": nn.Conv2d(c_in, c_in, 3, stride, padding=1, groups=c_in, bias=False),
                "pointwise": nn.Conv2d(c_in, c_out, 1, bias=False),
            }
        )
        self.bn = nn.BatchNorm2d(c_out)

    def forward(self, inputs: list[Tensor]) -> Tensor:
        if self.aggregation is None:
            x = inputs[0]
        elif self.stacked:
            x = (torch.stack(inputs) * torch.sigmoid(self.aggregation).view(-1, 1, 1, 1, 1)).sum(0)
        else:
            weighted = [weight * x for weight, x in zip(torch.sigmoid(self.aggregation), inputs, strict=True)]
            x = sum(weighted[1:], weighted[0])
        out: Tensor = self.bn(self.op["pointwise"](self.op["depthwise"](functional.relu(x))))
        return out


class PlainStage(nn.Module):
    """All outputs are kept to the end; the mean of the sinks is that of their stack."""

    def __init__(self, dag: DAG, c_in: int, c_out: int, stride: int, stacked: bool) -> None:
        super().__init__()
        self.dag = dag
        self.nodes = nn.ModuleList(
            PlainNode(len(inputs), c_out if inputs else c_in, c_out, 1 if inputs else stride, stacked)
            for inputs in dag.predecessors
        )

    def forward(self, x: Tensor) -> Tensor:
        outputs: list[Tensor] = []
        for node, inputs in zip(self.nodes, self.dag.predecessors, strict=True):
            outputs.append(node([outputs[i] for i in inputs] or [x]))
        return torch.stack([outputs[i] for i in self.dag.sinks]).mean(0)


class PlainClassifier(nn.Module):
    def __init__(self, c_in: int, head: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, head, 1, bias=False)
        self.bn = nn.BatchNorm2d(head)
        self.fc = nn.Linear(head, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn(self.conv(functional.relu(x))))
        out: Tensor = self.fc(x.mean((2, 3)))
        return out


def plain(config: NetworkConfig, dags: Mapping[str, DAG], classes: int, stacked: bool = True) -> nn.Module:
    """The baseline, (B, 3, H, W) to (B, classes); loads the state of a RandWire of separable convolutions."""
    stages = nn.Sequential()
    c_in = 3
    for index, row in enumerate(REGIMES[config.regime]):
        c_out = row.channels(config.channels)
        if row.share:
            stage: nn.Module = PlainStage(dags[row.name], c_in, c_out, row.stride, stacked)
        else:
            conv = nn.Conv2d(c_in, c_out, 3, row.stride, padding=1, bias=False)
            stage = nn.Sequential(*([nn.ReLU()] if index else []), conv, nn.BatchNorm2d(c_out))
        stages.add_module(row.name, stage)
        c_in = c_out
    stages.add_module("classifier", PlainClassifier(c_in, config.head, classes))
    return nn.Sequential(OrderedDict(stages=stages))


def differences(ours: nn.Module, other: nn.Module, size: int) -> tuple[float, float]:
    """How far outputs and gradients of two networks of equal parameters differ in fp64, as shares of the largest.

    In training mode, on 4 random images (3, size, size).
    """
    stream = torch.Generator().manual_seed(0)
    images = torch.randn(4, 3, size, size, generator=stream, dtype=torch.float64)
    outputs, gradients = [], []
    for network in (ours, other):
        network = copy.deepcopy(network).cpu().double().train()
        out = network(images)
        out.square().sum().backward()
        outputs.append(out.detach())
        by_name = {name: parameter.grad for name, parameter in network.named_parameters()}
        gradients.append(torch.cat([grad.flatten() for _, grad in sorted(by_name.items()) if grad is not None]))
    return _off(*outputs), _off(*gradients)


def _off(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max())
