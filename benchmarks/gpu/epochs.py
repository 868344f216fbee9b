"""A part of an epoch, as a training does it: batches come from page-locked memory of the host while steps are done."""

import time

import torch

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.training import Given, Way, computing, network_of, normaliser, step_of
from randwire.metrics import IMAGES_PER_S, SECONDS_LOADER
from randwire.training.augment import Augment
from randwire.training.evaluate import evaluate
from randwire.training.loop import Training, train_epoch
from randwire.training.worker import ProcessWorker

BATCHES = 20


def measure(bench: Bench, images: int, side: int) -> None:
    """Train `small` on some batches, and evaluate it on them. The batches are ready: no image is decoded."""
    config, count = bench.config("small", {}), 2 if bench.dry else BATCHES
    batches = [*Given(bench, images, side, 2)] * (count // 2)
    for way in (Way(), Way(step="captured")):
        name = f"small, {images} x {side}: epoch of {count} batches, {way.name}"
        if not bench.time_left(name):
            continue
        with bench.case(name), computing(way, bench.device):
            network = network_of(bench, config, way)
            network.to(bench.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            step, settings = step_of(bench, network, config, way), config.train
            training = Training(network, step, Augment(config.data, 0), settings, ProcessWorker(bench.device))
            train_epoch(training, batches[:2], 2, 1)  # captures, and measures kernels
            row = train_epoch(training, batches, count, 1)
            step.close()
            bench.row(name, images_s=row[IMAGES_PER_S.key], s_loader=row[SECONDS_LOADER.key])
    name = f"small, {images} x {side}: evaluation of {count} batches"
    if bench.time_left(name):
        with bench.case(name), computing(Way(), bench.device):
            network = network_of(bench, config, Way())
            network.to(bench.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            normalise = normaliser(bench.device)
            evaluate(network, batches[:2], normalise)
            began = time.perf_counter()
            scores = evaluate(network, batches, normalise)
            bench.row(name, images_s=scores.images / (time.perf_counter() - began))
