"""When a training is saved in the middle of an epoch, and whether it ends there: the same answer on all ranks."""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import distributed

from randwire.training.transfer import AHEAD, Fetched, on_device
from randwire.training.worker import Worker

CHECK_S = 5.0
"""Seconds from one agreement of several ranks to the next, about: a collective costs them time."""
MAX_STEPS = 64
"""The same in steps, at most."""
LONG_PAUSE_S = 10.0
"""Seconds without a step before which a training is saved in any case: it may be asked to end while they last."""


class Decision(NamedTuple):
    """What follows a step. Who stops is saved first."""

    save: bool = False
    stop: bool = False


class Checks:
    """Whether to save, and to stop, after each step of a training.

    The clock of rank 0 counts alone; what asks one rank to save or to stop is heeded by all. One rank looks after each
    step; several ask each other every few seconds. On GPUs they are answered AHEAD steps later: `transfer.sent` has
    waited for the device by then, and nobody waits for it here but at the end of an epoch.
    """

    def __init__(self, worker: Worker, interval_s: float, asked_to_stop: Callable[[], bool]) -> None:
        """`interval_s`: seconds from one save to the next, above 0."""
        self._worker, self._interval_s, self._asked_to_stop = worker, interval_s, asked_to_stop
        self._saved_at = time.monotonic()
        self._looked = 0, self._saved_at
        self._next = 0
        self._question: tuple[int, Fetched] | None = None
        """The step after which the ranks have asked each other, and their answers, while these are on their way."""

    def begin(self, steps_done: int) -> None:
        """An epoch begins, or goes on."""
        self._looked = steps_done, time.monotonic()
        self._next = steps_done + 1

    def saved(self) -> None:
        self._saved_at = time.monotonic()

    def after_step(self, step: int, pause_s: float | None = None) -> Decision:
        """To be called by every rank after each step (1-based).

        `pause_s`: after the last one of an epoch, the seconds that its evaluation may take, in which nothing is saved.
        """
        several = self._worker.world_size > 1
        if several and pause_s is None:
            if self._question is not None:
                return self._answered(step) if step >= self._question[0] + AHEAD else Decision()
            if step < self._next:
                return Decision()
        now = time.monotonic()
        stop = self._asked_to_stop()
        save = stop or self._worker.asked_to_save()
        if self._worker.rank == 0:
            due_at = self._saved_at + self._interval_s
            save = save or now + (pause_s or 0) >= due_at or (pause_s or 0) > LONG_PAUSE_S
        if not several:
            return Decision(save, stop)
        before = Decision() if self._question is None else self._answered(step)
        steps, seconds = step - self._looked[0], max(now - self._looked[1], 1e-6)
        ahead = min(MAX_STEPS, max(1, int(min(CHECK_S, self._interval_s) * steps / seconds)))
        own = torch.tensor([save, stop, ahead if self._worker.rank == 0 else 0], dtype=torch.int64)
        answers = on_device(own, self._worker.device)
        distributed.all_reduce(answers)
        self._looked, self._question = (step, now), (step, Fetched(answers))
        if self._worker.device.type == "cuda" and pause_s is None:
            return Decision()
        after = self._answered(step)
        return Decision(before.save or after.save, before.stop or after.stop)

    def _answered(self, step: int) -> Decision:
        """What the ranks have said when they asked each other last; `step` is the last one by now."""
        assert self._question is not None
        asked, answers = self._question
        saves, stops, ahead = answers.read().tolist()
        self._question, self._next = None, max(asked + ahead, step + 1)
        return Decision(bool(saves), bool(stops))
