"""Several ranks: what a sweep calls, on all GPUs of the machine, one rank each; on a single one, one rank of NCCL."""

import os
import socket
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from statistics import median
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn.parallel import DistributedDataParallel

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.older import known
from benchmarks.gpu.processes import ENDED, FAILED, Process, Tell, told_by_all
from benchmarks.gpu.right import error
from benchmarks.gpu.training import Given, Way, computing, network_of, normaliser, numbers_of, step_of
from randwire.training.evaluate import evaluate
from randwire.training.loop import average_buffers, seed_epoch
from randwire.training.optim import make_optimizer
from randwire.training.step import DDP_OPTIONS, EagerStep, Step

STEPS, BLOCKS, LR = 5, 5, 0.02
GRADIENTS = 5_620_000
"""Parameters of `small`, about."""
WAYS = (Way("fp32"), Way("fp32", "captured"), Way("bf16"), Way("bf16", "captured"))
ALLOWED = {"fp32": 1e-3, "bf16": 5e-2}
"""How far what DDP and a captured step have changed may be apart, as a share, by precision."""
MORE_S = 20.0
"""Seconds beyond the section's time in which ranks that have begun must end: less than the section itself has."""
CHANGES = "changes"
"""A kind of what ranks tell: a way, and what its steps have changed the parameters by."""


def measure(bench: Bench) -> None:
    """Train on all of them, and compare what the ranks have come to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    count = _devices(bench) if bench.cuda else 2
    processes = [Process(_rank, bench, rank, count, port) for rank in range(count)]
    told = told_by_all(processes, bench.until + MORE_S)
    for kind, value in (one for of_rank in told for one in of_rank if one.kind not in (ENDED, FAILED, CHANGES)):
        bench.tell(kind, value)
    failed = [f"rank {rank}: {of_rank[-1].value}" for rank, of_rank in enumerate(told) if of_rank[-1].kind == FAILED]
    if failed:
        raise RuntimeError("; ".join(failed))
    _judge(bench, [one.value for of_rank in told for one in of_rank if one.kind == CHANGES])


def _judge(bench: Bench, told: Sequence[tuple[str, list[float]]]) -> None:
    """All ranks must have come to one network, and to nearly the same one by every step of a precision."""
    changes: dict[str, list[Tensor]] = {}
    for name, values in told:
        changes.setdefault(name, []).append(torch.tensor(values, dtype=torch.float64))
    for way in WAYS:
        first, *others = changes[way.name]
        if any(not torch.equal(first, other) for other in others):
            bench.wrong(f"{way.name}: the ranks have come to different networks")
        off = error(first, changes[Way(way.precision).name][0])
        if not off <= ALLOWED[way.precision]:
            bench.wrong(f"{way.name}: the changes of the parameters are off by {off:.1e} of those of DDP")


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
        for way in WAYS:
            with computing(way, device):
                _train(mine, rank, ranks, way)
        _messages(mine, rank, ranks)
    finally:
        distributed.destroy_process_group()


def _train(bench: Bench, rank: int, ranks: int, way: Way) -> None:
    """Steps of one network on images that differ by rank, then what a training does after its last step."""
    config = bench.config("digits", {"network.drop_edge": 1.0})
    network = network_of(bench, config, way).to(bench.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    settings = config.train.model_copy(update={"precision": way.precision})
    step: Step
    if way.step == "eager":
        wrapped = DistributedDataParallel(network, **ddp_options())
        step = EagerStep(wrapped, make_optimizer(network, settings), normaliser(bench.device), settings)
    else:
        step = step_of(bench, network, config, way, ranks)
    seed_epoch(network, 0, 1, 0)
    images, labels = bench.images(8 if bench.dry else 64, 32, seed=rank)
    before = numbers_of(network)
    losses = torch.stack([step(images, labels, LR).clone() for _ in range(STEPS)]).tolist()
    bench.tell(CHANGES, (way.name, (numbers_of(network) - before).tolist()))
    milliseconds = _time(bench, lambda: step(images, labels, LR))
    step.close()
    if rank == 0:
        name = f"{ranks} rank(s), {way.name}{', DDP' if way.step == 'eager' else ''}"
        bench.row(name, first_loss=losses[0], last_loss=losses[-1], ms=milliseconds, n=BLOCKS)
    average_buffers(network, ranks)
    scores = evaluate(network, Given(bench, 8, 32, 2), normaliser(bench.device))
    if scores.images != 2 * 8 * ranks:
        bench.wrong(f"rank {rank}: counts {scores.images} images instead of {2 * 8 * ranks}")


def _messages(bench: Bench, rank: int, ranks: int) -> None:
    """What else ranks send each other."""
    distributed.barrier()
    box = [{"rank": rank}]
    if find_spec("numpy"):  # PyTorch needs it for objects
        distributed.broadcast_object_list(box)
        if box != [{"rank": 0}]:
            bench.wrong(f"rank {rank}: was sent {box}")
    elif rank == 0:
        bench.note("objects are not sent between ranks: that needs NumPy, which is not there")
    flat = torch.zeros(1000 if bench.dry else GRADIENTS, device=bench.device)
    exchange = _time(bench, lambda: distributed.all_reduce(flat))
    if rank == 0:
        rate = flat.numel() * 4 / exchange / 1e6 if ranks > 1 else None  # one alone sends nothing
        bench.row(f"{ranks} rank(s): gradients of small", ms=exchange, GBs=rate)


def _time(bench: Bench, step: Callable[[], object]) -> float:
    """Median milliseconds of a step. All ranks do equally many, or some would wait for others for ever."""
    steps = 1 if bench.dry else 20
    bench.block(step, steps)
    return median(bench.block(step, steps) / steps for _ in range(BLOCKS))


def ddp_options() -> dict[str, Any]:
    """Those of a training; an older PyTorch has another name for the first of them."""
    options = known(DistributedDataParallel.__init__, DDP_OPTIONS)
    return options if "forward_sync_buffers" in options else {**options, "broadcast_buffers": False}
