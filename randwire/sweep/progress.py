"""What a sweep shows while it runs: a bar where stderr is a terminal, a line for each ended trial where it is not."""

import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from tqdm import tqdm

from randwire.config import RunConfig
from randwire.metrics import VAL_TOP1
from randwire.records import Row
from randwire.stdio import is_screen
from randwire.sweep.channel import Step

LINE_S = 300.0
"""Seconds without a terminal from one line about a long epoch to the next."""
BAR = "{l_bar}{bar}| {n:.2f}/{total} [{elapsed}<{remaining}, {rate_fmt}]"
"""As tqdm's own, with parts of epochs."""


def note(line: str) -> None:
    """A line on stderr, beside any bar."""
    tqdm.write(line, file=sys.stderr)
    sys.stderr.flush()


class Progress:
    """`epochs`: the epochs that are left, over all trials. `label` names the setting of a trial."""

    def __init__(self, epochs: int, label: Callable[[RunConfig], str]) -> None:
        self.label = label
        self.bar = tqdm(
            total=epochs,
            unit="epoch",
            disable=not is_screen(sys.stderr),
            leave=False,
            dynamic_ncols=True,
            bar_format=BAR,
        )
        self._lock = threading.Lock()  # steps come in another thread than rows
        self._done = 0
        self._reported: dict[str, int] = {}
        self._line_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()

    def setting(self, label: str) -> None:
        note(f"{label}: started")

    def epoch(self, config: RunConfig, row: Row) -> None:
        with self._lock:
            self._done += 1
            self._reported[config.digest] = row["epoch"]
            self._line_at = time.monotonic()
            self._draw(f"{self._name(config)} epoch {row['epoch']}/{config.train.epochs}", self._done)

    def steps(self, running: Sequence[tuple[RunConfig, Step]]) -> None:
        """How far trainings are between two epochs; without a terminal, a line now and then while epochs take long."""
        with self._lock:
            begun = [(config, step) for config, step in running if step[0] > self._reported.get(config.digest, 0)]
            if not begun:
                return
            texts = [
                f"{self._name(config)} epoch {epoch}/{config.train.epochs} step {step}/{steps}"
                for config, (epoch, step, steps) in begun
            ]
            self._draw(texts[-1], self._done + sum(step / steps for _, (_, step, steps) in begun))
            if self.bar.disable and time.monotonic() - self._line_at >= LINE_S:
                self._line_at = time.monotonic()
                note("; ".join(texts))

    def _draw(self, text: str, epochs: float) -> None:
        self.bar.set_description(text, refresh=False)
        self.bar.update(epochs - self.bar.n)

    def ended(self, config: RunConfig, summary: Row) -> None:
        top1, seconds = summary.get(VAL_TOP1.key), summary.get("seconds")
        shown = f"{top1:.2f}%" if isinstance(top1, int | float) else "-"
        took = f", {seconds:.0f} s" if isinstance(seconds, int | float) else ""
        cause = f" ({summary['cause']})" if summary.get("cause") else ""
        counts = f"top-1 {shown}, {summary.get('epochs')} epochs{took}"
        note(f"{self._name(config)}: {summary['status']}, {counts}{cause}")

    def lost(self, label: str, cause: str) -> None:
        note(f"{label}: {cause}; goes on from its last checkpoint")

    def error(self, label: str, cause: str) -> None:
        note(f"{label}: could not be run: {cause}")

    def _name(self, config: RunConfig) -> str:
        graph = "" if config.network.reference else f" g{config.graph.seed}"
        return f"{self.label(config)}{graph} t{config.train.seed}"
