"""A device without enough memory, in one line: which device, for what, and what to lower."""

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from randwire.config import RunConfig
from randwire.errors import DeviceMemoryError, brief, one_line
from randwire.training.precision import refusal
from randwire.training.worker import Worker

_PATTERNS = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    r"CU(BLAS|SOLVER|SPARSE|FFT)_STATUS_ALLOC_FAILED",
    "Cuda failure (2|'out of memory')",
    "HIP out of memory",
)
"""What CUDA's libraries say, which raise a plain RuntimeError: the allocator, the driver, cuDNN, cuBLAS and NCCL."""
_GIB = 1 << 30


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is that a device has not enough memory, or has come of such a one."""
    return _first(error) is not None


def _first(error: BaseException | None) -> BaseException | None:
    """The error of memory itself: what ends after it, such as the capture of a graph, may raise another one."""
    while error is not None:
        if isinstance(error, torch.OutOfMemoryError):
            return error
        if isinstance(error, RuntimeError) and any(re.search(pattern, str(error)) for pattern in _PATTERNS):
            return error
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def told_of_memory(task: str, advice: str) -> Iterator[None]:
    """Raise DeviceMemoryError where the device of this process has not enough memory for the block.

    `task` says what takes the memory, and `advice` what to lower, or else to do.
    """
    try:
        yield
    except Exception as error:
        if (first := _first(error)) is None:
            raise
        line = f"{_device()}: not enough memory for {task} ({_seen(first)}); {advice}"
        # Frames that have ended hold the tensors of the step, for as long as somebody holds this error.
        traceback.clear_frames(error.__traceback__)
        raise DeviceMemoryError(line) from None


@contextmanager
def training_told(config: RunConfig, worker: Worker) -> Iterator[None]:
    """`told_of_memory` of a training."""
    train, recompute = config.train, config.runtime.recompute or config.network.reference is not None
    images, side = train.batch_size // worker.world_size, config.data.resolution
    same = ["set runtime.recompute"] * (not recompute) + ["train on more ranks"]
    same += ["raise --gpus-per-worker"] * (worker.gpu_share < 1)
    same += ["use runtime.step eager"] * (config.runtime.step == "captured")  # graphs hold theirs in evaluations too
    other = ["lower train.batch_size", "lower data.resolution"]
    other += ["train in bf16"] * (train.precision != "bf16" and not refusal("bf16", worker.device))
    advice = f"to go on with it, {' or '.join(same)}; for another one, {' or '.join(other)}"
    task = f"a training of {images} images of {side} x {side} pixels a rank in {train.precision}"
    with told_of_memory(task, advice):
        yield


@contextmanager
def evaluation_told(images: int, side: int) -> Iterator[None]:
    """`told_of_memory` of an evaluation in batches of so many images of `side` x `side` pixels."""
    advice = "lower train.batch_size, which is that of an evaluation too, or use --runtime.device cpu"
    with told_of_memory(f"an evaluation of {images} images of {side} x {side} pixels at a time in fp32", advice):
        yield


def _device() -> str:
    """The device and its memory, as far as it still answers."""
    if not torch.cuda.is_available():
        return "cpu"
    try:
        device = torch.cuda.current_device()
        free, total = torch.cuda.mem_get_info(device)
        own = torch.cuda.memory_reserved(device)
        memory = f"{total / _GIB:.1f} GiB, {own / _GIB:.1f} of them of this process, {free / _GIB:.1f} free"
        return f"cuda:{device} ({torch.cuda.get_device_name(device)}, {memory})"
    except Exception:  # a device that has failed answers nothing
        return "cuda"


def _seen(error: BaseException) -> str:
    """What PyTorch says, without its advice on allocators."""
    text = one_line(error)
    asked = re.search(r"Tried to allocate [\d.]+ \w+", text)
    return asked[0] if asked else brief(error)
