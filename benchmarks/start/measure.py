"""Wall and CPU time of a sweep."""

import tempfile
import threading
import time
from dataclasses import dataclass

import psutil

from benchmarks.start.marks import MARKS, spans_of
from benchmarks.start.ours import sweep_ours
from benchmarks.start.plain import sweep_plain
from randwire.config import load
from randwire.study.design import Design

FORMS = ("plain", "randwire")


@dataclass(frozen=True)
class Measured:
    """One sweep, in seconds. `spans`: for each setting in order, its stages; the first has the start of the cluster."""

    form: str
    wall: float
    cpu: float
    spans: list[dict[str, float]]

    @property
    def share(self) -> float:
        """Of the wall time, that of training: what follows the first step."""
        return sum(span["trained"] for span in self.spans) / self.wall


class CpuTime(threading.Thread):
    """CPU seconds of this process and of all that come from it."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: dict[tuple[int, float], float] = {}
        self.ended = threading.Event()
        self._look()
        self.before = self.seconds

    @property
    def seconds(self) -> float:
        return sum(self.seen.values())

    def _look(self) -> None:
        process = psutil.Process()
        for one in (process, *process.children(recursive=True)):
            try:
                times = one.cpu_times()
                self.seen[one.pid, one.create_time()] = times.user + times.system
            except psutil.Error:
                pass  # it has ended

    def run(self) -> None:
        while not self.ended.wait(0.5):
            self._look()

    def stop(self) -> float:
        self._look()
        self.ended.set()
        self.join()
        return self.seconds - self.before


def measure(form: str, settings: int, epochs: int, workers: int) -> Measured:
    """A sweep of settings of one trial each, in one form."""
    with tempfile.TemporaryDirectory(prefix="randwire-benchmark-") as folder:
        keys = {"runtime.output": folder, "runtime.study": form, "runtime.wandb": "disabled", "train.epochs": epochs}
        design = Design(load("digits", keys), search="random", settings=settings, seeds=1)
        design.open()
        cpu, began = CpuTime(), time.time()
        cpu.start()
        (sweep_plain if form == "plain" else sweep_ours)(design, workers)
        wall = time.time() - began
        return Measured(form, wall, cpu.stop(), spans_of(design.folder / MARKS, began))
