"""Several ranks: what a sweep calls, on all GPUs of the machine, one rank each; on a single one, one rank of NCCL."""

import os
import socket
from collections.abc import Callable
from importlib.util import find_spec
from statistics import median
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn.parallel import DistributedDataParallel

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.older import known
from benchmarks.gpu.processes import ENDED, FAILED, Process, Tell
from benchmarks.gpu.training import Given, Way, computing, network_of, normaliser
from randwire.training.evaluate import evaluate
from randwire.training.loop import average_buffers
from randwire.training.optim import make_optimizer
from randwire.training.step import DDP_OPTIONS, train_step

STEPS, BLOCKS = 5, 5
SUM = "sum"
"""A kind of what ranks tell: the sum of the parameters of their network."""


def measure(bench: Bench) -> None:
    """Train on all of them, and compare what the ranks have come to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    count = _devices(bench) if bench.cuda else 2
    processes = [Process(_rank, bench, rank, count, port) for rank in range(count)]
    try:
        told = [list(process.told(bench.until)) for process in processes]
    finally:
        for process in processes:
            process.stop()
    for kind, value in (one for of_rank in told for one in of_rank if one.kind not in (ENDED, FAILED, SUM)):
        bench.tell(kind, value)
    failed = [f"rank {rank}: {of_rank[-1].value}" for rank, of_rank in enumerate(told) if of_rank[-1].kind == FAILED]
    if failed:
        raise RuntimeError("; ".join(failed))
    sums = [value for of_rank in told for kind, value in of_rank if kind == SUM]
    if len(set(sums)) > 1:
        bench.wrong(f"the ranks have come to different networks: sums of the parameters {sums}")


def _devices(bench: Bench) -> int:
    """How many GPUs there are, asked in another process: this one goes on to fork."""
    counted = [value for kind, value in Process(_count).told(bench.until) if kind == "count"]
    return counted[0] if counted else 0


def _count(tell: Tell) -> None:
    tell("count", torch.cuda.device_count())


def _rank(tell: Tell, bench: Bench, rank: int, ranks: int, port: int) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(ranks))
    device = torch.device("cuda", rank) if bench.cuda else bench.device
    if bench.cuda:
        torch.cuda.set_device(device)
    mine = Bench(device, bench.dry, bench.until, tell)
    options: dict[str, Any] = {"device_id": device} if bench.cuda else {}
    distributed.init_process_group("nccl" if bench.cuda else "gloo", **options)
    try:
        with computing("bf16", device):
            _train(mine, rank, ranks)
    finally:
        distributed.destroy_process_group()


def _train(bench: Bench, rank: int, ranks: int) -> None:
    """Steps of one network on images that differ by rank, then what a training does after its last step."""
    config = bench.config("digits", {"train.precision": "bf16", "network.drop_edge": 1.0})
    network = network_of(bench, config, Way()).to(bench.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    wrapped = DistributedDataParallel(network, **ddp_options())
    optimizer, normalise = make_optimizer(network, config.train), normaliser(bench.device)
    images, labels = bench.images(8 if bench.dry else 64, 32, seed=rank)

    def step() -> Tensor:
        return train_step(wrapped, optimizer, normalise(images), labels, config.train)

    losses = [step().item() for _ in range(STEPS)]
    average_buffers(network, ranks)
    milliseconds = _time(bench, step)
    distributed.barrier()
    box = [{"rank": rank}]
    if find_spec("numpy"):  # PyTorch needs it for objects
        distributed.broadcast_object_list(box)
    elif rank == 0:
        bench.note("objects are not sent between ranks: that needs NumPy, which is not there")
    scores = evaluate(network, Given(bench, 8, 32, 2), normalise)
    flat = torch.zeros(1000 if bench.dry else 5_620_000, device=bench.device)
    exchange = _time(bench, lambda: distributed.all_reduce(flat))
    # All ranks have the sums of one network, and agree on the object of the first.
    bench.tell(SUM, torch.cat([p.detach().double().flatten() for p in network.parameters()]).sum().item())
    if (find_spec("numpy") and box != [{"rank": 0}]) or scores.images != 2 * 8 * ranks:
        bench.wrong(f"rank {rank}: was sent {box}, and counts {scores.images} images instead of {2 * 8 * ranks}")
    if rank == 0:
        bench.row(f"{ranks} rank(s), DDP", first_loss=losses[0], last_loss=losses[-1], ms=milliseconds, n=BLOCKS)
        bench.row(f"{ranks} rank(s): gradients of small", ms=exchange, GBs=flat.numel() * 4 / exchange / 1e6)


def _time(bench: Bench, step: Callable[[], object]) -> float:
    """Median milliseconds of a step. All ranks do equally many, or some would wait for others for ever."""
    steps = 1 if bench.dry else 20
    bench.block(step, steps)
    return median(bench.block(step, steps) / steps for _ in range(BLOCKS))


def ddp_options() -> dict[str, Any]:
    """Those of a training; an older PyTorch has another name for the first of them."""
    options = known(DistributedDataParallel.__init__, DDP_OPTIONS)
    return options if "forward_sync_buffers" in options else {**options, "broadcast_buffers": False}
