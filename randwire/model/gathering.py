"""The edges of a stage in training, with few passes over the memory in the backward pass.

A gradient of sum_i w_i x_i multiplies the gradient of the sum by w_i for each input, and an output that several nodes
take adds up what it gets from them: autograd writes every product to the memory and reads it again. Here a node gives
all its inputs one tensor, the gradient of its sum without the weights, and an output adds up what its consumers give,
each times its weight, in one chain of multiply-adds.

So `joined` and `forked` are right only together, in training: an input of `joined` must come from `forked`, once, with
the same weight, and what is between them must be linear and without parameters, as hooks that put zeros there. Second
derivatives are refused by autograd.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from randwire.model.aggregation import weighted_sum


class EdgeWeights:
    """The weights of the edges into the aggregating nodes of a stage, in the types that are asked for."""

    def __init__(self, weights: Tensor, counts: Sequence[int]) -> None:
        """`weights` (edges,) are those of all nodes, in order; `counts` says how many each node has, which may be 0."""
        self._weights, self._counts = weights, list(counts)
        self._by_node: dict[torch.dtype, tuple[Tensor, ...]] = {}
        self._by_edge: dict[torch.dtype, tuple[Tensor, ...]] = {}

    def of_node(self, node: int, dtype: torch.dtype | None = None) -> Tensor:
        """The weights (n,) of a node's inputs, of this type or that of the parameters; gradients reach the latter."""
        dtype = dtype or self._weights.dtype
        if dtype not in self._by_node:
            self._by_node[dtype] = torch.split(self._weights.to(dtype), self._counts)
        return self._by_node[dtype][node]

    def of_edge(self, edge: int, dtype: torch.dtype) -> Tensor:
        """The weight () of an edge, without a gradient."""
        if dtype not in self._by_edge:
            self._by_edge[dtype] = self._weights.detach().to(dtype).unbind()
        return self._by_edge[dtype][edge]


def forked(x: Tensor, weights: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
    """x for each of its consumers, which multiply it by these weights (); None stands for one."""
    copies: tuple[Tensor, ...] = _Fork.apply(x, *weights)  # type: ignore[no-untyped-call]
    return copies


def joined(weights: Tensor, inputs: Sequence[Tensor]) -> Tensor:
    """relu(sum_i weights_i inputs_i) of n tensors from `forked`, of equal shape, and weights (n,) of their type."""
    out: Tensor = _Join.apply(weights, *inputs)  # type: ignore[no-untyped-call]
    return out


class _Fork(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *weights: Tensor | None) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*weights)
        return tuple(x.view_as(x) for _ in weights)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        weights: tuple[Tensor | None, ...] = ctx.saved_tensors
        pairs = [(grad, weight) for grad, weight in zip(grads, weights, strict=True) if grad is not None]
        return _gathered(pairs), *(None for _ in weights)


def _gathered(pairs: Sequence[tuple[Tensor, Tensor | None]]) -> Tensor | None:
    """The sum of weight times gradient. What other nodes are given too is read only."""
    total, own = None, False
    for grad, weight in sorted(pairs, key=lambda pair: pair[1] is None):  # a product comes first: it can be added to
        if total is None:
            total, own = (grad, False) if weight is None else (grad * weight, True)
        elif weight is not None:
            total.addcmul_(grad, weight)
        else:
            total, own = total.add_(grad) if own else total + grad, True
    return total


class _Join(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, *inputs: Tensor) -> Tensor:
        out = weighted_sum(weights, inputs).relu_()
        ctx.save_for_backward(out, *inputs)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        out, *inputs = ctx.saved_tensors
        for_weights, *for_inputs = ctx.needs_input_grad
        grad = torch.ops.aten.threshold_backward(grad, out, 0)  # the sign of the output says what the ReLU let pass
        of_weights = torch.stack([_product(grad, x) for x in inputs]) if for_weights else None
        return of_weights, *(grad if wanted else None for wanted in for_inputs)


def _product(grad: Tensor, x: Tensor) -> Tensor:
    """<grad, x>, in one pass where that is fast: PyTorch's product of bf16 vectors on a CPU takes 25 times as long."""
    slow = grad.device.type == "cpu" and grad.dtype in (torch.bfloat16, torch.float16)
    if slow or grad.stride() != x.stride() or grad.dtype != x.dtype or not _dense(x) or x.numel() >= 2**31:
        return (grad * x).sum()
    return torch.dot(*(value.as_strided((value.numel(),), (1,)) for value in (grad, x)))


def _dense(x: Tensor) -> bool:
    return x.is_contiguous() or (x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last))
