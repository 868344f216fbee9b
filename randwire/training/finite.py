"""A loss that is not finite ends a training: within some tens of steps, on all ranks at the same step."""

import math
from collections.abc import Mapping

from torch import Tensor, distributed

from randwire.config import TrainConfig
from randwire.errors import NonFiniteLossError
from randwire.metrics import EVALUATION
from randwire.training.transfer import Fetched
from randwire.training.worker import Worker

ADVICE = "lower train.lr, or set train.warmup_epochs or train.clip_norm"
INTERVAL_STEPS = 32
"""Steps from one check to the next."""


class FiniteLossCheck:
    """The check of one epoch of `steps` steps, or of what is left of it after `steps_done`.

    A sum that has once been infinite or NaN stays so: the sum of the losses is checked, not each of them. The host does
    not wait for the current step of a GPU: what is fetched at one check is read at the next one, and has arrived unless
    the host is INTERVAL_STEPS ahead. So a loss is noticed 2 * INTERVAL_STEPS - 1 steps later at most, on CPUs
    INTERVAL_STEPS - 1.
    """

    def __init__(self, config: TrainConfig, worker: Worker, epoch: int, steps: int, steps_done: int = 0) -> None:
        self._config, self._worker, self._epoch, self._steps = config, worker, epoch, steps
        self._finite_steps = steps_done - steps_done % INTERVAL_STEPS
        self._fetched: tuple[int, Fetched] | None = None

    def after_step(self, step: int, loss_sum: Tensor) -> None:
        """To be called by every rank after each step (1-based), with the sum of its losses in this epoch so far.

        Raises NonFiniteLossError, on all ranks at the same step, if one of the losses of any rank was not finite.
        """
        if step % INTERVAL_STEPS:
            return
        self._read()
        total = loss_sum
        if self._worker.world_size > 1:
            total = loss_sum.clone()
            distributed.all_reduce(total)
        self._fetched = step, Fetched(total)
        if not total.is_cuda:
            self._read()

    def after_epoch(self, loss: float) -> None:
        """To be called by every rank at the end, with the mean loss of all. Raises NonFiniteLossError as above."""
        self._read()
        self._verify(self._steps, loss)

    def _read(self) -> None:
        if self._fetched is None:
            return
        step, total = self._fetched
        self._fetched = None
        self._verify(step, total.read().item())

    def _verify(self, step: int, loss: float) -> None:
        if not math.isfinite(loss):
            steps = f"step {self._finite_steps + 1} to {step} of {self._steps}"
            raise _error(f"training loss is {loss} in epoch {self._epoch}, {steps}", self._config)
        self._finite_steps = step


def check_scores(scores: Mapping[str, float], config: TrainConfig, epoch: int) -> None:
    """Raise NonFiniteLossError if one of the scores of an evaluation after `epoch`, by key, is not finite."""
    for metric in (named for each in EVALUATION for named in (each, each.test) if named.key in scores):
        if not math.isfinite(scores[metric.key]):
            raise _error(f"{metric.label} is {scores[metric.key]} after epoch {epoch}", config)


def _error(what: str, config: TrainConfig) -> NonFiniteLossError:
    return NonFiniteLossError(f"{what} (train.lr {config.lr:g}, train.precision {config.precision}); {ADVICE}")
