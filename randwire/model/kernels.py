"""Weighted sums of bf16 images on CPUs in one pass over the memory, compiled by numba.

PyTorch adds up one input at a time, so that a node of three inputs reads and writes eleven images in the forward pass,
of which four are needed; in bf16, which it adds up slowly, that took two fifths of a training step. In fp32 one pass
was not faster. Where numba is missing, as on a machine that only uses a network, `aggregation` adds up by PyTorch's
operations, with equal sums.

numba does not notice changes of other files: all that is compiled must stay in this one.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray
from torch import Tensor
from torch.profiler import record_function

from randwire.compiling import compiled

BLOCK = 2048
"""Numbers of a block: in fp32 they are 8 KiB, of which several stay in the cache next to the core."""
LEAST = 1 << 15
"""Numbers for which another thread is worth its start."""
NAME = "randwire::one_pass"
"""What profiles call the kernels, with the bytes behind it that they read and write."""

Addresses = NDArray[np.int64]
_I16, _I32, _F32 = ir.IntType(16), ir.IntType(32), ir.FloatType()


def _emitted(function: Callable[..., Any]) -> Any:
    """A function for compiled code, which writes LLVM's instructions for itself."""
    return intrinsic(function)


@_emitted
def _load(typing: Any, address: Any, index: Any) -> Any:
    """The bf16 number at an index behind an address, as fp32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.zext(builder.load(_place(builder, _I16, *arguments)), _I32)
        return builder.bitcast(builder.shl(bits, ir.Constant(_I32, 16)), _F32)

    return types.float32(types.int64, types.int64), generate


@_emitted
def _store(typing: Any, address: Any, index: Any, value: Any) -> Any:
    """Write a number, rounded to the nearest bf16, and to an even one between two; a NaN stays one."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, index, value = arguments
        bits = builder.bitcast(value, _I32)
        odd = builder.and_(builder.lshr(bits, ir.Constant(_I32, 16)), ir.Constant(_I32, 1))
        rounded = builder.lshr(builder.add(builder.add(bits, ir.Constant(_I32, 0x7FFF)), odd), ir.Constant(_I32, 16))
        is_nan = builder.fcmp_unordered("uno", value, value)
        half = builder.trunc(builder.select(is_nan, ir.Constant(_I32, 0x7FC0), rounded), _I16)
        builder.store(half, _place(builder, _I16, address, index))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.float32), generate


def _place(builder: Any, kind: Any, address: Any, index: Any) -> Any:
    return builder.gep(builder.inttoptr(address, kind.as_pointer()), [index])


def _sum(start: int, stop: int, sources: Addresses, weights: Any, target: int, rectified: bool) -> None:
    total = np.empty(BLOCK, np.float32)
    for low in range(start, stop, BLOCK):
        size = min(BLOCK, stop - low)
        total[:size] = 0
        for i in range(len(sources)):
            source, weight = sources[i], weights[i]
            for e in range(size):
                total[e] += _load(source, low + e) * weight
        if rectified:
            for e in range(size):
                total[e] = np.float32(0) if total[e] <= np.float32(0) else total[e]
        for e in range(size):
            _store(target, low + e, total[e])


def _mask(start: int, stop: int, grad: int, out: int, sources: Addresses, target: int, products: Any) -> None:
    masked = np.empty(BLOCK, np.float32)
    for low in range(start, stop, BLOCK):
        size = min(BLOCK, stop - low)
        for e in range(size):
            masked[e] = np.float32(0) if _load(out, low + e) <= np.float32(0) else _load(grad, low + e)
        for e in range(size):
            _store(target, low + e, masked[e])
        for i in range(len(sources)):
            source, product = sources[i], np.float32(0)
            for e in range(size):
                product += masked[e] * _load(source, low + e)
            products[i] += product


# A sum is a chain of multiply-adds, each rounded once, as PyTorch's are; a product may be added up in any order.
_sum = compiled(_sum, {"contract"})
_mask = compiled(_mask, {"contract", "reassoc", "nsz"})


def weighted_sum(weights: Sequence[float], values: Sequence[Tensor], rectified: bool) -> Tensor:
    """sum_i weights_i values_i, added up in fp32 and rounded once, and the ReLU of it if `rectified`; a new tensor.

    The values are bf16, on the CPU, and have one shape and one layout without gaps.
    """
    out = torch.empty_like(values[0])
    with _named(out, len(values) + 1):
        sources, factors, target = _addresses(values), np.array(weights, np.float32), out.data_ptr()
        _in_threads(lambda _, start, stop: _sum(start, stop, sources, factors, target, rectified), out.numel())
    return out


def masked_gradient(grad: Tensor, out: Tensor, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """`grad` where the ReLU has let `out` pass, 0 elsewhere, and the products (n,) of that with n inputs, in fp32.

    All are as the values of `weighted_sum`.
    """
    masked = torch.empty_like(grad)
    with _named(grad, len(inputs) + 3):
        given = grad.data_ptr(), out.data_ptr(), _addresses(inputs), masked.data_ptr()
        products = np.zeros((torch.get_num_threads(), len(inputs)))
        _in_threads(lambda thread, start, stop: _mask(start, stop, *given, products[thread]), grad.numel())
    return masked, torch.from_numpy(products.sum(0).astype(np.float32))


def _named(image: Tensor, images: int) -> record_function:
    return record_function(f"{NAME} {images * image.nbytes}")


def _addresses(values: Sequence[Tensor]) -> Addresses:
    return np.array([value.data_ptr() for value in values], np.int64)


def _in_threads(part: Callable[[int, int, int], None], count: int) -> None:
    """Call `part` with the number of a thread, and its first and last number of `count`, in as many as PyTorch has."""
    threads = min(torch.get_num_threads(), -(-count // LEAST))
    if threads < 2:
        part(0, 0, count)
        return
    share = -(-count // threads)
    pool = _pool(os.getpid(), threads)
    waiting = [pool.submit(part, n, n * share, min(count, (n + 1) * share)) for n in range(1, threads)]
    part(0, 0, share)
    for one in waiting:
        one.result()


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads of this process: those of its parent do not come along when it is forked."""
    return ThreadPoolExecutor(threads - 1, "randwire-sums")
