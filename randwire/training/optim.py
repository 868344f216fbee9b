"""The learning rate as a function of the step, and the optimizer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from randwire.config import TrainConfig

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import SGD


def learning_rate(step: int, steps_per_epoch: int, config: TrainConfig) -> float:
    """The learning rate of a step (0-based, over the whole run).

    Linear warm-up over the first `warmup_epochs` (lr (s + 1) / W at step s of W), then half a cosine period to zero:
    lr/2 (1 + cos(pi t / T)) at step t of the remaining T (paper, section 4).
    """
    total = config.epochs * steps_per_epoch
    warmup = round(config.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    return config.lr / 2 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


def optimizer(network: nn.Module, config: TrainConfig) -> SGD:
    """SGD with momentum; weight decay on matrices and filters, on vectors and scalars only with `decay_vectors`."""
    from torch.optim import SGD

    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {
            "params": [p for p in parameters if p.ndim <= 1],
            "weight_decay": config.weight_decay if config.decay_vectors else 0.0,
        },
    ]
    return SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=config.nesterov)
