"""Exact evaluation: the metrics of `metrics.EVALUATION` as counts summed over all ranks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn

from randwire.metrics import EVALUATION, Outputs
from randwire.model.folding import folded
from randwire.model.network import RandWire

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
    """What an evaluation counts."""

    images: int
    totals: Mapping[str, float]
    """Sums over the images, by the key of the metric."""

    def to_row(self, test: bool = False) -> dict[str, float]:
        """Means over the images by the key of the metric, or of its `test`; shares of them in percent."""
        return {
            (metric.test if test else metric).key: metric.mean(self.totals[metric.key], self.images)
            for metric in EVALUATION
        }


@torch.no_grad()
def evaluate(network: nn.Module, batches: Batches, normalise: Normalise, precision: str = "fp32") -> Scores:
    """Scores over the batches of all ranks, by a copy of `network` with folded BN, in bf16 if `precision` says so.

    A published network is evaluated as it is, in bf16 with autocast. Raises ValueError if there is no image on any
    rank.
    """
    device = normalise.mean.device
    low = precision == "bf16"
    ours = isinstance(network, RandWire)
    kind = torch.bfloat16 if low and ours else torch.float32
    copy = folded(network).to(kind)
    counts = torch.zeros(1 + len(EVALUATION), dtype=torch.float64, device=device)
    for images, labels in batches:
        pixels = normalise(images.to(device, non_blocking=True)).to(kind)
        with torch.autocast(device.type, torch.bfloat16, enabled=low and not ours):
            logits = copy(pixels).float()
        outputs = Outputs(logits, labels.to(device, non_blocking=True))
        counts[0] += len(labels)
        counts[1:] += torch.stack([metric.count(outputs).to(torch.float64) for metric in EVALUATION])
    if distributed.is_initialized():
        distributed.all_reduce(counts)
    images_seen, *totals = counts.tolist()
    if not images_seen:
        raise ValueError("the validation split holds no image")
    return Scores(round(images_seen), {metric.key: total for metric, total in zip(EVALUATION, totals, strict=True)})
