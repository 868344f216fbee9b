"""The GPUs of this machine: whether PyTorch can use one, and the versions beneath it.

`root` is where /proc is (`machine.ROOT`), for tests.
"""

import re
import warnings
from pathlib import Path
from typing import Any

import torch

from randwire import machine


def usable() -> bool:
    """Whether PyTorch can use a GPU. It warns of a driver in lines of its own, for which there is no need."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.cuda.is_available()


def versions(root: Path | None = None) -> dict[str, str | None]:
    """The versions beneath PyTorch on a GPU, by name; None for what cannot be known."""
    cuda: Any = torch.cuda  # untyped
    backends: Any = torch.backends
    nccl = torch.distributed.is_available() and torch.distributed.is_nccl_available()
    return {
        "CUDA": torch.version.cuda,
        "cuDNN": _of_cudnn(backends.cudnn.version()),
        "NCCL": ".".join(map(str, cuda.nccl.version())) if nccl else None,
        "driver": driver(root),
    }


def _of_cudnn(number: int | None) -> str | None:
    """91002 is 9.10.2, and 8902 is 8.9.2."""
    if number is None:
        return None
    major, rest = divmod(number, 10_000 if number >= 90_000 else 1000)
    return f"{major}.{rest // 100}.{rest % 100}"


def driver(root: Path | None = None) -> str | None:
    """The version of NVIDIA's kernel driver, or None if there is none."""
    try:
        text = ((root or machine.ROOT) / "proc/driver/nvidia/version").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    match = re.search(r"^NVRM version:.*?\s(\d+(?:\.\d+)+)\s", text, re.MULTILINE)
    return match[1] if match else None
