"""A node of a random stage (paper, section 3.1, Figure 2)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from randwire.model import ops
from randwire.model.aggregation import aggregate


class Node(nn.Module):
    """Aggregation, ReLU, node operation, BN (paper, section 3.1, Figure 2).

    Aggregation is sum_i sigmoid(w_i) x_i over the inputs. A single input passes as it is, without a parameter: its
    weight would be absorbed by the BN that follows. `compiled` says how it is computed (see model/aggregation.py).
    """

    def __init__(
        self, op: str, inputs: int, c_in: int, c_out: int, stride: int, aggregation_init: float, compiled: bool = False
    ) -> None:
        super().__init__()
        self.compiled = compiled
        self.aggregation = nn.Parameter(torch.full((inputs,), aggregation_init)) if inputs > 1 else None
        self.ratios: Sequence[tuple[int, float]] | None = None  # of `folded`
        self.op = ops.build(op, c_in, c_out, stride)
        self.bn = nn.BatchNorm2d(c_out)

    def forward(self, inputs: Sequence[Tensor], dropped: int | None = None, rectified: bool = False) -> Tensor:
        """Tensors of equal shape (B, c_in, H, W) to (B, c_out, H / stride, W / stride), without the input `dropped`.

        A single input that is `rectified` has passed the ReLU already.
        """
        if self.aggregation is None:
            x = inputs[0] if rectified else functional.relu(inputs[0])
        elif self.ratios is not None:
            assert dropped is None, "edges are dropped in training alone"
            (largest, _), (second, ratio), *others = self.ratios
            total = torch.add(inputs[largest], inputs[second], alpha=ratio)
            for index, ratio in others:
                total.add_(inputs[index], alpha=ratio)
            x = functional.relu(total, inplace=True)
        else:
            weights = torch.sigmoid(self.aggregation)
            if dropped is not None:
                # Zero instead of absent: every parameter keeps a gradient, as distributed training demands.
                kept = torch.ones_like(weights)
                kept[dropped] = 0
                weights = weights * kept
            x = aggregate(weights, inputs, self.compiled)
        out: Tensor = self.bn(self.op(x))
        return out
