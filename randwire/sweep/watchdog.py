"""Ends a process that trains no more, and leaves the stacks of its threads behind."""

from __future__ import annotations

import faulthandler
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from randwire.records import CLOCK_SKEW_S

MAX_TIMER_INTERVAL_S = 1.0
"""Between two settings of the timer, at most: each starts a thread."""


class Watchdog:
    """Ends this process if `feed` is not called for `seconds`; `path` then holds the stacks of all threads.

    The first call may take `first_s`, if that is longer.

    The timer is faulthandler's, a thread without Python: it fires though a lock of the interpreter is held for ever.
    Nothing is left at `path` if it has not fired.
    """

    def __init__(self, path: Path, seconds: float, first_s: float) -> None:
        self.path, self.seconds, self.first_s = path, seconds, first_s
        self._fed = 0.0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Raises OSError if the file cannot be written."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a", encoding="utf-8") as self._file:
            self._arm(max(self.first_s, self.seconds))
            try:
                yield
            finally:
                faulthandler.cancel_dump_traceback_later()
        if not self.path.stat().st_size:
            self.path.unlink()

    def feed(self) -> None:
        """A sign of life; as cheap as a look at the clock."""
        if time.monotonic() - self._fed > min(MAX_TIMER_INTERVAL_S, self.seconds / 4):
            self._arm(self.seconds)

    def _arm(self, seconds: float) -> None:
        self._fed = time.monotonic()
        faulthandler.dump_traceback_later(seconds, exit=True, file=self._file)


def stall_path(folder: Path, rank: int) -> Path:
    """Where the watchdog of a rank leaves its stacks, in the record of its trial."""
    return folder / f"stall-rank{rank}.txt"


def stall_files(folder: Path, since: float) -> list[Path]:
    """The stacks that watchdogs have left in the record of a trial since a time (Unix seconds)."""
    files = [(path, path.stat()) for path in sorted(folder.glob("stall-rank*.txt"))]
    return [path for path, stat in files if stat.st_size and stat.st_mtime >= since - CLOCK_SKEW_S]
