"""The machine: what it is, and its rates, by which the others are judged."""

from functools import partial

import torch

from benchmarks.gpu.bench import Bench, Cell, copy_rate
from benchmarks.gpu.training import PRECISIONS, Precision, Way, computing
from randwire.environment import environment
from randwire.training.worker import ProcessWorker

LAUNCHES = 1000
"""Launches in a block of which one is timed."""


def measure(bench: Bench) -> None:
    """Versions, and rates: of copies, of products, of launches, and from the host's memory."""
    with bench.case("versions"):
        bench.tell("about", environment(ProcessWorker(bench.device), "python -m benchmarks.gpu"))
    with bench.case("device"):
        _device(bench)
    with bench.case("copy"):
        bench.row("copy in the device's memory", rate=copy_rate(bench), unit="TB/s")
    for precision in PRECISIONS:
        with bench.case(f"products in {precision}"):
            bench.row(f"product of matrices, {precision}", rate=_products(bench, precision), unit="TFLOP/s")
    with bench.case("launches"):
        _launches(bench)
    with bench.case("from the host"):
        for pinned in (True, False):
            rate = _from_host(bench, pinned and bench.device.type == "cuda")
            bench.row(f"from {'page-locked' if pinned else 'ordinary'} memory of the host", rate=rate, unit="GB/s")


def _device(bench: Bench) -> None:
    """What PyTorch says of the device and of its own build."""
    versions: dict[str, Cell] = {"torch": torch.__version__, "CUDA": torch.version.cuda}
    if not bench.cuda:
        bench.row("CPU", **versions)
        return
    properties = torch.cuda.get_device_properties(bench.device)
    bench.row(
        properties.name,
        **versions,
        cuDNN=torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        NCCL=_nccl(),
        capability=f"{properties.major}.{properties.minor}",
        multiprocessors=properties.multi_processor_count,
        GiB=properties.total_memory / 2**30,
        GiB_free=torch.cuda.mem_get_info()[0] / 2**30,
        devices=torch.cuda.device_count(),
    )


def _nccl() -> str:
    version: tuple[int, ...] = torch.cuda.nccl.version()  # type: ignore[no-untyped-call]
    return ".".join(map(str, version))


def _products(bench: Bench, precision: Precision) -> float:
    """TFLOP/s."""
    side = 64 if bench.dry else 8192
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    factor = torch.randn(side, side, device=bench.device).to(kind)
    with computing(Way(precision), bench.device):
        return 2 * side**3 / bench.time(partial(torch.mm, factor, factor), 0.3).ms / 1e9


def _launches(bench: Bench) -> None:
    """Microseconds of a kernel with nothing to do: launched by itself, and as a part of a graph."""
    numbers = torch.zeros(64, device=bench.device)

    def many() -> None:
        for _ in range(LAUNCHES):
            numbers.add_(1)

    bench.row("a launch", rate=1000 * bench.time(many, 0.3).ms / LAUNCHES, unit="us")
    if bench.cuda:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            many()
        bench.row("a launch in a graph", rate=1000 * bench.time(graph.replay, 0.3).ms / LAUNCHES, unit="us")


def _from_host(bench: Bench, pinned: bool) -> float:
    """GB/s."""
    source = torch.zeros(2**20 if bench.dry else 2**26, dtype=torch.uint8, pin_memory=pinned)
    target = torch.empty_like(source, device=bench.device)
    return len(source) / bench.time(lambda: target.copy_(source, non_blocking=True), 0.3).ms / 1e6
