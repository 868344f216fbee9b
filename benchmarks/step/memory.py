"""The memory that a step adds."""

from pathlib import Path

import torch

from benchmarks.step.methods import Method


def memory(method: Method, batch: int, side: int, device: torch.device) -> float:
    """MiB for each image that a step adds, in this process, to what the network and its optimizer hold."""
    method.make(2, 64)()  # loads what a first step loads
    step = method.make(batch, side)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        held = torch.cuda.memory_allocated(device)
        step()
        return (torch.cuda.max_memory_allocated(device) - held) / 2**20 / batch
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = _peak()
    step()
    return (_peak() - before) / 2**20 / batch


def _peak() -> float:
    """The most memory that this process held, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * float(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
