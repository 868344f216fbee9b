"""The learning rate as a function of the step, and the optimizer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from randwire.config import TrainConfig

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


def learning_rate(step: int, steps_per_epoch: int, config: TrainConfig) -> float:
    """The learning rate of a step (0-based, over the whole run).

    Linear warm-up over the first `warmup_epochs` (lr (s + 1) / W at step s of W), then the schedule, at step t of the
    remaining T:

    cosine       lr/2 (1 + cos(pi t / T)), half a period to zero (paper, section 4)
    step         lr times `milestone_factor` for every milestone m with t >= m T
    exponential  lr times `epoch_factor` to the power of the epochs since the warm-up
    """
    total = config.epochs * steps_per_epoch
    warmup = round(config.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    done, rest = step - warmup, total - warmup
    if config.schedule == "step":
        return config.lr * config.milestone_factor ** sum(done >= share * rest for share in config.milestones)
    if config.schedule == "exponential":
        return float(config.lr * config.epoch_factor ** (done / steps_per_epoch))
    return config.lr / 2 * (1 + math.cos(math.pi * done / rest))


def make_optimizer(network: nn.Module, config: TrainConfig) -> Optimizer:
    """The optimizer; weight decay on matrices and filters, on vectors and scalars only with `decay_vectors`.

    Decay is part of the gradient in SGD and Adam, and apart from it in AdamW.
    """
    from torch.optim import SGD, Adam, AdamW

    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {
            "params": [p for p in parameters if p.ndim <= 1],
            "weight_decay": config.weight_decay if config.decay_vectors else 0.0,
        },
    ]
    if config.optimizer == "sgd":
        return SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=config.nesterov)
    kind = Adam if config.optimizer == "adam" else AdamW
    return kind(groups, lr=config.lr, betas=config.betas, eps=config.eps)
