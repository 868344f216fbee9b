"""Images a second in use: as trained, with folded BN, in a CUDA graph."""

from collections.abc import Callable
from itertools import product

import torch
from torch import nn

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.training import Precision, Way, computing, network_of
from randwire.model.folding import folded


def measure(bench: Bench) -> None:
    """Batches of `small`, in bf16 and, as evaluation does, in fp32."""
    network = network_of(bench, bench.config("small", {}), Way()).eval()
    cases: tuple[tuple[Precision, str, nn.Module], ...] = (
        ("bf16", "bf16", network), ("bf16", "bf16, folded", folded(network)), ("fp32", "fp32, folded", folded(network)),
    )  # fmt: skip
    for count in (2,) if bench.dry else (256, 1, 64):
        for (precision, name, of), linear in product(cases, (False, True)):
            case = f"{name}{', 1x1 as products' if linear else ''}, {count} images"
            if bench.time_left(case):
                with bench.case(case), computing(Way(precision, linear=linear), bench.device):
                    _rates(bench, case, of, count, precision)


def _rates(bench: Bench, name: str, network: nn.Module, count: int, precision: Precision) -> None:
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    there = network.to(bench.device, kind, memory_format=torch.channels_last)  # type: ignore[call-overload]
    images, _ = bench.images(count, 64 if bench.dry else 224, kind)

    def step() -> None:
        with torch.no_grad():
            there(images)

    def row(name: str, step: Callable[[], object]) -> None:
        timing = bench.time(step, 0.5)
        bench.row(name, ms=timing.ms, low=timing.low, high=timing.high, host_ms=timing.host_ms,
                  images_s=1000 * count / timing.ms, n=timing.n)  # fmt: skip

    row(name, step)
    if bench.cuda:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        row(f"{name}, in a graph", graph.replay)
