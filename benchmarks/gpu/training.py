"""Ways to train a network, each by the functions of a real training."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal
from unittest import mock

import torch
from torch import Tensor, nn

from benchmarks.gpu.bench import Bench, graphs
from benchmarks.gpu.older import compiling
from randwire.config import RunConfig
from randwire.model.network import RandWire
from randwire.model.ops import _pointwise
from randwire.training.evaluate import Normalise
from randwire.training.kernels import prepare_kernels
from randwire.training.loop import seed_epoch
from randwire.training.optim import make_optimizer
from randwire.training.precision import computing as precisely
from randwire.training.step import CapturedStep, EagerStep, FlatStep, Step

Precision = Literal["fp32", "tf32", "bf16"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "tf32", "bf16")
Kind = Literal["eager", "flat", "captured"]


@dataclass(frozen=True)
class Way:
    """One way to train, as the keys of a configuration choose it."""

    precision: Precision = "bf16"
    step: Kind = "eager"
    recompute: bool = False
    compiled: bool = False
    linear: bool = False
    """Whether 1x1 convolutions are products of matrices; else they are convolutions."""
    multiple: int = 1
    """Of which the channels of images in random stages are stored."""
    tuned: bool = True
    """Whether cuDNN measures its kernels (`cudnn.benchmark`)."""

    @property
    def name(self) -> str:
        extra = [
            *(["recompute"] * self.recompute),
            *(["aggregation compiled"] * self.compiled),
            *(["1x1 as products"] * self.linear),
            *([f"channels in {self.multiple}s"] * (self.multiple > 1)),
            *(["cudnn.benchmark off"] * (not self.tuned)),
        ]
        return ", ".join([f"{self.step} {self.precision}", *extra])


@dataclass(frozen=True)
class Trainee:
    """A network in training: `step` takes uint8 images (B, 3, S, S) and labels on the device, and gives the loss."""

    network: nn.Module
    step: Callable[[Tensor, Tensor], Tensor]


@contextmanager
def computing(way: Way, device: torch.device) -> Iterator[None]:
    """As a training in this way, while the block lasts."""
    with precisely(way.precision, device), mock.patch.object(_pointwise, "AS_LINEAR", way.linear), compiling():
        before = torch.backends.cudnn.benchmark
        torch.backends.cudnn.benchmark = before and way.tuned
        try:
            yield
        finally:
            torch.backends.cudnn.benchmark = before


def network_of(bench: Bench, config: RunConfig, way: Way) -> RandWire:
    """The network on the CPU, with the same initial weights in every way."""
    torch.manual_seed(0)
    return RandWire(config.network, graphs(config), bench.classes, way.recompute, way.compiled, way.multiple)


def numbers_of(network: nn.Module) -> Tensor:
    """All parameters as one vector in fp64, on the CPU."""
    return torch.cat([parameter.detach().double().cpu().flatten() for parameter in network.parameters()])


def step_of(bench: Bench, network: nn.Module, config: RunConfig, way: Way, ranks: int = 1) -> Step:
    """How the network is trained. Graphs need a GPU: without one the step that they would replay is done as it is."""
    settings, normalise = config.train.model_copy(update={"precision": way.precision}), normaliser(bench.device)
    optimizer = make_optimizer(network, settings, captured=way.step == "captured")
    if way.step == "eager":
        return EagerStep(network, optimizer, normalise, settings)
    step = FlatStep(network, optimizer, normalise, settings, ranks)
    return CapturedStep(step) if way.step == "captured" and bench.cuda else step


@contextmanager
def training(bench: Bench, config: RunConfig, way: Way, weights: dict[str, Tensor] | None = None) -> Iterator[Trainee]:
    """A network in training on the device, from `weights` or its initial ones; `config.train` says the rest."""
    network = network_of(bench, config, way)
    if weights is not None:
        network.load_state_dict(weights)
    network.to(bench.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    with ExitStack() as stack:
        stack.enter_context(computing(way, bench.device))
        if way.compiled:
            prepare_kernels(graphs(config), bench.device, way.precision, report=False)
        step = step_of(bench, network, config, way)
        stack.callback(step.close)
        seed_epoch(network, config.train.seed, 1, 0)
        yield Trainee(network, lambda images, labels: step(images, labels, config.train.lr))


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
