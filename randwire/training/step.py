"""One step of a training."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from randwire.config import TrainConfig

DDP_OPTIONS: dict[str, Any] = {"forward_sync_buffers": False, "gradient_as_bucket_view": True}
"""BN's running statistics are averaged once an epoch (`loop.average_buffers`) instead of sent with every step."""


def train_step(network: nn.Module, optimizer: Optimizer, images: Tensor, labels: Tensor, config: TrainConfig) -> Tensor:
    """One step on normalised images (B, 3, H, W) and labels (B,); returns the loss, on the device."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
        logits = network(images)
        loss = functional.cross_entropy(logits.float(), labels, label_smoothing=config.label_smoothing)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    if config.clip_norm:
        nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
    optimizer.step()
    return loss.detach()
