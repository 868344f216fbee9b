"""How fast is a step of training? In every way, against the network as one would write it and the device's memory."""

import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.gpu import epochs
from benchmarks.gpu.bench import Bench, Timing, copy_rate, graphs
from benchmarks.gpu.training import Trainee, Way, computing, normaliser, training
from benchmarks.step.baseline import plain
from randwire.config import RunConfig, TrainConfig
from randwire.training.optim import make_optimizer
from randwire.training.step import train_step

WRITTEN = "as one would write it"
IDEAL_BYTES = 30.1e9
"""What a step of `small` on 256 images in bf16 moves at least, if every chain of operations were one kernel: 7.0 ms at
4.3 TB/s. A calculation from the shapes."""
COMPILATION_S = 30.0
"""Seconds that must be left for the compilation of a network's kernels."""
TIMES_WRITTEN, OF_IDEAL = 3.0, 0.5
"""The goal: so many times as fast as written plainly in bf16, and so much of the speed of IDEAL_BYTES."""


@dataclass(frozen=True)
class Cell:
    """A network on so many images of a side, in some ways."""

    preset: str
    images: int
    side: int
    ways: tuple[Way, ...]
    keys: dict[str, object] = field(default_factory=dict)
    written: bool = False
    """Whether to measure the network as one would write it too."""


FAST = (Way(), Way(step="captured"))
STORED = (
    Way(step="captured", linear=True),
    Way(step="captured", multiple=8),
    Way(step="captured", linear=True, multiple=8),
)
OTHERS = (Way("tf32"), Way("fp32"), Way(step="flat"), Way(tuned=False), Way(recompute=True))
COMPILED = (Way(step="captured", compiled=True), Way(compiled=True))
CELLS = (
    Cell("small", 256, 224, (*FAST, *STORED), written=True),
    Cell("cifar10", 128, 32, FAST),
    Cell("small", 64, 224, FAST),
    Cell("small", 32, 224, FAST),
    Cell("digits", 64, 32, FAST),
    Cell("small", 256, 224, OTHERS),
    Cell("small", 256, 224, FAST, {"network.drop_edge": 1.0}),
    Cell("regular-109", 128, 224, FAST),
    Cell("small", 256, 224, COMPILED),
)  # fmt: skip
"""In order of worth; compilation takes longest."""
DRY_CELLS = (
    Cell("small", 4, 32, FAST, written=True),
    Cell("digits", 4, 32, (Way("fp32"),), {"network.drop_edge": 1.0}),
)


def measure(bench: Bench) -> None:
    """All cells, parts of epochs, and the goals by the cells of the first kind."""
    times: dict[str, float] = {}
    rate, judged = copy_rate(bench), ""
    for cell in DRY_CELLS if bench.dry else CELLS:
        name = f"{cell.preset}, {cell.images} x {cell.side}{''.join(f', {k} {v}' for k, v in cell.keys.items())}"
        config = bench.config(cell.preset, cell.keys)
        ways: list[Way | str] = [*cell.ways]
        if cell.written:  # what the goals are judged by comes before what has never been run
            ways[1:1] = [f"{WRITTEN}, bf16"]
            ways.append(f"{WRITTEN}, fp32")  # which needs the most memory
        for way in ways:
            if isinstance(way, str):
                _case(bench, cell, f"{name}: {way}", partial(_written, bench, config, way.rpartition(" ")[2]), times)
            else:
                _case(bench, cell, f"{name}: {way.name}", partial(training, bench, config, way), times, way)
        if cell.written:
            first = f"{name}: "
        judged = _goals(bench, _of(times, first), rate, judged)
        if cell.written:
            epochs.measure(bench, cell.images, cell.side)


def _of(times: dict[str, float], first: str) -> dict[str, float]:
    """Those of the network and batch that the goals are of."""
    return {name.removeprefix(first): ms for name, ms in times.items() if name.startswith(first)}


def _case(
    bench: Bench, cell: Cell, name: str, make: Callable[[], AbstractContextManager[Trainee]], times: dict[str, float],
    way: Way | None = None,
) -> None:  # fmt: skip
    """Time one way, and keep its milliseconds by its name."""
    if not bench.time_left(name, COMPILATION_S if way and way.compiled else 0.0):
        return
    with bench.case(name, large=True):
        gc.collect()  # networks of earlier cases are in cycles
        if bench.cuda:
            torch.cuda.reset_peak_memory_stats()
        images, labels = bench.images(cell.images, cell.side)
        with make() as trainee:
            if bench.cuda and not (way and way.step == "captured"):  # a replay allocates nothing
                trainee.step(images, labels)  # cuDNN tries kernels, in more memory than it takes
                bench.wait()
                torch.cuda.reset_peak_memory_stats()
            timing: Timing = bench.time(lambda: trainee.step(images, labels))
        peak = torch.cuda.max_memory_allocated() / 2**30 if bench.cuda else 0.0
        bench.row(name, ms=timing.ms, low=timing.low, high=timing.high, host_ms=timing.host_ms,
                  images_s=1000 * cell.images / timing.ms, GiB=peak, n=timing.n)  # fmt: skip
        times[name] = timing.ms


@contextmanager
def _written(bench: Bench, config: RunConfig, precision: str) -> Iterator[Trainee]:
    """The network as one would write it: in fp32 with PyTorch's defaults, in bf16 with channels last too."""
    network: nn.Module = plain(config.network, graphs(config), bench.classes, stacked=precision == "fp32").train()
    layout = torch.channels_last if precision == "bf16" else torch.contiguous_format
    network.to(bench.device, memory_format=layout)  # type: ignore[call-overload]
    settings = TrainConfig.model_validate({"precision": precision})
    optimizer, normalise = make_optimizer(network, settings), normaliser(bench.device)

    def step(images: Tensor, labels: Tensor) -> Tensor:
        return train_step(network, optimizer, normalise(images).contiguous(memory_format=layout), labels, settings)

    with computing(Way("bf16" if precision == "bf16" else "tf32", tuned=precision == "bf16"), bench.device):
        yield Trainee(network, step)


def _goals(bench: Bench, times: dict[str, float], rate: float, judged: str = "") -> str:
    """By the fastest way in bf16, which is returned; nothing is told again if that has been `judged` already.

    None where it or what it is compared with could not be measured. `rate` is that of copies, in TB/s.
    """
    written = times.get(f"{WRITTEN}, bf16")
    ours = {name: ms for name, ms in times.items() if WRITTEN not in name and "bf16" in name}
    best = min(ours, key=lambda name: ours[name], default=None)
    if written is None or best is None:
        if not judged:
            bench.note("goals: the cases that they are judged by were not measured")
        return judged or "none"
    if best == judged:
        return best
    ideal = IDEAL_BYTES / (1e12 * rate) * 1000
    for what, value, least in (
        (f"times the speed of the network {WRITTEN}, bf16", written / ours[best], TIMES_WRITTEN),
        (f"of the speed of {ideal:.1f} ms a step, that of {IDEAL_BYTES / 1e9:.1f} GB", ideal / ours[best], OF_IDEAL),
    ):
        bench.goal(f"{best}: {value:.2f} {what}; goal {least:g}", value >= least)
    return best
