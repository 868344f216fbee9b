"""Exact evaluation: top-1, top-5 and loss as counts summed over all ranks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

from randwire.model.network import RandWire, folded

Batches = Iterable[tuple[Tensor, Tensor]]


class Normalise(nn.Module):
    """Images (B, 3, H, W) in 0..255 units to normalised float32: (x - mean) / std by channel."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return (images.to(torch.float32) - self.mean).div_(self.std)


@dataclass(frozen=True)
class Scores:
    """What an evaluation counts. Top-5 of fewer than five classes counts all of them."""

    images: int
    top1: int
    top5: int
    loss: float  # sum of the cross-entropies, without label smoothing

    def to_row(self) -> dict[str, float]:
        """Percent of images, and mean loss."""
        return {
            "val_loss": self.loss / self.images,
            "val_top1": 100 * self.top1 / self.images,
            "val_top5": 100 * self.top5 / self.images,
        }


@torch.no_grad()
def evaluate(network: RandWire, batches: Batches, normalise: Normalise, precision: str = "fp32") -> Scores:
    """Scores over the batches of all ranks, by a copy of `network` with folded BN, in bf16 if `precision` says so.

    Raises ValueError if there is no image on any rank.
    """
    device = normalise.mean.device
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    copy = folded(network).to(kind)
    counts = torch.zeros(4, dtype=torch.float64, device=device)
    for images, labels in batches:
        logits = copy(normalise(images.to(device, non_blocking=True)).to(kind)).float()
        labels = labels.to(device, non_blocking=True)
        hits = logits.topk(min(5, logits.shape[1])).indices == labels[:, None]
        loss = functional.cross_entropy(logits, labels, reduction="sum")
        counts += torch.stack([hits.new_tensor(len(labels), dtype=torch.float64), hits[:, 0].sum(), hits.sum(), loss])
    if distributed.is_initialized():
        distributed.all_reduce(counts)
    seen, top1, top5, loss_sum = counts.tolist()
    if not seen:
        raise ValueError("the validation split holds no image")
    return Scores(round(seen), round(top1), round(top5), loss_sum)
