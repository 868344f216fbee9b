"""The GPUs of this machine: what PyTorch can use of them, what is told where it cannot, and the versions beneath it.

`root` is where /dev and /proc are (`machine.ROOT`), `environment` has the variables of CUDA: both are for tests.
"""

import os
import platform
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from randwire import machine
from randwire.errors import brief

HIDDEN = ("", "-1", "none", "void", "NoDevFiles")
"""Values of CUDA_VISIBLE_DEVICES and NVIDIA_VISIBLE_DEVICES by which a user or a scheduler gives a process no GPU."""


def usable() -> bool:
    """Whether PyTorch can use the GPUs of this process. It warns in lines of its own, for which there is `unusable`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.cuda.is_available() and not _without_code()


def _without_code() -> str:
    """Why this build of PyTorch has nothing that runs on a GPU of this process: too old a GPU, or too new; or empty."""
    built = [
        (kind, int(number)) for kind, number in re.findall(r"(sm|compute)_(\d+)", " ".join(torch.cuda.get_arch_list()))
    ]
    if not built:
        return ""
    try:
        for device in range(torch.cuda.device_count()):
            major, minor = torch.cuda.get_device_capability(device)
            own = 10 * major + minor
            # Machine code runs on later GPUs of its generation, and what is compiled at its loading on all later ones.
            if not any(number <= own and (kind == "compute" or number // 10 == major) for kind, number in built):
                name = torch.cuda.get_device_name(device)
                return f"is built for {' '.join(torch.cuda.get_arch_list())}, and {name} is sm_{own}"
    except Exception as error:  # of the driver, or of PyTorch
        return f"cannot use it: {brief(error)}"
    return ""


def unusable(root: Path | None = None, environment: Mapping[str, str] = os.environ) -> str | None:
    """What is seen of GPUs that this machine has and PyTorch cannot use, in one line.

    None where PyTorch can use one, where there is none, and where they are hidden on purpose (HIDDEN).
    """
    variables = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")
    if usable() or any(environment.get(name) in HIDDEN for name in variables):
        return None
    if not (found := _found(root or machine.ROOT)):
        return None
    chosen = "".join(f", {name} is {environment[name]!r}" for name in variables[:1] if name in environment)
    return f"{found}{chosen}, and PyTorch {torch.__version__} {_fault()}"


def left_out() -> str | None:
    """The line for who gets a CPU under `runtime.device auto` beside a GPU that PyTorch cannot use, or None."""
    seen = unusable()
    return seen and f"runtime.device: auto is cpu here: {seen}; mend that, or use --runtime.device cpu"


def of_rank() -> str:
    """What is seen of the GPU that a scheduler has given this process, and PyTorch cannot use; empty if it can."""
    return (
        "" if usable() else f"{platform.node()} has a GPU for a rank, and PyTorch {torch.__version__} there {_fault()}"
    )


def absent() -> str:
    """The line for who asks for CUDA where PyTorch can use no GPU."""
    seen = unusable()
    return f"runtime.device: is cuda, but PyTorch finds no GPU{f' ({seen})' if seen else ''}; use auto or cpu"


def _found(root: Path) -> str:
    """The GPUs that the system shows, as device files or by its driver; empty if there is none."""
    files = sorted((path.name for path in (root / "dev").glob("nvidia[0-9]*")), key=lambda name: (len(name), name))
    if files:
        more = "" if len(files) == 1 else f" and /dev/{files[1]}" if len(files) == 2 else f" and {len(files) - 1} more"
        return f"this machine has /dev/{files[0]}{more}"
    listed = [*(root / "proc/driver/nvidia/gpus").glob("*")]
    gpus = f"{len(listed)} GPU{'s' * (len(listed) > 1)}"
    return f"the driver of this machine lists {gpus}, none of them in /dev" if listed else ""


def _fault() -> str:
    """Why PyTorch can use none, in its own words."""
    if not torch.backends.cuda.is_built():  # type: ignore[no-untyped-call]
        return "is built without CUDA"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if torch.cuda.is_available():
                return _without_code()
            torch.cuda.init()  # type: ignore[no-untyped-call]
    except Exception as error:  # of the driver, or of PyTorch
        return f"cannot use it: {brief(error)}"
    return "finds none"


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
