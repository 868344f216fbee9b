"""One epoch of training."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn

from randwire import streams
from randwire.config import TrainConfig
from randwire.metrics import IMAGES_PER_S, LR, SECONDS_LOADER, SECONDS_STEP, STEPS, TRAIN_LOSS
from randwire.model.drop_edge import DropEdge
from randwire.training.augment import Augment
from randwire.training.finite import FiniteLossCheck
from randwire.training.mid_epoch import EpochPart, averaged
from randwire.training.optim import learning_rate
from randwire.training.step import Step
from randwire.training.transfer import Batches, sent
from randwire.training.worker import Worker


def seed_epoch(network: nn.Module, seed: int, epoch: int, rank: int) -> None:
    """Seed dropout and drop edge for one epoch of one rank: a resumed run draws what it would have drawn."""
    torch.manual_seed(streams.epoch_seed(seed, epoch, rank))
    for module in network.modules():
        if isinstance(module, DropEdge):
            module.seed(seed, epoch, rank)


@dataclass(frozen=True)
class Training:
    """What all epochs of a training share, on one rank: a network, and the step that trains it."""

    network: nn.Module
    step: Step
    augment: Augment
    config: TrainConfig
    worker: Worker


def train_epoch(
    training: Training,
    batches: Batches,
    steps: int,
    epoch: int,
    part: EpochPart | None = None,
    after_step: Callable[[EpochPart], None] | None = None,
) -> dict[str, float]:
    """Train for epoch `epoch` (1-based) of `steps` steps.

    The host waits for the last step; it is two steps ahead of a GPU at most (`transfer.sent`), and waits for no other.
    `part` is what has been trained of it, if it goes on; `batches` are those of the steps that are left. `after_step`
    is called after each of them. Returns the metrics of the epoch by key; rates and seconds are as this rank sees them.

    Raises NonFiniteLossError, on all ranks, if the loss of any step was not finite, some tens of steps later.
    """
    network, config, worker = training.network, training.config, training.worker
    if part is None:
        seed_epoch(network, config.seed, epoch, worker.rank)
        part = EpochPart(torch.zeros((), device=worker.device))
    network.train()
    check = FiniteLossCheck(config, worker, epoch, steps, part.steps)
    start = time.perf_counter() - part.seconds
    for step, (images, labels) in enumerate(sent(_timed(batches, part), worker.device), part.steps):
        lr = learning_rate((epoch - 1) * steps + step, steps, config)
        part.losses += training.step(training.augment(images, epoch, step), labels, lr)
        part.steps, part.images = step + 1, part.images + len(labels) * worker.world_size
        check.after_step(part.steps, part.losses)
        worker.step(epoch, part.steps, steps)
        part.seconds = time.perf_counter() - start
        if after_step is not None:
            after_step(part)
    mean = part.losses / steps
    if worker.world_size > 1:
        distributed.all_reduce(mean)
        mean /= worker.world_size
        average_buffers(network, worker.world_size)
    loss = mean.item()
    part.seconds = time.perf_counter() - start
    check.after_epoch(loss)
    return {
        LR.key: learning_rate((epoch - 1) * steps, steps, config),
        TRAIN_LOSS.key: loss,
        STEPS.key: steps,
        IMAGES_PER_S.key: part.images / part.seconds,
        SECONDS_LOADER.key: part.loading,
        SECONDS_STEP.key: part.seconds - part.loading,
    }


def _timed(batches: Batches, part: EpochPart) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches; the seconds in which they are waited for are added to those of the part."""
    source = iter(batches)
    while True:
        before = time.perf_counter()
        batch = next(source, None)
        part.loading += time.perf_counter() - before
        if batch is None:
            return
        yield batch


@torch.no_grad()
def average_buffers(network: nn.Module, world_size: int) -> None:
    """Average the running statistics of BN over all ranks, in one message, so that every rank evaluates one network."""
    buffers = averaged(network)
    if not buffers:
        return
    flat = torch.cat([buffer.flatten() for buffer in buffers])
    distributed.all_reduce(flat)
    flat /= world_size
    for buffer, mean in zip(buffers, torch.split(flat, [buffer.numel() for buffer in buffers]), strict=True):
        buffer.copy_(mean.view_as(buffer))
