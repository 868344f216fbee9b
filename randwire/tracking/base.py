"""What a tracker is, what it is told of a trial, and how its errors are kept from the trials."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from randwire.errors import brief

Notice = Callable[[str], None]


@dataclass(frozen=True)
class Trial:
    """What a tracker is told when a trial starts."""

    id: str  # digest of the config, and the W&B run id
    config: Mapping[str, Any]  # nested and JSON-able, without secrets
    group: str  # the setting, such as WS(4,0.75)
    tags: tuple[str, ...]
    dag_json: Mapping[str, Any]  # {"stages": {stage: {"nodes", "edges", "redraws", "measures": {...}}}}
    dag_png: Callable[[], bytes]  # drawn if asked for, as that takes a second
    dag_svg: str
    complexity: Mapping[str, Any]  # {"params": int, "mult_adds": int, ...}
    resumed_epochs: int = 0  # rows up to this epoch were logged by an earlier run of the trial

    @property
    def name(self) -> str:
        """The setting with the seeds of graphs and training, such as `WS(4,0.75) g0 t0`."""
        seeds = (
            (letter, self.config.get(section, {}).get("seed")) for letter, section in (("g", "graph"), ("t", "train"))
        )
        return " ".join([self.group, *(f"{letter}{seed}" for letter, seed in seeds if seed is not None)])


class Tracker(Protocol):
    """Watches trials, several at a time, called from one thread."""

    def start(self, trial: Trial) -> None:
        """Open the trial. Starting one that is open ends it as interrupted first."""

    def log(self, trial_id: str, row: Mapping[str, Any]) -> None:
        """Take the row of one epoch; an epoch that this trial has logged is ignored."""

    def finish(self, trial_id: str, status: str, summary: Mapping[str, Any]) -> None:
        """End the trial as finished, pruned, failed or interrupted; one that is not open is ignored."""

    def close(self) -> None:
        """End what is still open as interrupted, in bounded time."""


class NullTracker:
    """Tracks nothing."""

    def start(self, trial: Trial) -> None:
        pass

    def log(self, trial_id: str, row: Mapping[str, Any]) -> None:
        pass

    def finish(self, trial_id: str, status: str, summary: Mapping[str, Any]) -> None:
        pass

    def close(self) -> None:
        pass


def to_stderr(line: str) -> None:
    """The notice of a command line: one line on stderr."""
    print(line, file=sys.stderr, flush=True)


class SafeTracker:
    """Keeps the errors of a tracker from the trials: the first of each trial is told in one line, and that is all."""

    def __init__(self, inner: Tracker, notice: Notice = to_stderr) -> None:
        self.inner = inner
        self.notice = notice
        self._told: set[str] = set()

    def start(self, trial: Trial) -> None:
        with self._guard(f"trial {trial.id}"):
            self.inner.start(trial)

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
            if about not in self._told:
                self._told.add(about)
                self.notice(f"W&B: {about}: {brief(error)}")
