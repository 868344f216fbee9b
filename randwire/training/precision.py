"""How exact the products of a training are: `train.precision`, set on purpose and put back afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import distributed

from randwire.errors import ConfigError
from randwire.training.worker import Worker

FASTER_SINCE = (8, 0)
"""Compute capability of the first GPUs with TF32 and bf16: A100. Earlier ones have neither."""


@contextmanager
def computing(precision: str, device: torch.device) -> Iterator[None]:
    """Compute as `train.precision` says while the block lasts; what was set before is set again afterwards.

    On CUDA convolutions and products of fp32 numbers are exact (`fp32`, `bf16`) or in TF32 (`tf32`): PyTorch's own
    default is TF32 for convolutions and fp32 for products. cuDNN measures its algorithms for each new shape, since
    shapes are fixed. A CPU computes in fp32 as it is, and bf16 is a matter of autocast (`training/step.py`).
    """
    if device.type != "cuda":
        yield
        return
    backends: Any = torch.backends
    settings = [backends.cudnn.conv, backends.cuda.matmul]
    before, benchmark = [setting.fp32_precision for setting in settings], backends.cudnn.benchmark
    try:
        for setting in settings:
            setting.fp32_precision = "tf32" if precision == "tf32" else "ieee"
        backends.cudnn.benchmark = True
        yield
    finally:
        for setting, value in zip(settings, before, strict=True):
            setting.fp32_precision = value
        backends.cudnn.benchmark = benchmark


def in_force(device: torch.device) -> dict[str, Any] | None:
    """What is set now, for the record; None on a CPU, where nothing is.

    `convolutions` and `products` are what fp32 numbers are multiplied in: ieee (fp32), tf32, or none (PyTorch's own).
    """
    if device.type != "cuda":
        return None
    backends: Any = torch.backends
    return {
        "convolutions": backends.cudnn.conv.fp32_precision,
        "products": backends.cuda.matmul.fp32_precision,
        "cudnn_benchmark": backends.cudnn.benchmark,
    }


def check_precision(precision: str, worker: Worker) -> None:
    """Raise ConfigError, on all ranks, for a `train.precision` that the device of one of them does not have."""
    own = refusal(precision, worker.device)
    told = [own] * worker.world_size
    if worker.world_size > 1:
        distributed.all_gather_object(told, own)
    if any(told):
        raise ConfigError(next(filter(None, told)))


def refusal(precision: str, device: torch.device) -> str:
    """Why a device does not have a `train.precision`, in one line; empty if it has.

    A CPU has fp32 and bf16. GPUs before compute capability 8.0 would compute in bf16 by way of fp32, slower than in
    fp32, and take fp32 for TF32 without a word.
    """
    if device.type != "cuda":
        told = f"train.precision: tf32 is for GPUs, and the device of this training is {device}; use fp32 or bf16"
        return told if precision == "tf32" else ""
    capability = torch.cuda.get_device_capability(device)
    if precision == "fp32" or capability >= FASTER_SINCE:
        return ""
    return (
        f"train.precision: {precision} takes a GPU of compute capability {_dotted(FASTER_SINCE)} or later, and "
        f"{device} ({torch.cuda.get_device_name(device)}) has {_dotted(capability)}; use fp32"
    )


def _dotted(capability: tuple[int, ...]) -> str:
    return ".".join(map(str, capability))
