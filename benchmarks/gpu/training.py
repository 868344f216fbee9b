"""Ways to train a network, each by the functions of a real training."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from benchmarks.gpu.bench import Bench, graphs
from randwire.config import RunConfig
from randwire.model.network import RandWire
from randwire.training.evaluate import Normalise
from randwire.training.optim import make_optimizer
from randwire.training.precision import computing as precisely
from randwire.training.step import train_step

Precision = Literal["fp32", "tf32", "bf16"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "tf32", "bf16")


@dataclass(frozen=True)
class Way:
    """One way to train, as the keys of a configuration choose it."""

    precision: Precision = "bf16"
    recompute: bool = False
    tuned: bool = True
    """Whether cuDNN measures its kernels (`cudnn.benchmark`)."""

    @property
    def name(self) -> str:
        extra = ["recompute"] * self.recompute + ["cudnn.benchmark off"] * (not self.tuned)
        return ", ".join([f"eager {self.precision}", *extra])


@dataclass(frozen=True)
class Trainee:
    """A network in training: `step` takes uint8 images (B, 3, S, S) and labels on the device, and gives the loss."""

    network: nn.Module
    step: Callable[[Tensor, Tensor], Tensor]


@contextmanager
def computing(precision: Precision, device: torch.device, tuned: bool = True) -> Iterator[None]:
    """As a training in this precision; unless `tuned`, cuDNN takes the kernels that it takes unasked."""
    with precisely(precision, device):
        before = torch.backends.cudnn.benchmark
        torch.backends.cudnn.benchmark = before and tuned
        try:
            yield
        finally:
            torch.backends.cudnn.benchmark = before


def network_of(bench: Bench, config: RunConfig, way: Way, seed: int = 0) -> RandWire:
    """The network on the CPU, with the initial weights of a seed: the same in every way."""
    torch.manual_seed(seed)
    return RandWire(config.network, graphs(config), bench.classes, way.recompute)


@contextmanager
def training(bench: Bench, config: RunConfig, way: Way, weights: dict[str, Tensor] | None = None) -> Iterator[Trainee]:
    """A network in training on the device, from `weights` or its initial ones; `config.train` says the rest."""
    network = network_of(bench, config, way)
    if weights is not None:
        network.load_state_dict(weights)
    network.to(bench.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    settings = config.train.model_copy(update={"precision": way.precision})
    optimizer = make_optimizer(network, settings)
    normalise = normaliser(bench.device)

    def step(images: Tensor, labels: Tensor) -> Tensor:
        return train_step(network, optimizer, normalise(images), labels, settings)

    with computing(way.precision, bench.device, way.tuned):
        yield Trainee(network, step)


def normaliser(device: torch.device) -> Normalise:
    """That of images of any set; uniform noise has about this deviation."""
    return Normalise((127.5, 127.5, 127.5), (73.9, 73.9, 73.9)).to(device)


class Given:
    """Batches as the loader hands them out: each in new memory, page-locked for a GPU."""

    def __init__(self, bench: Bench, count: int, side: int, batches: int) -> None:
        self.bench, self.count, self.side, self.batches = bench, count, side, batches

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        stream = torch.Generator().manual_seed(3)
        for _ in range(self.batches):
            shape = self.count, self.side, self.side, 3
            images = torch.empty(shape, dtype=torch.uint8, pin_memory=self.bench.device.type == "cuda")
            labels = torch.randint(0, self.bench.classes, (self.count,), generator=stream)
            yield images.random_(0, 256, generator=stream).permute(0, 3, 1, 2), labels
