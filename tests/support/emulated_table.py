"""docs/operations.md: what a step makes a CUDA device do, before and now."""

from collections.abc import Mapping
from typing import Any

Counts = Mapping[str, tuple[int, int]]
PHASES: Mapping[str, tuple[str, ...]] = {
    "copy and normalise": ("copy", "normalise", "augment"),
    "forward": ("forward",),
    "loss": ("loss",),
    "backward": ("backward",),
    "optimizer": ("optimizer",),
    "rest": ("rest",),
}
STEP, BATCH, WAITS = "step", "evaluation of a batch", "waits of the host in an epoch"
COMMIT = "074b58c"
BEFORE: Mapping[str, Mapping[str, tuple[int, int]]] = {
    "digits": {
        "copy and normalise": (5, 5), "forward": (371, 488), "loss": (13, 13), "rest": (2, 2),
        "backward": (622, 774), "optimizer": (7, 12), STEP: (1020, 1294), BATCH: (180, 180), WAITS: (81, 81),
    },
    "small": {
        "copy and normalise": (5, 5), "forward": (947, 1244), "loss": (13, 13), "rest": (2, 2),
        "backward": (1603, 1995), "optimizer": (7, 25), STEP: (2577, 3284), BATCH: (426, 426), WAITS: (216, 216),
    },
    "regular-109": {
        "copy and normalise": (5, 5), "forward": (1106, 1448), "loss": (13, 13), "rest": (2, 2),
        "backward": (1877, 2330), "optimizer": (7, 28), STEP: (3010, 3826), BATCH: (493, 493), WAITS: (256, 256),
    },
    "resnet-50": {
        "copy and normalise": (5, 5), "forward": (284, 443), "loss": (13, 13), "rest": (2, 2),
        "backward": (243, 401), "optimizer": (7, 9), STEP: (554, 873), BATCH: (194, 194), WAITS: (0, 0),
    },
}  # fmt: skip
"""Operations and launches at COMMIT, by preset and row."""
CAPTURED = ", captured"
"""What follows a preset that is trained with captured steps."""
TEXT = """# Operations

What one training step and one batch of an evaluation make a CUDA device do, before (commit {commit}) and now: presets
with their own graphs in bf16. An *operation* is one that PyTorch gives to the device below autograd and autocast; views
and allocations are none. *Launches* are the kernels of it as far as they follow from PyTorch's sources: 4 of batch
norm forward and 3 backward, one for each gradient of a convolution, one for each 30 to 110 tensors of a `_foreach` or
fused operation, one of all others. Of *captured* steps the replay of a graph is one launch; a step
is two of them and the copies into and out of them. *Waits* are those of the host between the first step of an epoch and
the last batch of its evaluation.

No GPU was used. The counts are of an emulated device: a CPU build of PyTorch in which `cuda:0` is registered, with
tensors that have shape, type, layout and device but no content (`tests/support/emulated_cuda.py`). Training,
evaluation, graph damage, prediction and exported programs run on it by the code that runs on a GPU.

It proves that the tensors of every operation are on one device, which operations there are and in which order, that the
host never waits where it must not (numbers read, copies that block or are of ordinary memory, masks, checks of
`linalg`, events that the device has not passed), and that streams wait for each other. It proves nothing of numbers,
of speed, of memory, of what cuDNN chooses, of compiled kernels, and of several GPUs.

This page is made by a test: `RANDWIRE_OPERATIONS=write python -m pytest tests/gpu/test_emulated_operations.py`.
"""


def rows(result: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Operations and launches of a case by row of the table; of waits, their number twice."""
    found = {name: _sum(result["step"], phases) for name, phases in PHASES.items()}
    found[STEP] = _sum(result["step"], tuple(result["step"]))
    assert found[STEP] == tuple(sum(column) for column in zip(*list(found.values())[:-1], strict=True))
    found[BATCH] = _sum(result["batch"], tuple(result["batch"]))
    waits = len(result["waits"]) + len(result["waits_before"])
    return {**found, WAITS: (waits, waits)}


def page(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The content of docs/operations.md for the results of the group `operations`."""
    lines = [TEXT.format(commit=COMMIT)]
    for preset, result in results.items():
        lines += [f"## {preset}", "", "| | operations before | now | launches before | now |", "| --- " * 5 + "|"]
        for name, now in rows(result).items():
            before = BEFORE[preset.removesuffix(CAPTURED)][name]
            pairs = zip(before, now, strict=True) if name != WAITS else [(before[0], now[0]), ("", "")]
            lines.append(f"| {name} | " + " | ".join(_text(cell) for pair in pairs for cell in pair) + " |")
        lines.append("")
    return "\n".join(lines)


def _sum(counts: Counts, phases: tuple[str, ...]) -> tuple[int, int]:
    chosen = [counts[phase] for phase in phases if phase in counts]
    return sum(count for count, _ in chosen), sum(launches for _, launches in chosen)


def _text(cell: object) -> str:
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
