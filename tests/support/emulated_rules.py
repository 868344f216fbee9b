"""What an operation of the emulated CUDA device must be given, and what the host reads of it to know how to go on."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from emulated_streams import on_device
from torch import Tensor

INDICES = ("index", "index_put", "index_put_", "_unsafe_index", "_index_put_impl_")


def check(name: str, args: tuple[Any, ...], given: Sequence[Tensor]) -> None:
    """Raise RuntimeError for tensors of several devices, and convolutions of several types: not all fakes check it."""
    if name in ("_to_copy", "copy_", "copy", *INDICES):
        return
    if len({on_device(tensor) for tensor in given if tensor.ndim}) > 1:
        raise RuntimeError(f"{name}: tensors of several devices: {', '.join(map(shape_of, given))}")
    if name.startswith("convolution") and len({tensor.dtype for tensor in given}) > 1:
        raise RuntimeError(f"{name}: tensors of several types: {', '.join(map(shape_of, given))}")


class Known(NamedTuple):
    """A value that is made up."""

    value: Any


def read(func: Any, name: str, args: tuple[Any, ...], wait: Callable[[str], None]) -> Known | None:
    """What the host reads to decide how it goes on, made up."""
    if name == "_local_scalar_dense":
        wait("a number is read: item(), float(), bool(), tolist()")
        kind = args[0].dtype
        return Known(True if kind is torch.bool else 1.0 if kind.is_floating_point else 1)
    if name == "equal":
        wait("equal")
        return Known(True)
    if name == "_linalg_check_errors":
        wait("a function of linalg checks its result")
        return Known(None)
    if name == "nonzero":
        wait("nonzero")
        return Known(args[0].new_empty((args[0].numel(), args[0].ndim), dtype=torch.int64))
    if name == "masked_select":
        wait("masked_select")
        return Known(args[0].new_empty(((args[0] + args[1]).numel(),)))
    if name in ("_unique", "_unique2", "unique_consecutive"):
        wait(name.strip("_2"))
        flat = args[0].reshape(-1)
        return Known((flat, *(torch.zeros_like(flat, dtype=torch.int64) for _ in range(1 + (name != "_unique")))))
    if name == "bincount":
        wait("bincount")
        return Known(args[0].new_empty((max(1, args[2] if len(args) > 2 else 0),)))
    if name == "repeat_interleave" and len(args) == 1:
        wait("repeat_interleave")
        return Known(torch.zeros_like(args[0], dtype=torch.int64))
    return None


def selecting_all(name: str, args: tuple[Any, ...], wait: Callable[[str], None]) -> tuple[Any, ...]:
    """The arguments of an index by masks, whose size the host must read: by the numbers of all elements instead."""
    if name not in INDICES:
        return args
    if on_device(args[0]) and any(index is not None and not on_device(index) for index in args[1]):
        wait("indices of the host are copied")
    masks = [index for index in args[1] if index is not None and index.dtype in (torch.bool, torch.uint8)]
    if not masks or (name.startswith("index_put") and args[2].numel() == 1):  # which fills without knowing the size
        return args
    wait("an index by a mask")
    indices: list[Tensor | None] = []
    for index in args[1]:
        if index is None or index.dtype not in (torch.bool, torch.uint8):
            indices.append(index)
        else:
            indices += [index.new_zeros((index.numel(),), dtype=torch.int64) for _ in range(index.ndim)]
    return (args[0], indices, *args[2:])


def is_view(func: Any) -> bool:
    """Whether an operation gives other views of memory alone."""
    returns = func._schema.returns
    return any(result.alias_info is not None and not result.alias_info.is_write for result in returns)


def shape_of(tensor: Tensor) -> str:
    """Type and shape of a tensor, for people."""
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
