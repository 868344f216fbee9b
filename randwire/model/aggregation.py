"""The aggregation of a node and the ReLU behind it: step by step, or as one compiled kernel each way.

A kernel sees its inputs as rows of numbers, so that all it depends on is how many there are: the nodes of all stages,
graphs and trials share it, and what one process has compiled the others load (TORCHINDUCTOR_CACHE_DIR).
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import Parameter, functional

MAX_INPUTS = 32
"""Inputs of the largest kernel; nodes with more are computed step by step."""
EXAMPLE_ELEMENTS = 1 << 20
"""Elements of the inputs that kernels are made with: reductions are laid out by the first size that is seen."""
PIECE = 1 << 16
"""Elements of a piece: in fp32 two of them are 512 KiB, which a core's cache holds."""


def aggregate(weights: Tensor, inputs: Sequence[Tensor], compiled: bool = False) -> Tensor:
    """relu(sum_i weights_i inputs_i) of n tensors of equal shape and weights (n,), in the type of the inputs.

    `compiled` changes no more than the rounding, in training; without gradients it changes nothing.
    """
    if compiled and len(inputs) <= MAX_INPUTS and torch.is_grad_enabled():
        out: Tensor = _Compiled.apply(weights, *inputs)  # type: ignore[no-untyped-call]
        return out
    if torch.is_grad_enabled():
        return functional.relu(_chain(weights.to(inputs[0].dtype).unbind(), inputs), inplace=True)
    return weighted_sum(weights.to(summing_type(inputs[0])).unbind(), inputs, rectified=True)


def summing_type(value: Tensor) -> torch.dtype:
    """The type in which tensors like this one are added up: their own, but fp32 for bf16 on a CPU.

    PyTorch's sums and products in bf16 are slow there on what is not in the cache: 0.7 to 1.2 ms for 2 MB on a Xeon of
    2023, which are copied as fp32 in 0.3 ms.
    """
    slow = value.dtype == torch.bfloat16 and value.device.type == "cpu" and not torch.compiler.is_compiling()
    return torch.float32 if slow else value.dtype


def weighted_sum(weights: Sequence[Tensor | None], values: Sequence[Tensor], rectified: bool = False) -> Tensor:
    """sum_i weights_i values_i of tensors of equal shape, and the ReLU of it if it is to be `rectified`; a new tensor.

    Weights are numbers of the type that `summing_type` says; None stands for one, and comes after all others. It has no
    gradient. Where another type adds up, the sum is rounded once; in bf16 on CPUs it takes one pass over the memory
    where numba is installed.
    """
    if kernels := one_pass(values):
        summed: Tensor = kernels.weighted_sum(
            [1.0 if weight is None else float(weight) for weight in weights], values, rectified
        )
        return summed
    if (kind := summing_type(values[0])) == values[0].dtype:
        if rectified and len(values) == 1 and weights[0] is None:
            return functional.relu(values[0])
        total = _chain(weights, values)
        return functional.relu(total, inplace=True) if rectified else total
    out = torch.empty_like(values[0])
    for target, first, *others in pieces(out, *values):
        total = first.to(kind)
        if weights[0] is not None:
            total.mul_(weights[0])
        for value, weight in zip(others, weights[1:], strict=True):
            _add(total, value.to(kind), weight)  # one at a time stays in the cache
        target.copy_(total.relu_() if rectified else total)
    return out


def one_pass(values: Sequence[Tensor]) -> ModuleType | None:
    """The kernels that take these tensors in one pass (`model.kernels`), or None if there are none for them."""
    first = values[0]
    if first.dtype != torch.bfloat16 or first.device.type != "cpu" or not is_dense(first) or not _plain(values):
        return None
    return _kernels()


def _plain(values: Sequence[Tensor]) -> bool:
    """Whether tensors are alike, and nothing watches or stands for what is done with them: kernels see memory alone."""
    if (
        torch.compiler.is_compiling()
        or torch._C._is_tracing()
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._functorch.peek_interpreter_stack() is not None
    ):
        return False
    first = values[0]
    return all(
        type(value) in (Tensor, Parameter)
        and value.device == first.device
        and value.dtype == first.dtype
        and value.shape == first.shape
        and value.stride() == first.stride()
        for value in values
    )


@cache
def _kernels() -> ModuleType | None:
    try:
        from randwire.model import kernels
    except ImportError:  # numba is for training: who uses a network may have none
        return None
    return kernels


def is_dense(value: Tensor) -> bool:
    """Whether a tensor is NCHW or NHWC without gaps."""
    return value.is_contiguous() or (value.ndim == 4 and value.is_contiguous(memory_format=torch.channels_last))


def _chain(weights: Sequence[Tensor | None], values: Sequence[Tensor]) -> Tensor:
    """The sum as a chain of multiply-adds, in place: it needs no stacked copy of the values."""
    if weights[0] is not None:
        total, done = values[0] * weights[0], 1
    elif len(values) == 1:
        total, done = values[0].clone(), 1
    else:
        total, done = values[0] + values[1], 2  # whose weight is one as well
    for value, weight in zip(values[done:], weights[done:], strict=True):
        _add(total, value, weight)
    return total


def _add(total: Tensor, value: Tensor, weight: Tensor | None) -> None:
    if weight is None:
        total.add_(value)
    else:
        total.addcmul_(value, weight)


def pieces(*values: Tensor) -> Iterable[tuple[Tensor, ...]]:
    """Tensors of equal shape in pieces that stay in the cache, each a row of numbers at the same places of all of them.

    Those of different or scattered memory layouts are one piece, as they are.
    """
    flat = rows(*values)
    return zip(*(torch.split(row, PIECE) for row in flat), strict=True) if flat[0].ndim == 1 else [values]


def rows(*values: Tensor) -> Sequence[Tensor]:
    """Tensors of equal shape as rows of numbers in the order of the memory, views of them.

    They are left as they are if their memory layouts differ, or are not NCHW or NHWC without gaps.
    """
    if not is_dense(values[0]) or any(value.stride() != values[0].stride() for value in values):
        return values
    return [value.as_strided((value.numel(),), (1,)) for value in values]


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
