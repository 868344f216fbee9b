"""The aggregation of a node and the ReLU behind it: step by step, or as one compiled kernel each way.

A kernel sees its inputs as rows of numbers, so that all it depends on is how many there are: the nodes of all stages,
graphs and trials share it, and what one process has compiled the others load (TORCHINDUCTOR_CACHE_DIR).
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

MAX_INPUTS = 32
"""Inputs of the largest kernel; nodes with more are computed step by step."""
EXAMPLE_ELEMENTS = 1 << 20
"""Elements of the inputs that kernels are made with: reductions are laid out by the first size that is seen."""


def aggregate(weights: Tensor, inputs: Sequence[Tensor], compiled: bool = False) -> Tensor:
    """relu(sum_i weights_i inputs_i) of n tensors of equal shape and weights (n,), in the type of the inputs.

    `compiled` changes no more than the rounding, in training; without gradients it changes nothing.
    """
    if compiled and len(inputs) <= MAX_INPUTS and torch.is_grad_enabled():
        out: Tensor = _Compiled.apply(weights, *inputs)  # type: ignore[no-untyped-call]
        return out
    return functional.relu(weighted_sum(weights.to(inputs[0].dtype), inputs), inplace=True)


def weighted_sum(weights: Tensor, inputs: Sequence[Tensor]) -> Tensor:
    """sum_i weights_i inputs_i as a chain of multiply-adds, in place: it needs no stacked copy of the inputs."""
    first, *others = weights.unbind()
    total = inputs[0] * first
    for value, weight in zip(inputs[1:], others, strict=True):
        total.addcmul_(value, weight)
    return total


def prepare(counts: Iterable[int], device: torch.device, dtype: torch.dtype) -> None:
    """Compile, or load, the kernels for nodes with these numbers of inputs, of this type.

    Raises what the compiler raises if there is none that works. A training calls it first: compilation in the midst of
    a backward pass would happen in a thread of autograd, where there is one.
    """
    for count in sorted({count for count in counts if 1 < count <= MAX_INPUTS}):
        kind = torch.promote_types(dtype, torch.float32)  # parameters stay as they are under autocast
        weights = torch.full((count,), 0.5, device=device, dtype=kind)
        inputs = [torch.ones(EXAMPLE_ELEMENTS, device=device, dtype=dtype) for _ in range(count)]
        with torch.no_grad(), torch.autocast(device.type, enabled=False):  # as when they are used
            out = _kernel(_forward, count)(weights, inputs)
            _kernel(_backward, count)(torch.ones_like(out), out, weights, inputs)


def _forward(weights: Tensor, inputs: Sequence[Tensor]) -> Tensor:
    total = inputs[0] * weights[0]
    for index in range(1, len(inputs)):
        total = total + inputs[index] * weights[index]
    return functional.relu(total)


def _backward(grad: Tensor, out: Tensor, weights: Tensor, inputs: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """The gradients of the weights and of the inputs.

    The sign of the output says what the ReLU let pass; kept as a mask, it would be slow to read and to write on a CPU.
    """
    grad = torch.where(out <= 0, 0, grad)
    accurate = grad.to(weights.dtype)
    of_weights = torch.stack([(accurate * value.to(weights.dtype)).sum() for value in inputs])
    return of_weights, [grad * weights[index] for index in range(len(inputs))]


@cache
def _kernel(function: Callable[..., Any], count: int) -> Callable[..., Any]:
    """A kernel for `count` inputs of any size. Each has recompilations of its own, which are few: types of numbers."""
    make: Any = torch.compile  # its types lack an argument
    # There is one kernel at a time to compile; processes for more would outlive a training.
    compiled: Callable[..., Any] = make(
        function, fullgraph=True, dynamic=True, isolate_recompiles=True, options={"compile_threads": 1}
    )
    return compiled


class _Compiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, *inputs: Tensor) -> Tensor:
        with torch.autocast(inputs[0].device.type, enabled=False):  # a kernel is compiled for each state of it
            shaped = [_rows(value, inputs[0]) for value in inputs]
            flat = _kernel(_forward, len(inputs))(weights.detach(), shaped)
        out = _shaped(flat, inputs[0])
        ctx.save_for_backward(weights, out, *inputs)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        weights, out, *inputs = ctx.saved_tensors
        with torch.autocast(out.device.type, enabled=False):
            of_weights, of_inputs = _kernel(_backward, len(inputs))(
                _rows(grad, inputs[0]), _rows(out, inputs[0]), weights.detach(), [_rows(x, inputs[0]) for x in inputs]
            )
        return of_weights, *(_shaped(flat, inputs[0]) for flat in of_inputs)


def _channels_last(like: Tensor) -> bool:
    return like.ndim == 4 and like.is_contiguous(memory_format=torch.channels_last)


def _rows(value: Tensor, like: Tensor) -> Tensor:
    """A tensor (B, C, H, W) as a row of its elements, in the order in which `like` has them; copied only if need be.

    It is no view, as a kernel would be compiled for each kind of tensor that it is given views of.
    """
    dense = value.contiguous(memory_format=torch.channels_last if _channels_last(like) else torch.contiguous_format)
    row = dense.detach().new_empty(0)
    return row.set_(dense.untyped_storage(), dense.storage_offset(), (dense.numel(),), (1,))


def _shaped(flat: Tensor, like: Tensor) -> Tensor:
    """What `_rows` has made a row of, in the shape of `like`."""
    if not _channels_last(like):
        return flat.view(like.shape)
    batch, channels, height, width = like.shape
    return flat.view(batch, height, width, channels).permute(0, 3, 1, 2)
