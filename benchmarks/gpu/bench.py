"""What every section is given: the device, a clock for it, networks and batches, and whom to tell."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from benchmarks.gpu.processes import Tell
from randwire.config import RunConfig, load
from randwire.dag import DAG
from randwire.training.memory import is_out_of_memory
from randwire.wiring import dags_of, sample_graphs

Cell = float | int | str | None
ROW, WRONG, ERROR, NOTE, GOAL = "row", "wrong", "error", "note", "goal"
"""Kinds of what a section tells: a row of a table, a result that is wrong, a case that raised, what was left out, and
whether a goal is met."""
TINY = {"network.channels": 12, "network.head": 16, "graph.nodes": 6}
"""What networks of a dry run have in place of their own."""
LEFT_OUT = "left out, no time left"
BLOCK_S = 0.05
"""Seconds of steps between two events: the steps run one behind the other, as in a training."""


@dataclass(frozen=True)
class Timing:
    """Milliseconds of a step: median and quartiles of n blocks on the device, and until the host has launched one."""

    ms: float
    low: float
    high: float
    host_ms: float
    n: int


@dataclass(frozen=True)
class Bench:
    """A section on its device. `dry`: in tiny shapes, each step once, to find the mistakes of the benchmark."""

    device: torch.device
    dry: bool
    until: float
    """The section's end by the monotonic clock: what has not begun by then is left out."""
    tell: Tell

    @property
    def cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def classes(self) -> int:
        return 10 if self.dry else 1000

    def row(self, name: str, **cells: Cell) -> None:
        """A row of the section's table; rows of other columns make another table."""
        self.tell(ROW, {"name": name, **cells})

    def wrong(self, what: str) -> None:
        self.tell(WRONG, what)

    def note(self, what: str) -> None:
        self.tell(NOTE, what)

    def goal(self, what: str, met: bool) -> None:
        self.tell(GOAL, {"name": what, "met": met})

    @contextmanager
    def case(self, name: str, large: bool = False) -> Iterator[None]:
        """One case of a section: an error in it is told, and the others go on; a `large` one need not fit."""
        failed = True
        try:
            yield
            failed = False
        except Exception as error:
            if large and is_out_of_memory(error):
                self.note(f"{name}: does not fit into the memory")
            else:
                self.tell(ERROR, f"{name}: {type(error).__name__}: {error}"[:500])
        self._tidy(name, failed)  # now that the error holds no tensors any more

    def _tidy(self, name: str, failed: bool) -> None:
        """Free memory for the next case; a device that has failed for good may refuse to, which ends no case."""
        if not self.cuda or not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            return
        try:
            if failed:  # a capture that fails leaves its stream the current one
                torch.cuda.set_stream(torch.cuda.default_stream(self.device))
            torch.cuda.empty_cache()
        except Exception as error:
            self.tell(ERROR, f"{name}: afterwards: {type(error).__name__}: {error}"[:500])

    def time_left(self, name: str, seconds: float = 0.0) -> bool:
        """Whether the case `name`, which takes about so many seconds, may begin; says so if it may not."""
        if time.monotonic() + seconds < self.until:
            return True
        self.note(f"{name}: {LEFT_OUT}")
        return False

    def wait(self) -> None:
        """Until the device has done all that was launched."""
        if self.cuda:
            torch.cuda.synchronize()

    def time(self, step: Callable[[], object], seconds: float = 1.0) -> Timing:
        """Time a step, in blocks of steps, for about so many seconds after a warm-up."""
        for _ in range(1 if self.dry else 3):
            step()
        self.wait()
        began = time.perf_counter()
        step()
        host = time.perf_counter() - began
        self.wait()
        steps = 1 if self.dry else max(1, min(1000, round(BLOCK_S / (time.perf_counter() - began))))
        blocks: list[float] = []
        started = time.perf_counter()
        while len(blocks) < (1 if self.dry else 5) or (time.perf_counter() - started < seconds and not self.dry):
            blocks.append(self.block(step, steps) / steps)
        times = torch.tensor(blocks, dtype=torch.float64)
        low, middle, high = torch.quantile(times, torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)).tolist()
        return Timing(middle, low, high, 1000 * host, len(blocks))

    def block(self, step: Callable[[], object], steps: int) -> float:
        """Milliseconds that the device takes for some steps."""
        if not self.cuda:
            began = time.perf_counter()
            for _ in range(steps):
                step()
            return 1000 * (time.perf_counter() - began)
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        first.record()
        for _ in range(steps):
            step()
        last.record()
        last.synchronize()
        elapsed: float = first.elapsed_time(last)
        return elapsed

    def config(self, preset: str, keys: dict[str, object]) -> RunConfig:
        """A preset with other keys; of a dry run TINY."""
        values = dict(keys)
        if self.dry:
            values |= TINY
        return load(preset, values)

    def images(self, count: int, side: int, kind: torch.dtype = torch.uint8, seed: int = 1) -> tuple[Tensor, Tensor]:
        """Random images (count, 3, side, side) on the device, as the loader gives them, and labels (count,)."""
        stream = torch.Generator().manual_seed(seed)
        drawn = torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8, generator=stream)
        labels = torch.randint(0, self.classes, (count,), generator=stream)
        return drawn.permute(0, 3, 1, 2).to(self.device, kind), labels.to(self.device)


def graphs(config: RunConfig) -> dict[str, DAG]:
    return dags_of(sample_graphs(config))


def copy_rate(bench: Bench) -> float:
    """TB/s read and written by a copy in the device's memory."""
    source = torch.zeros(2**20 if bench.dry else 2**31, dtype=torch.uint8, device=bench.device)
    target = torch.empty_like(source)
    return 2 * len(source) / bench.time(partial(target.copy_, source), 0.3).ms / 1e9
