"""Exact evaluation over all ranks: the metrics of `metrics.EVALUATION` as counts, and which images are right."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, nn

from randwire.metrics import EVALUATION, Outputs
from randwire.model.folding import folded
from randwire.training.transfer import Batches, sent

if TYPE_CHECKING:
    from randwire.correct import Bits  # a network in use needs no NumPy


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
    hits: Tensor = field(repr=False, compare=False)
    """(images,) bool, on the host: whether top-1 counts the image, by its place among those that are evaluated."""

    @property
    def correct(self) -> "Bits":
        """The hits as an array of NumPy, which nothing else here needs."""
        bits: Bits = self.hits.numpy()
        return bits

    def to_row(self, test: bool = False) -> dict[str, float]:
        """Means over the images by the key of the metric, or of its `test`; shares of them in percent."""
        return {
            (metric.test if test else metric).key: metric.mean(self.totals[metric.key], self.images)
            for metric in EVALUATION
        }


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Products and convolutions in fp32 while the block lasts: no autocast, and neither TF32 nor bf16 in its place.

    PyTorch's own default is TF32 for convolutions on CUDA. What was set before is set again afterwards.
    """
    backends: Any = torch.backends
    settings = [backends.cudnn.conv, backends.cuda.matmul, backends.mkldnn.conv, backends.mkldnn.matmul]
    before = [setting.fp32_precision for setting in settings]
    try:
        for setting in settings:
            setting.fp32_precision = "ieee"
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        for setting, value in zip(settings, before, strict=True):
            setting.fp32_precision = value


@torch.no_grad()
def evaluate(network: nn.Module, batches: Batches, normalise: Normalise, captured: bool = False) -> Scores:
    """Scores over the batches of all ranks, by a copy of `network` with folded BN; a published network as it is.

    In fp32, whatever the network was trained in: bf16 has 8 significant bits, so that the two highest logits of an
    image are often equal, and a tie says nothing of the network. Rank r must be given the images r, r + ranks, ..., as
    `data.Loader` gives them. The host waits for no batch, but for the sums. `captured`, full batches are replayed as a
    CUDA graph. Raises ValueError if there is no image on any rank.
    """
    device = normalise.mean.device
    copy = folded(network).float()
    images_seen, totals = 0, torch.zeros(len(EVALUATION), dtype=torch.float64, device=device)
    hits = [torch.zeros(0, dtype=torch.bool, device=device)]  # a rank may have no image
    with full_precision(device), _calling(lambda images: copy(normalise(images)), captured) as logits:
        for images, labels in sent(batches, device):
            outputs = Outputs(logits(images), labels)
            images_seen += len(labels)
            totals += torch.stack([metric.count(outputs).to(torch.float64) for metric in EVALUATION])
            hits.append(outputs.hits[:, 0])
    images_seen, totals, of_all = _of_all_ranks(images_seen, totals, torch.cat(hits))
    if not images_seen:
        raise ValueError("the validation split holds no image")
    values = torch.cat([totals, of_all.to(torch.float64)]).cpu()
    return Scores(
        images_seen,
        {metric.key: total for metric, total in zip(EVALUATION, values[: len(EVALUATION)].tolist(), strict=True)},
        values[len(EVALUATION) :].bool(),
    )


@contextmanager
def _calling(function: Callable[[Tensor], Tensor], captured: bool) -> Iterator[Callable[[Tensor], Tensor]]:
    """The function, or a graph in its place while the block lasts."""
    if not captured:
        yield function
        return
    from randwire.training.graphs import Graphs

    with closing(Graphs()) as graphs:
        yield graphs.of_first_shape(function)


def _of_all_ranks(images: int, totals: Tensor, hits: Tensor) -> tuple[int, Tensor, Tensor]:
    """The images, totals and hits of all ranks, these by the place of the image: hit i of rank r is r + i * ranks."""
    if not distributed.is_initialized():
        return images, totals, hits
    counts = torch.cat([totals, totals.new_full((1,), images)])
    distributed.all_reduce(counts)
    images = round(counts[-1].item())
    marks = torch.zeros(images, dtype=torch.uint8, device=hits.device)
    marks[distributed.get_rank() :: distributed.get_world_size()] = hits.to(torch.uint8)
    distributed.all_reduce(marks)
    return images, counts[:-1], marks
