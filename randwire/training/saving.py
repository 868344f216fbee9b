"""Saves a training in the middle of its epochs, and ends it there when it is asked to end."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from torch import distributed, nn

from randwire.training import checkpoint, mid_epoch
from randwire.training.checks import Checks
from randwire.training.interrupts import Interrupts
from randwire.training.mid_epoch import EpochPart
from randwire.training.worker import Worker


class Saver:
    """Writes the checkpoints in the middle of epochs, every `minutes`, before a long evaluation, and when asked to.

    All ranks call the same methods in the same order. With 0 minutes there are none, and interrupts are left alone.
    """

    def __init__(
        self, folder: Path, network: nn.Module, worker: Worker, minutes: float, state: Callable[[int], dict[str, Any]]
    ) -> None:
        """`network` is that of this rank, `state` makes what each checkpoint holds of the epoch of that number."""
        self._folder, self._network, self._worker, self._state = folder, network, worker, state
        self._interrupts = Interrupts()
        self._checks = Checks(worker, 60 * minutes, lambda: self._interrupts.asked) if minutes else None
        self._epoch = self._steps = 0
        self._evaluation_s: float | None = None

    def deferred_interrupts(self) -> AbstractContextManager[None]:
        """While this lasts, a first interrupt ends the training after a step, saved. See Interrupts."""
        return self._interrupts.deferred() if self._checks else nullcontext()

    def begin_epoch(self, epoch: int, steps: int, part: EpochPart | None) -> None:
        """Epoch `epoch` (1-based) of `steps` steps begins, or goes on after a part of it."""
        self._epoch, self._steps = epoch, steps
        if self._checks:
            self._checks.begin(part.steps if part else 0)

    def after_step(self, part: EpochPart) -> None:
        """Save if that is due or asked for. Raises KeyboardInterrupt, on all ranks, if the training is asked to end."""
        if self._checks is None:
            return
        pause_s = None
        if part.steps == self._steps:  # what the first evaluation takes is not known: less than the training
            pause_s = part.seconds if self._evaluation_s is None else self._evaluation_s
        decision = self._checks.after_step(part.steps, pause_s)
        if decision.stop:
            self._interrupts.heed()
        if decision.save:
            state = mid_epoch.state_of(self._network, part, self._steps, self._worker)
            if state is not None:
                checkpoint.save_mid_epoch(self._folder, {**self._state(self._epoch), "part": state})
                self._worker.saved(self._epoch, part.steps)
            self._checks.saved()
        if decision.stop:
            if self._worker.world_size > 1:
                distributed.barrier()  # whoever has started the ranks ends all as soon as one has ended
            raise KeyboardInterrupt

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """While this lasts, the epoch is evaluated: the next one is expected to take as long."""
        started = time.monotonic()
        yield
        self._evaluation_s = time.monotonic() - started

    def end_epoch(self) -> None:
        """The checkpoint of the epoch is written."""
        if self._checks:
            self._checks.saved()
