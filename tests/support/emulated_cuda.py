"""An emulated CUDA device: a CPU build of PyTorch runs training and evaluation as on `cuda:0`, without computing.

Tensors on it are fake: they have shape, type, layout and device, and no content. What decides on them is PyTorch's own
code: autograd, autocast of CUDA, the choice of cuDNN, the checks that all tensors of an operation are on one device.
Import it before torch.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

import emulated_library  # noqa: F401  # loads the device
import torch
from emulated_graphs import Graphs
from emulated_operations import Operations
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.optim import optimizer
from torch.utils import _foreach_utils

DEVICE = torch.device("cuda:0")
MEMORY_BYTES = 80 << 30
CAPABILITY = (9, 0)


@contextmanager
def emulated(below: str = "/randwire/") -> Iterator[Operations]:
    """The device while the block lasts, and all that it is made to do. Lines are told of files `below` such a path."""
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    operations = Operations(fake, below)
    with ExitStack() as stack:
        for patch in (*_cuda(operations), *_tensors(operations), *_modules()):
            stack.enter_context(patch)
        # One thread for forward and backward passes: a mode holds for its thread alone.
        stack.enter_context(torch.autograd.set_multithreading_enabled(False))
        stack.enter_context(fake)
        stack.enter_context(_tensors_made_on_the_host())
        stack.enter_context(operations)
        yield operations
        operations.streams.end()


@contextmanager
def _tensors_made_on_the_host() -> Iterator[None]:
    """`torch.tensor` of numbers makes its tensor on the host, and copies it: as with a real device."""
    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)
    try:
        yield
    finally:
        torch._C._set_only_lift_cpu_tensors(before)


def _cuda(operations: Operations) -> list[Any]:
    """What `torch.cuda` says, in place of what it says in a build for CPUs."""
    streams, graphs = operations.streams, Graphs(operations)
    properties = SimpleNamespace(
        name="emulated", major=CAPABILITY[0], minor=CAPABILITY[1], total_memory=MEMORY_BYTES, multi_processor_count=100
    )
    functions: dict[str, Callable[..., Any]] = {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "is_bf16_supported": lambda *_, **__: True,
        "is_current_stream_capturing": lambda: operations.is_capturing,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": lambda device: None,
        "get_device_name": lambda *_: properties.name,
        "get_device_capability": lambda *_: CAPABILITY,
        "get_device_properties": lambda *_: properties,
        "mem_get_info": lambda *_: (MEMORY_BYTES, MEMORY_BYTES),
        "memory_allocated": lambda *_: 0,
        "memory_reserved": lambda *_: 0,
        "max_memory_allocated": lambda *_: 0,
        "reset_peak_memory_stats": lambda *_: None,
        "empty_cache": lambda: None,
        "get_rng_state": lambda *_: torch.Generator().get_state(),
        "set_rng_state": lambda *_: None,
        "manual_seed": lambda seed: None,
        "manual_seed_all": lambda seed: None,
        "synchronize": operations.synchronize,
        "Stream": streams.stream,
        "Event": streams.event,
        "stream": streams.using,
        "current_stream": lambda *_: streams.current,
        "default_stream": lambda *_: streams.default,
        "CUDAGraph": graphs.make,
        "graph": graphs.capture,
        "graph_pool_handle": lambda: (0, 1),
        "_lazy_init": lambda: None,
    }
    return [
        *(mock.patch.object(torch.cuda, name, function) for name, function in functions.items()),
        mock.patch("torch.cuda.amp.common.amp_definitely_not_available", return_value=False),
    ]


def _tensors(operations: Operations) -> list[Any]:
    """Methods that a fake tensor has not, or that bypass the modes that see operations."""

    def to_list(tensor: Tensor) -> Any:
        if tensor.is_cuda:
            operations.wait("a number is read: item(), float(), bool(), tolist()")
        return torch.ones(tensor.shape, dtype=tensor.dtype).numpy().tolist()

    def to_numpy(tensor: Tensor, **_: Any) -> Any:
        assert not tensor.is_cuda, "only tensors of the host become arrays"
        import numpy

        return numpy.ones(tensor.shape, str(tensor.dtype).removeprefix("torch."))

    def new_tensor(tensor: Tensor, data: Any, **named: Any) -> Tensor:
        return torch.tensor(data, **{"dtype": tensor.dtype, "device": tensor.device, **named})

    return [
        mock.patch.object(FakeTensor, "tolist", to_list),
        mock.patch.object(FakeTensor, "numpy", to_numpy, create=True),
        mock.patch.object(Tensor, "new_tensor", new_tensor),
        mock.patch.object(Tensor, "record_stream", lambda tensor, stream: operations.streams.record(tensor, stream)),
        # The optimizers of PyTorch choose what they do for tensors that they know to be PyTorch's own.
        mock.patch.object(optimizer, "_foreach_supported_types", [*optimizer._foreach_supported_types, FakeTensor]),
        mock.patch.object(_foreach_utils, "_foreach_supported_types", [Tensor, FakeTensor]),
    ]


def _modules() -> list[Any]:
    """A module moves to the device by new parameters: a fake tensor of the host cannot become one of the device."""
    return [mock.patch.object(torch.nn.Module, "_apply", _apply)]


def _apply(module: torch.nn.Module, function: Callable[[Tensor], Tensor], recurse: bool = True) -> torch.nn.Module:
    for child in module.children():
        child._apply(function)  # type: ignore[no-untyped-call]
    for name, parameter in module._parameters.items():
        if parameter is not None:
            with torch.no_grad():
                module._parameters[name] = torch.nn.Parameter(function(parameter), parameter.requires_grad)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = function(buffer)
    return module
