"""More threads that want to compute than there are CPUs: OpenMP's waiting threads then take those that others need.

A thread of OpenMP that waits for the others spins for milliseconds before it sleeps. On CPUs that are free that is
fast; on busy ones it keeps the very thread that it waits for from running, and trainings of small networks become ten
times slower or worse (`python -m benchmarks.threads`). How threads wait changes no number; how many there are does, by
rounding, and so their number never follows the load.
"""

import os
import sys
import time
from collections.abc import MutableMapping
from pathlib import Path

from randwire import machine

STATED = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS")
"""Variables of OpenMP by which a user has decided."""
SAMPLE_S = 0.1
"""How long is looked at whether CPUs are free, in seconds."""
FREE_SHARE = 0.75
"""Of the CPUs: with fewer that are free, waiting threads sleep."""
WAITED_SHARE, WANTED_S = 0.3, 2.0
"""What is told of: this share of at least so many seconds in which threads wanted a CPU, they waited for it."""


def sleep_when_waiting(environment: MutableMapping[str, str] = os.environ, root: Path = machine.ROOT) -> bool:
    """Let waiting threads of OpenMP sleep if the CPUs are busy; whether it has been so decided.

    It reads its variables once: nothing is done when PyTorch has been imported, nor where the user has decided.
    """
    if "torch" in sys.modules or any(name in environment for name in STATED):
        return False
    busy = free_share(root) < FREE_SHARE
    if busy:
        environment["OMP_WAIT_POLICY"] = "passive"
    return busy


def free_share(root: Path = machine.ROOT, seconds: float = SAMPLE_S) -> float:
    """The share of the CPUs of the affinity that is free, seen for so many seconds; 1 where that cannot be seen."""
    first = _times(root)
    time.sleep(seconds)
    idle, total = (after - before for before, after in zip(first, _times(root), strict=True))
    return idle / total if total else 1.0


class Waiting:
    """How long the threads of this process wait for a CPU."""

    def __init__(self) -> None:
        self._before = _scheduled()

    def told(self, threads: int) -> str | None:
        """What to tell of the time since the last call, or the beginning, if `threads` compute; None if nothing."""
        before, self._before = self._before, _scheduled()
        ran, waited = (now - then for then, now in zip(before, self._before, strict=True))
        if threads < 2 or ran + waited < WANTED_S or waited < WAITED_SHARE * (ran + waited):
            return None
        return (
            f"threads of this training waited for a CPU for {waited / (ran + waited):.0%} of the time in which they "
            f"could compute: more are busy than there are CPUs ({machine.cpus()}). Fewer trainings at a time, or one "
            "thread for each (OMP_NUM_THREADS=1; sums are rounded otherwise), can be many times faster"
        )


def _times(root: Path) -> tuple[int, int]:
    """Idle and all time of the CPUs of the affinity, in the kernel's ticks."""
    mine = {f"cpu{number}" for number in os.sched_getaffinity(0)} if hasattr(os, "sched_getaffinity") else set()
    idle = total = 0
    for name, *words in (line.split() for line in _lines(root / "proc/stat") if line.startswith("cpu")):
        if name in mine:
            ticks = [int(word) for word in words[:8]]  # what follows is part of them
            idle, total = idle + sum(ticks[3:5]), total + sum(ticks)
    return idle, total


def _scheduled() -> tuple[float, float]:
    """Seconds for which the threads of this process ran, and waited for a CPU; 0 where the kernel does not tell."""
    words = [_lines(file) for file in Path("/proc/self/task").glob("*/schedstat")]
    numbers = [[int(word) / 1e9 for word in lines[0].split()[:2]] for lines in words if lines]
    return sum(ran for ran, _ in numbers), sum(waited for _, waited in numbers)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
