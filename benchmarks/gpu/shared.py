"""Several trainings on one GPU: images a second of all together, with and without a share of its memory for each.

Whether MPS runs is told, not chosen: without it the trainings take turns on the GPU.
"""

import multiprocessing
import multiprocessing.synchronize
import os
import time
from pathlib import Path
from threading import BrokenBarrierError

import torch

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.processes import FAILED, Process, Tell, told_by_all
from benchmarks.gpu.training import Way, training

CELLS = (("cifar10", 128), ("digits", 64))
WAYS = (Way(), Way(step="captured"))
TOGETHER = ((1, False), (4, False), (4, True), (8, False), (2, False), (2, True), (8, True))
"""How many trainings, and whether each has a share of the memory of its own; in order of worth."""
MORE_S = 20.0
"""Seconds beyond the section's time in which trainings that have begun must end: less than the section itself has."""
AT_ONCE = 5
"""Steps that the host launches before it waits for them."""
SECONDS = 2.0
"""In which steps are counted, from when all trainings have warmed up."""


def measure(bench: Bench) -> None:
    """1 to 8 trainings of CIFAR-sized networks."""
    pipes = Path(os.environ.get("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps"))
    bench.note(f"MPS: {'runs' if pipes.exists() else 'does not run'} (by {pipes})")
    for preset, images in CELLS[1:] if bench.dry else CELLS:
        alone: dict[Way, float] = {}
        for count, share in ((1, False), (2, True)) if bench.dry else TOGETHER:
            for way in WAYS[:1] if bench.dry else WAYS:
                memory = ", a share of the memory each" if share else ""
                name = f"{preset}, {images} images, {way.name}: {count} training(s){memory}"
                if bench.time_left(name):
                    with bench.case(name):
                        rate = _together(bench, preset, images, way, count, share)
                        if count == 1:
                            alone[way] = rate
                        bench.row(name, images_s=rate, of_one=rate / alone[way] if way in alone else None)


def _together(bench: Bench, preset: str, images: int, way: Way, count: int, share: bool) -> float:
    """Images a second of `count` trainings. They all wait until the slowest has warmed up."""
    ready = multiprocessing.get_context("fork").Barrier(count)
    processes = [Process(_train, bench, preset, images, way, 1 / count if share else None, ready) for _ in range(count)]
    told = told_by_all(processes, bench.until + MORE_S)
    failed = [value for of_one in told for kind, value in of_one if kind == FAILED]
    failed.sort(key=lambda value: value.startswith(BrokenBarrierError.__name__))  # of those that waited for another
    if failed:
        raise RuntimeError(f"{len(failed)} of {count} trainings failed: {failed[0]}")
    return sum(float(value) for of_one in told for kind, value in of_one if kind == "rate")


def _train(
    tell: Tell, bench: Bench, preset: str, images: int, way: Way, share: float | None,
    ready: multiprocessing.synchronize.Barrier,
) -> None:  # fmt: skip
    """One of the trainings; tells its images a second."""
    try:
        if share is not None and bench.cuda:
            torch.cuda.set_per_process_memory_fraction(share)
        with training(bench, bench.config(preset, {}), way) as trainee:
            batch = bench.images(4 if bench.dry else images, 32)
            for _ in range(1 if bench.dry else 5):
                trainee.step(*batch)
            bench.wait()
            ready.wait(60)
            began, steps = time.perf_counter(), 0
            while time.perf_counter() - began < (0.1 if bench.dry else SECONDS):
                for _ in range(1 if bench.dry else AT_ONCE):
                    trainee.step(*batch)
                bench.wait()
                steps += 1 if bench.dry else AT_ONCE
            tell("rate", steps * len(batch[1]) / (time.perf_counter() - began))
    except BaseException:
        ready.abort()  # or the others would wait for this one
        raise
