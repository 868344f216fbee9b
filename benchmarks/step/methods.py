"""What is measured: ways to do a step of training or of inference."""

import copy
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor, nn

from benchmarks.step import peers
from benchmarks.step.baseline import plain
from randwire.config import RunConfig, TrainConfig
from randwire.dag import DAG
from randwire.model.folding import folded
from randwire.model.network import RandWire
from randwire.model.node import Node
from randwire.model.ops._depthwise import Depthwise
from randwire.training.optim import make_optimizer
from randwire.training.step import train_step
from randwire.wiring import sample_graphs

CLASSES = 1000
TRAINING, INFERENCE = "training", "inference"
PLAIN, FP32, BF16 = "plain eager, fp32", "randwire, fp32", "randwire, bf16"
COMPILED = "aggregation compiled"
"""What `runtime.compile` does."""
MAX_RECOMPILATIONS = 256
"""More than there are kinds of nodes in a network: beyond its usual limit of 8 PyTorch leaves the rest as it is."""
Step = Callable[[], object]


@dataclass(frozen=True)
class Method:
    """One way to do a step, training or inference. `make` builds its network for `batch` images of `side` pixels."""

    phase: str
    name: str
    make: Callable[[int, int], Step]


def methods(
    config: RunConfig, device: torch.device, compiled: bool = False, clones: Path | None = None
) -> list[Method]:
    """What is measured, in the order of a round; all but public implementations start from the same parameters."""
    ours, (stacked, loop) = networks(config)
    recomputing = RandWire(config.network, _dags(config), CLASSES, recompute=True)
    recomputing.load_state_dict(ours.state_dict())

    def images(batch: int, side: int, layout: torch.memory_format, kind: torch.dtype) -> Tensor:
        stream = torch.Generator().manual_seed(0)
        drawn = torch.randn(batch, 3, side, side, generator=stream)
        return drawn.to(device, kind, memory_format=layout)

    def training(
        name: str,
        network: nn.Module,
        precision: str,
        layout: torch.memory_format = torch.channels_last,
        around: Callable[[], AbstractContextManager[object]] = nullcontext,
        compiled: Callable[[nn.Module], Iterable[nn.Module]] = lambda network: (),
    ) -> Method:
        def make(batch: int, side: int) -> Step:
            copied = copy.deepcopy(network).train().to(device, memory_format=layout)  # type: ignore[call-overload]
            for module in compiled(copied):
                module.compile(dynamic=False, recompile_limit=MAX_RECOMPILATIONS)
            inputs, labels = images(batch, side, layout, torch.float32), torch.arange(batch, device=device)
            settings = TrainConfig.model_validate({"precision": precision})
            update = make_optimizer(copied, settings)

            def step() -> None:
                with around():
                    train_step(copied, update, inputs, labels, settings)

            return step

        return Method(TRAINING, name, make)

    def inference(
        name: str, network: nn.Module, kind: torch.dtype, layout: torch.memory_format = torch.channels_last
    ) -> Method:
        def make(batch: int, side: int) -> Step:
            copied = copy.deepcopy(network).eval().to(device, kind, memory_format=layout)  # type: ignore[call-overload]
            inputs = images(batch, side, layout, kind)

            def step() -> None:
                with torch.no_grad():
                    copied(inputs)

            return step

        return Method(INFERENCE, name, make)

    fp32, bf16, nchw = torch.float32, torch.bfloat16, torch.contiguous_format
    all_methods = [
        training(PLAIN, stacked, "fp32", nchw),
        training("the same, without stack", loop, "fp32", nchw),
        training("the same, without stack, NHWC, bf16", loop, "bf16"),
        training(FP32, ours, "fp32"),
        training("randwire, bf16, but NCHW", ours, "bf16", nchw),
        training("randwire, bf16, but PyTorch's gradient", ours, "bf16", around=slow_gradient),
        training(BF16, ours, "bf16"),
        training("randwire, bf16, recompute", recomputing, "bf16"),
        inference(PLAIN, stacked, fp32, nchw),
        inference("the same, without stack, NHWC, bf16", loop, bf16),
        inference(FP32, folded(ours), fp32),
        inference("randwire, bf16, but BN not folded", ours, bf16),
        inference(BF16, folded(ours), bf16),
    ]
    if clones is not None:
        for name, network in peers.networks(clones, config.network, _dags(config), CLASSES).items():
            all_methods += [training(name, network, "fp32", nchw), inference(name, network, fp32, nchw)]
    if device.type != "cpu":
        all_methods = [method for method in all_methods if "PyTorch's gradient" not in method.name]
    if compiled:
        kernels = RandWire(config.network, _dags(config), CLASSES, compiled=True)
        kernels.load_state_dict(ours.state_dict())
        all_methods += [
            training(f"{FP32}, {COMPILED}", kernels, "fp32"),
            training(f"{BF16}, {COMPILED}", kernels, "bf16"),
            training(f"{BF16}, nodes compiled", ours, "bf16", compiled=_nodes),
            training(f"{BF16}, whole network compiled", ours, "bf16", compiled=lambda network: (network,)),
        ]
    return all_methods


def _nodes(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, Node)]


def networks(config: RunConfig) -> tuple[RandWire, tuple[nn.Module, nn.Module]]:
    """Ours, and the baseline with and without stacking, of equal parameters and statistics."""
    torch.manual_seed(0)
    dags = _dags(config)
    ours = RandWire(config.network, dags, CLASSES)
    for module in ours.modules():
        if isinstance(module, nn.BatchNorm2d):
            # Values that a folded BN could not get right by chance.
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
        elif isinstance(module, Node) and module.aggregation is not None:
            nn.init.normal_(module.aggregation)
    stacked, loop = (plain(config.network, dags, CLASSES, stacks) for stacks in (True, False))
    for network in (stacked, loop):
        network.load_state_dict(ours.state_dict())
    return ours, (stacked, loop)


def _dags(config: RunConfig) -> dict[str, DAG]:
    return {stage: sample.dag for stage, sample in sample_graphs(config).items()}


def slow_gradient() -> AbstractContextManager[object]:
    """Depthwise convolutions with PyTorch's own gradient."""
    return mock.patch.object(Depthwise, "forward", nn.Conv2d.forward)
