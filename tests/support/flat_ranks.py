"""Ranks in processes that train a network by DistributedDataParallel, and again by flat steps."""

import os
import random
import traceback
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import connection
from pathlib import Path
from typing import Any, NamedTuple

import commands
import torch
from killed_ranks import CONTEXT, start_server
from torch import Tensor, distributed, nn

from randwire import graphs
from randwire.config import NetworkConfig, TrainConfig
from randwire.model.network import RandWire
from randwire.model.regimes import random_stages
from randwire.training.loop import average_buffers, seed_epoch
from randwire.training.optim import make_optimizer
from randwire.training.step import FlatStep, Step, make_step

STEPS, BATCH = 5, 4
BASE = {"regime": "tiny", "channels": 4, "head": 8}
Numbers = Mapping[str, Tensor]
Results = Mapping[int, Sequence[Sequence[tuple[Numbers, Numbers]]]]
"""By the number of ranks, for each of them and each case: by DistributedDataParallel, and by flat steps."""


class Case(NamedTuple):
    """What is trained: keys of the network and of the training, and whether one more parameter is never used."""

    network: Mapping[str, object] = {}
    train: Mapping[str, object] = {}
    kind: torch.dtype = torch.float64
    unused: bool = False
    recompute: bool = False
    channel_multiple: int = 1


FP32 = torch.float32
CASES = {
    "sgd": Case(),
    "nesterov, clipped": Case(train={"nesterov": True, "clip_norm": 0.5, "weight_decay": 0.01}),
    "adam, drop edge": Case({"drop_edge": 1.0}, {"optimizer": "adam"}),
    "adamw, ranks drop edges of their own": Case(
        {"drop_edge": 1.0, "drop_edge_ranks": "independent"}, {"optimizer": "adamw", "decay_vectors": True}
    ),
    "dropout, no smoothing, recomputed": Case({"dropout": 0.5}, {"label_smoothing": 0.0}, recompute=True),
    "channels of a multiple": Case(channel_multiple=8),
    "a parameter that is not used": Case(train={"clip_norm": 1.0}, unused=True),
    "fp32": Case(train={"weight_decay": 0.01}, kind=FP32),
    "fp32, adam": Case(train={"optimizer": "adam"}, kind=FP32),
}


class WithUnused(nn.Module):
    """A network with a parameter that the loss does not depend on, between others that it does depend on."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.before = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))
        self.unused = nn.Parameter(torch.tensor([1.0]))
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network(x * self.before[:, None, None])
        return out


def network_of(case: Case) -> nn.Module:
    generator = graphs.parse("ws:k=4,p=0.75")
    dags = {name: generator.sample(nodes, random.Random(name)).dag for name, nodes in random_stages("tiny", 6).items()}
    torch.manual_seed(1)
    network: nn.Module = RandWire(
        NetworkConfig.model_validate({**BASE, **case.network}),
        dags,
        3,
        recompute=case.recompute,
        channel_multiple=case.channel_multiple,
    )
    if case.unused:
        network = WithUnused(network)
    return network.to(dtype=case.kind, memory_format=torch.channels_last).train()  # type: ignore[call-overload,no-any-return]


def normalise(images: Tensor) -> Tensor:
    return images / 100


def trained(case: Case, make: Callable[..., Step], rank: int = 0, ranks: int = 1, steps: int = STEPS) -> Numbers:
    """The losses of the steps, and the parameters and running statistics after them, by name."""
    network = network_of(case)
    config = TrainConfig.model_validate(case.train)
    step = make(network, make_optimizer(network, config), config)
    seed_epoch(network, 0, 1, rank)
    losses = []
    for number in range(steps):
        stream = torch.Generator().manual_seed(100 * number + rank)
        images = 255 * torch.rand(BATCH, 3, 16, 16, generator=stream, dtype=torch.float64).to(case.kind)
        labels = torch.randint(3, (BATCH,), generator=stream)
        losses.append(step(images, labels, 0.25 / (number + 1)).clone())
    step.close()
    if ranks > 1:
        average_buffers(network, ranks)
    return {"losses": torch.stack(losses), **{name: value.clone() for name, value in network.state_dict().items()}}


def _rank(cases: Sequence[Case], rank: int, ranks: int, folder: Path) -> None:
    torch.set_num_threads(1)
    os.dup2(os.open(folder / f"{ranks}-{rank}.txt", os.O_WRONLY | os.O_CREAT), 2)
    code = 1
    try:
        distributed.init_process_group("gloo", init_method=f"file://{folder}/{ranks}", rank=rank, world_size=ranks)
        results: list[Any] = []
        for case in cases:

            def ddp(network: nn.Module, *others: Any, unused: bool = case.unused) -> Step:
                return make_step(network, others[0], normalise, others[1], ranks=ranks, whole=not unused)

            def flat(network: nn.Module, *others: Any) -> Step:
                if rank:
                    with torch.no_grad():
                        for value in network.parameters():
                            value.zero_()  # the first rank's are those that count
                return FlatStep(network, others[0], normalise, others[1], ranks)

            results.append(tuple(trained(case, make, rank, ranks) for make in (ddp, flat)))
        torch.save(results, folder / f"{ranks}-{rank}.pt")
        code = 0
    except BaseException:
        traceback.print_exc()
    os._exit(code)


def both(cases: Sequence[Case], counts: Sequence[int], folder: Path) -> Results:
    """What the cases give on each of these numbers of ranks."""
    start_server()
    places = [(rank, ranks) for ranks in counts for rank in range(ranks)]
    processes = [CONTEXT.Process(target=_rank, args=(cases, *place, folder)) for place in places]
    for process in processes:
        process.start()
    try:
        connection.wait([process.sentinel for process in processes], commands.PATIENCE)
        for process in processes:
            process.join(commands.PATIENCE)
        told = [path.read_text() for path in sorted(folder.glob("*.txt"))]
        assert [process.exitcode for process in processes] == [0] * len(processes), "\n".join(told)
    finally:
        for process in processes:
            process.kill()
            process.join()
    return {ranks: [torch.load(folder / f"{ranks}-{rank}.pt") for rank in range(ranks)] for ranks in counts}
