"""Where the time of a step goes, by kernel.

Events of the device alone: those of operations hold the time of their kernels once more.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.training import Way, training

SHOWN = 25
"""Kernels of a step that are shown, those first that take the longest."""


def measure(bench: Bench) -> None:
    """Steps of `small`."""
    for way in (Way(), Way(step="captured")):
        if bench.time_left(way.name):
            with bench.case(way.name):
                _step(bench, way)


def _step(bench: Bench, way: Way) -> None:
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if bench.cuda else [])]
    with training(bench, bench.config("small", {}), way) as trainee:
        images, labels = bench.images(*((2, 32) if bench.dry else (256, 224)))
        for _ in range(1 if bench.dry else 5):
            trainee.step(images, labels)
        bench.wait()
        with profile(activities=activities) as profiler:
            trainee.step(images, labels)
            bench.wait()
    launches, milliseconds = by_kernel(profiler.events() or [], bench.cuda)
    if not launches:
        raise RuntimeError("the profiler of PyTorch (CUPTI) has seen no kernel")
    all_ms = sum(milliseconds.values())
    bench.row(f"{way.name}: all", launches=launches.total(), ms=all_ms, share=1.0)
    for kernel, spent in milliseconds.most_common(SHOWN):
        share = spent / max(1e-9, all_ms)
        bench.row(f"{way.name}: {kernel[:90]}", launches=launches[kernel], ms=spent, share=share)


def by_kernel(events: Iterable[Any], cuda: bool) -> tuple[Counter[str], Counter[str]]:
    """Launches and milliseconds by the name of the kernel; on a CPU by that of the operation, without what it calls."""
    launches: Counter[str] = Counter()
    milliseconds: Counter[str] = Counter()
    for event in events:
        # Of a range with a name, such as a step of the optimizer, there is an event of the device too.
        of_device = event.device_type == DeviceType.CUDA and not event.is_user_annotation
        if of_device or not cuda:
            launches[event.name] += 1
            milliseconds[event.name] += (event.self_device_time_total if cuda else event.self_cpu_time_total) / 1000
    return launches, milliseconds
