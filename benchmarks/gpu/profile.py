"""Where the time of a step goes, by kernel.

Events of the device alone: those of operations hold the time of their kernels once more.
"""

from collections import Counter

from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.training import Way, training

SHOWN = 25
"""Kernels of a step that are shown, those first that take the longest."""


def measure(bench: Bench) -> None:
    """Steps of `small`."""
    for way in (Way("bf16"),):
        if bench.time_left(way.name):
            with bench.case(way.name):
                _step(bench, way)


def _step(bench: Bench, way: Way) -> None:
    activities = [ProfilerActivity.CPU] if bench.dry else [ProfilerActivity.CUDA]
    with training(bench, bench.config("small", {}), way) as trainee:
        images, labels = bench.images(*((2, 32) if bench.dry else (256, 224)))
        for _ in range(1 if bench.dry else 5):
            trainee.step(images, labels)
        bench.wait()
        with profile(activities=activities) as profiler:
            trainee.step(images, labels)
            bench.wait()
    milliseconds: Counter[str] = Counter()
    launches: Counter[str] = Counter()
    for event in profiler.events() or []:
        of_device = event.device_type == DeviceType.CUDA
        if of_device or bench.dry:
            milliseconds[event.name] += (
                event.self_cpu_time_total if bench.dry else event.self_device_time_total
            ) / 1000
            launches[event.name] += 1
    bench.row(f"{way.name}: all", launches=launches.total(), ms=sum(milliseconds.values()), share=1.0)
    for kernel, spent in milliseconds.most_common(SHOWN):
        share = spent / max(1e-9, sum(milliseconds.values()))
        bench.row(f"{way.name}: {kernel[:90]}", launches=launches[kernel], ms=spent, share=share)
