"""A node of a random stage (paper, section 3.1, Figure 2)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from randwire.config import NetworkConfig
from randwire.model import ops
from randwire.model.aggregation import aggregate, one_pass, pieces, summing_type
from randwire.model.gathering import joined


@dataclass(frozen=True)
class NodeSpec:
    """The nodes of a stage that take its input: their operation, channels and stride.

    `aggregation_init` is the initial value of an aggregation's parameters, before the sigmoid; `compiled` says how it
    is computed (see model/aggregation.py).
    """

    op: str
    c_in: int
    c_out: int
    stride: int = 1
    aggregation_init: float = 0.0
    compiled: bool = False

    @classmethod
    def of(cls, config: NetworkConfig, c_in: int, c_out: int, stride: int, compiled: bool = False) -> Self:
        """The nodes of a stage of these channels and stride, with what the configuration says of all nodes."""
        return cls(config.op, c_in, c_out, stride, config.aggregation_init, compiled)

    @property
    def inner(self) -> Self:
        """The other nodes of the stage: they neither change the channels nor stride."""
        return replace(self, c_in=self.c_out, stride=1)


class Node(nn.Module):
    """Aggregation, ReLU, node operation, BN (paper, section 3.1, Figure 2).

    Aggregation is sum_i sigmoid(w_i) x_i over the inputs. A single input passes as it is, without a parameter: its
    weight would be absorbed by the BN that follows.
    """

    def __init__(self, spec: NodeSpec, inputs: int = 1) -> None:
        super().__init__()
        self.compiled = spec.compiled
        self.aggregation = nn.Parameter(torch.full((inputs,), spec.aggregation_init)) if inputs > 1 else None
        self.ratios: Sequence[tuple[int, float]] | None = None  # of `folded`
        self.op = ops.build(spec.op, spec.c_in, spec.c_out, spec.stride)
        self.bn = nn.BatchNorm2d(spec.c_out)

    @property
    def deterministic(self) -> bool:
        """Whether nothing in the node is random: recomputation may then leave random generators alone."""
        return self.op.deterministic

    def forward(
        self, inputs: Sequence[Tensor], weights: Tensor | None = None, rectified: bool = False, shared: bool = False
    ) -> Tensor:
        """Tensors of equal shape (B, c_in, H, W) to (B, c_out, H / stride, W / stride).

        A stage gives the `weights` (n,) of the inputs, some of which may be zero; without them they are the sigmoid of
        the node's own parameters. Inputs that are `shared` come from `gathering.forked`, with these weights. A single
        input that is `rectified` has passed the ReLU already.
        """
        if self.aggregation is None:
            x = inputs[0] if rectified else joined(None, inputs) if shared else functional.relu(inputs[0])
        elif self.ratios is not None:
            assert weights is None, "edges are dropped in training alone"
            x = _folded_sum(inputs, self.ratios)
        else:
            weights = torch.sigmoid(self.aggregation) if weights is None else weights
            x = joined(weights, inputs) if shared else aggregate(weights, inputs, self.compiled)
        out: Tensor = self.bn(self.op(x))
        return out


def _folded_sum(inputs: Sequence[Tensor], ratios: Sequence[tuple[int, float]]) -> Tensor:
    """The ReLU of the sum of the inputs times their ratios, the first of which is one."""
    values = [inputs[index] for index, _ in ratios]
    if not torch.is_grad_enabled() and (kernels := one_pass(values)):
        summed: Tensor = kernels.weighted_sum([ratio for _, ratio in ratios], values, True)
        return summed
    first, *others = values
    factors = [ratio for _, ratio in ratios[1:]]
    kind = summing_type(first)
    if kind == first.dtype or torch.is_grad_enabled():
        total = torch.add(first, others[0], alpha=factors[0])
        for x, ratio in zip(others[1:], factors[1:], strict=True):
            total.add_(x, alpha=ratio)
        return functional.relu(total, inplace=True)
    out = torch.empty_like(first)
    for target, part, *parts in pieces(out, first, *others):
        total = part.to(kind)
        for x, ratio in zip(parts, factors, strict=True):
            total.add_(x.to(kind), alpha=ratio)
        target.copy_(total.relu_())
    return out
