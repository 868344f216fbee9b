"""The learning rate as a function of the step, and the optimizer with its state."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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


def make_optimizer(network: nn.Module, config: TrainConfig, captured: bool = False) -> Optimizer:
    """The optimizer; weight decay on matrices and filters, on vectors and scalars only with `decay_vectors`.

    Decay is part of the gradient in SGD and Adam, and apart from it in AdamW. On a GPU an update is one kernel for many
    parameters. One to be `captured` in a graph is so anywhere, and reads the learning rate from a tensor on the device.
    """
    import torch
    from torch.optim import SGD, Adam, AdamW

    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {
            "params": [p for p in parameters if p.ndim <= 1],
            "weight_decay": config.weight_decay if config.decay_vectors else 0.0,
        },
    ]
    device = parameters[0].device
    fused = True if captured or device.type == "cuda" else None
    optimizer: Optimizer
    if config.optimizer == "sgd":
        optimizer = SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=config.nesterov, fused=fused)
    else:
        kind = Adam if config.optimizer == "adam" else AdamW
        optimizer = kind(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=fused, capturable=captured)
    if captured:
        lr = torch.tensor(config.lr, dtype=torch.float32, device=device)
        for group in optimizer.param_groups:
            group["lr"] = lr
    return optimizer


def set_learning_rate(optimizer: Optimizer, lr: float) -> None:
    """Let the next update have this learning rate, without a wait for the device."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], int | float):
            group["lr"] = lr
        else:
            group["lr"].fill_(lr)


def state_of(optimizer: Optimizer) -> dict[str, Any]:
    """The optimizer's state for a checkpoint: with learning rates as numbers, wherever the optimizer has them."""
    state = optimizer.state_dict()
    return {**state, "param_groups": [{**group, "lr": float(group["lr"])} for group in state["param_groups"]]}


def load_state(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Load what `state_of` has made of an optimizer of the same kind and parameters, on whatever device.

    Only what has come of the steps is taken from it. PyTorch would take the options too, such as `fused` and where the
    learning rate is: those are of the device and of the kind of step that the state was saved by.
    """
    options = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    groups = [{**own, "params": saved["params"]} for own, saved in zip(options, state["param_groups"], strict=True)]
    optimizer.load_state_dict({"state": state["state"], "param_groups": groups})
    for group, own in zip(optimizer.param_groups, options, strict=True):
        group.update(own)  # PyTorch has copied them; a captured update reads this tensor of the learning rate
