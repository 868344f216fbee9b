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

from randwire.model.aggregation import one_pass, pieces, rows, summing_type, weighted_sum


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


def joined(weights: Tensor | None, inputs: Sequence[Tensor]) -> Tensor:
    """relu(sum_i weights_i inputs_i) of n tensors from `forked`, of equal shape.

    Weights (n,) are of the type of `summing_type`; a single input may have none, which is a one.
    """
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
    if len(pairs) < 2 and all(weight is None for _, weight in pairs):
        return pairs[0][0] if pairs else None
    grads, weights = zip(*sorted(pairs, key=lambda pair: pair[1] is None), strict=True)
    return weighted_sum(weights, grads)


class _Join(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor | None, *inputs: Tensor) -> Tensor:
        out = weighted_sum([None] if weights is None else weights.unbind(), inputs, rectified=True)
        ctx.save_for_backward(out, *(() if weights is None else inputs))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        out, *inputs = ctx.saved_tensors
        for_weights, *for_inputs = ctx.needs_input_grad
        # The sign of the output says what the ReLU let pass.
        if kernels := one_pass([grad, out, *inputs]):
            grad, products = kernels.masked_gradient(grad, out, inputs if for_weights else ())
            of_weights = products if for_weights else None
        else:
            grad = torch.ops.aten.threshold_backward(grad, out, 0)
            of_weights = _products(grad, inputs) if for_weights else None
        return of_weights, *(grad if wanted else None for wanted in for_inputs)


def _products(grad: Tensor, inputs: Sequence[Tensor]) -> Tensor:
    """<grad, x> for each of n inputs x, (n,), in the type of `summing_type`."""
    if (kind := summing_type(grad)) == grad.dtype:
        return torch.stack([_product(*rows(grad, x)) for x in inputs])
    parts = []
    for part, *others in pieces(grad, *inputs):
        part = part.to(kind)  # once for all
        parts.append(torch.stack([_product(part, other.to(kind)) for other in others]))
    return torch.stack(parts).sum(0)


def _product(one: Tensor, other: Tensor) -> Tensor:
    """In one pass, for rows that the libraries can count."""
    one_pass = one.ndim == 1 and one.dtype == other.dtype and one.numel() < 2**31
    return torch.dot(one, other) if one_pass else (one * other).sum()
