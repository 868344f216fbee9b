"""Trainings and evaluations on the emulated CUDA device, and what they made it do."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import emulated_cuda
import torch
from emulated_operations import COPY, Operations, difference
from torch import Tensor, nn
from torch.nn import functional

from randwire import config as configuration
from randwire.config import RunConfig
from randwire.metrics import Outputs
from randwire.model.building import build
from randwire.training import evaluate as evaluation
from randwire.training import finite, graphs, transfer
from randwire.training.augment import Augment
from randwire.training.evaluate import Normalise
from randwire.training.loop import Training, train_epoch
from randwire.training.optim import make_optimizer
from randwire.training.precision import computing
from randwire.training.step import make_step
from randwire.training.worker import ProcessWorker
from randwire.wiring import dags_of, sample_graphs

CLASSES = 10
BEFORE, END = "before", "end"
"""What comes between the steps of an epoch and its evaluation, and after each: there the host may wait."""
NORMALISE, FORWARD, LOSS, BACKWARD, OPTIMIZER = "normalise", "forward", "loss", "backward", "optimizer"
AUGMENT, REST, EVALUATION = "augment", "rest", "evaluation"
Batch = tuple[Tensor, Tensor]


def settings(preset: str, keys: Mapping[str, object]) -> RunConfig:
    """The configuration of a preset with other values; its images are never read."""
    return configuration.load(preset, keys)


def batches(count: int, size: int, side: int) -> list[Batch]:
    """Batches as the loader gives them: images in page-locked memory, channels last; labels in ordinary memory."""
    images = [torch.empty(size, side, side, 3, dtype=torch.uint8, pin_memory=True) for _ in range(count)]
    return [(pixels.permute(0, 3, 1, 2), torch.zeros(size, dtype=torch.int64)) for pixels in images]


class Run:
    """A network of a configuration on the emulated device."""

    def __init__(self, operations: Operations, config: RunConfig, ranks: int = 1) -> None:
        self.operations, self.config, self._ranks = operations, config, ranks
        transfer._copy_stream.cache_clear()  # streams of another emulation are none of this one
        graphs._stream.cache_clear()
        runtime, side = config.runtime, config.data.resolution
        dags = dags_of(sample_graphs(config))
        self.network: nn.Module = build(
            config.network, dags, CLASSES, side, runtime.recompute, runtime.compile, runtime.channel_multiple
        )
        self.network.to(emulated_cuda.DEVICE, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.normalise = Normalise((120.0, 110.0, 100.0), (60.0, 60.0, 60.0)).to(emulated_cuda.DEVICE)
        captured = runtime.step == "captured"
        self.optimizer = make_optimizer(self.network, config.train, captured)
        self.step = make_step(self.network, self.optimizer, self.normalise, config.train, captured, ranks)
        self.of_a_step: dict[str, tuple[int, int]] = {}
        self.of_a_batch: dict[str, tuple[int, int]] = {}
        """Operations and launches by phase, of the last step of an epoch, and of the last batch of an evaluation."""
        self.launched_in_a_step, self.launched_in_a_batch = 0, 0
        """All that was launched in it, as events count it."""

    def train(self, given: list[Batch], epoch: int = 1) -> dict[str, float]:
        """An epoch."""
        operations, train = self.operations, self.config.train
        marks: list[dict[str, tuple[int, int]]] = [operations.by_phase()]
        launched: list[int] = [operations.streams.launches]

        def after_step(_: int, step: int, steps: int) -> None:
            marks.append(operations.by_phase())
            launched.append(operations.streams.launches)
            if step == steps:
                operations.phase = END

        worker = ProcessWorker(emulated_cuda.DEVICE, 0, self._ranks, on_step=after_step)
        training = Training(self.network, self.step, Augment(self.config.data, train.seed), train, worker)
        with computing(train.precision, emulated_cuda.DEVICE), self._phases(), operations.during(REST):
            row = train_epoch(training, given, len(given), epoch)
        copies = difference(marks[-1], marks[0])[COPY]
        self.of_a_step = of_one(marks, copies, len(given))
        self.launched_in_a_step = launched[-1] - launched[-2]
        return row

    def evaluate(self, given: list[Batch]) -> None:
        """An evaluation."""
        operations = self.operations
        marks: list[dict[str, tuple[int, int]]] = [operations.by_phase()]
        launched: list[int] = []
        exactly = evaluation.full_precision

        def outputs(logits: Tensor, labels: Tensor) -> Outputs:
            marks.append(operations.by_phase())
            launched.append(operations.streams.launches)
            return Outputs(logits, labels)

        @contextmanager
        def batch_by_batch(device: torch.device) -> Iterator[None]:
            operations.phase = EVALUATION
            with exactly(device):
                yield
            operations.phase = END

        with (
            mock.patch.object(evaluation, "Outputs", outputs),
            mock.patch.object(evaluation, "full_precision", batch_by_batch),
            mock.patch.object(graphs.Graphs, "close", operations.wrapped(END, graphs.Graphs.close)),
            operations.during(BEFORE),
        ):
            evaluation.evaluate(self.network, given, self.normalise, self.config.runtime.step == "captured")
        copies = difference(operations.by_phase(), marks[0])[COPY]
        self.of_a_batch = of_one(marks[:-1], copies, len(given))  # the last batch is a smaller one
        self.launched_in_a_batch = launched[-2] - launched[-3]

    @contextmanager
    def _phases(self) -> Iterator[None]:
        phases: list[tuple[Any, str, str]] = [
            (Normalise, "forward", NORMALISE),
            (Augment, "__call__", AUGMENT),
            (type(self.network), "forward", FORWARD),
            (functional, "cross_entropy", LOSS),
            (Tensor, "backward", BACKWARD),
            (torch.autograd, "grad", BACKWARD),
            (nn.utils, "clip_grad_norm_", OPTIMIZER),
            (type(self.optimizer), "step", OPTIMIZER),
        ]
        with ExitStack() as stack:
            for owner, name, phase in phases:
                function: Callable[..., Any] = getattr(owner, name)
                stack.enter_context(mock.patch.object(owner, name, self.operations.wrapped(phase, function)))
            stack.enter_context(mock.patch.object(finite, "INTERVAL_STEPS", 3))
            yield


def of_one(
    marks: list[dict[str, tuple[int, int]]], copies: tuple[int, int], batches: int
) -> dict[str, tuple[int, int]]:
    """Operations and launches between the last two marks; copies are those of an average batch: they are sent ahead."""
    return {**difference(marks[-1], marks[-2]), COPY: (copies[0] // batches, copies[1] // batches)}
