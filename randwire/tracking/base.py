"""The protocol of a tracker, and the guard between its errors and the trials."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from randwire.errors import brief
from randwire.records import Record

Notice = Callable[[str], None]


class Tracker(Protocol):
    """Watches trials, several at a time, called from one thread."""

    def start(self, record: Record, group: str, resumed_epochs: int | None = None) -> None:
        """Open the trial of a record, whose folder is named by the trial's id; one that is open ends as interrupted.

        `group` is the setting. An earlier run of the trial has logged the rows up to epoch `resumed_epochs`; None: all
        that the record has.
        """

    def log(self, trial_id: str, row: Mapping[str, Any]) -> None:
        """Take the row of one epoch; an epoch that this trial has logged is ignored."""

    def finish(self, trial_id: str, status: str, summary: Mapping[str, Any]) -> None:
        """End the trial as finished, pruned, failed or interrupted; one that is not open is ignored."""

    def close(self) -> None:
        """End what is still open as interrupted, in bounded time."""


class NullTracker:
    """Tracks nothing."""

    def start(self, record: Record, group: str, resumed_epochs: int | None = None) -> None:
        pass

    def log(self, trial_id: str, row: Mapping[str, Any]) -> None:
        pass

    def finish(self, trial_id: str, status: str, summary: Mapping[str, Any]) -> None:
        pass

    def close(self) -> None:
        pass


def to_stderr(line: str) -> None:
    """Write one line to stderr."""
    print(line, file=sys.stderr, flush=True)


class SafeTracker:
    """A tracker whose errors never reach a trial: the first error of each trial is reported in one line."""

    def __init__(self, inner: Tracker, notice: Notice = to_stderr) -> None:
        self.inner = inner
        self.notice = notice
        self._reported: set[str] = set()

    def start(self, record: Record, group: str, resumed_epochs: int | None = None) -> None:
        with self._guard(f"trial {record.folder.name}"):
            self.inner.start(record, group, resumed_epochs)

    def log(self, trial_id: str, row: Mapping[str, Any]) -> None:
        with self._guard(f"trial {trial_id}"):
            self.inner.log(trial_id, row)

    def finish(self, trial_id: str, status: str, summary: Mapping[str, Any]) -> None:
        with self._guard(f"trial {trial_id}"):
            self.inner.finish(trial_id, status, summary)

    def close(self) -> None:
        with self._guard("at the end"):
            self.inner.close()

    @contextmanager
    def _guard(self, about: str) -> Iterator[None]:
        try:
            yield
        except (Exception, SystemExit) as error:  # wandb leaves with SystemExit where its service has died
            if about not in self._reported:
                self._reported.add(about)
                self.notice(f"W&B: {about}: {brief(error)}")
