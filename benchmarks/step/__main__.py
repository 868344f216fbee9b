"""How fast is a step? Against the network as one would write it, and against what the machine's arithmetic allows.

python -m benchmarks.step [--rounds 10] [--batch 16] [--threads 1] [--device cpu] [--peers FOLDER] [--json FILE]

The baseline has one module for each node, in PyTorch's defaults: NCHW, fp32, inputs of a node stacked and summed with
their weights. It has the parameters of ours; before anything is measured, outputs and gradients of both are compared in
fp64. All methods take turns, so that whatever else the machine does meets all of them; ratios are taken within a round.
On a CPU the time is CPU time of this process, which depends less on the load of the machine than wall time does; on a
GPU it is wall time until the device has ended. Images are drawn once: no data loading is in the times.

Memory is what a training step adds to the most that a fresh process ever held before it, in a process for each method.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import torch
from tqdm import tqdm

from benchmarks.step.baseline import differences
from benchmarks.step.kernels import kernels
from benchmarks.step.limits import Limits, timer
from benchmarks.step.memory import memory
from benchmarks.step.methods import BF16, FP32, PLAIN, Method, methods, networks
from benchmarks.step.picture import draw
from benchmarks.step.report import Measured, Report
from randwire.config import RunConfig, load
from randwire.environment import environment
from randwire.errors import UserError
from randwire.training.worker import ProcessWorker, pick_device


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--preset", default="small", help="a preset of separable convolutions [%(default)s]")
    parser.add_argument("--rounds", type=int, default=10, help="[%(default)s]")
    parser.add_argument("--batch", type=int, default=16, help="images in a step [%(default)s]")
    parser.add_argument("--side", type=int, help="pixels [the preset's resolution]")
    parser.add_argument("--threads", type=int, default=1, help="of a CPU [%(default)s]")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="[%(default)s]")
    parser.add_argument(
        "--compile", action="store_true", help="measure what torch.compile makes of it too: minutes more"
    )
    parser.add_argument("--peers", type=Path, metavar="FOLDER", help="clones of public implementations to measure too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured there")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the time by kind of kernel there")
    for option in ("--memory", "--first"):
        parser.add_argument(option, type=int, metavar="NUMBER", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rounds < 1 or arguments.batch < 2:
        parser.error("--rounds must be at least 1 and --batch at least 2")
    torch.set_num_threads(arguments.threads)
    try:
        device, config = pick_device(arguments.device), load(arguments.preset)
        side = arguments.side or config.data.resolution
        to_measure = methods(config, device, arguments.compile, arguments.peers)
    except UserError as error:
        parser.error(str(error))
    if arguments.memory is not None:
        print(memory(to_measure[arguments.memory], arguments.batch, side, device))
        return
    if arguments.first is not None:
        step, started = to_measure[arguments.first].make(arguments.batch, side), time.perf_counter()
        step()
        print(time.perf_counter() - started)
        return
    with TemporaryDirectory() as cache, mock.patch.dict(os.environ, {"TORCHINDUCTOR_CACHE_DIR": cache}):
        report = run(config, to_measure, arguments, side, device)
    report.show()
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(report), indent=1) + "\n")
    if arguments.picture:
        draw(report, arguments.picture)


def _in_own_process(what: str, number: int) -> float:
    """What this command finds out of one method in a process of its own."""
    words = [sys.executable, "-m", "benchmarks.step", *sys.argv[1:], what, str(number)]
    return float(subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout)


def run(
    config: RunConfig, to_measure: Sequence[Method], arguments: argparse.Namespace, side: int, device: torch.device
) -> Report:
    """Measure everything: differences, rounds, profiles, memory."""
    batch, load_before = arguments.batch, os.getloadavg()[0]
    ours, (stacked, _) = networks(config)
    off_in_fp64 = differences(ours, stacked, 64)
    results = [Measured(method.phase, method.name, [], 0.0) for method in to_measure]
    for number, result in enumerate(tqdm(results, desc="memory", disable=None)):
        if "compiled" in result.name:
            result.first_s = [_in_own_process("--first", number) for _ in range(2)]
        result.mib_per_image = _in_own_process("--memory", number)
    measure, limits = timer(device), Limits(device)
    steps = [method.make(batch, side) for method in to_measure]
    rates: dict[str, list[float]] = defaultdict(list)
    with tqdm(total=(arguments.rounds + 1) * len(to_measure), desc="steps", disable=None) as progress:
        for number in range(arguments.rounds + 1):  # the first does not count
            for step, result in zip(steps, results, strict=True):
                seconds = measure(step)
                if number:
                    result.ms_per_image.append(1000 * seconds / batch)
                progress.update()
            if number:
                for name, rate in limits.measure(measure).items():
                    rates[name].append(rate)
    profiled = [index for index, method in enumerate(to_measure) if method.name in (PLAIN, FP32, BF16)]
    profiles = [kernels(to_measure[index], steps[index], batch, ours, side, device) for index in profiled]
    about = environment(ProcessWorker(device), "python -m benchmarks.step")
    about |= {"threads": torch.get_num_threads(), "load": [round(load_before, 1), round(os.getloadavg()[0], 1)]}
    return Report(about, arguments.preset, batch, side, arguments.rounds, off_in_fp64, dict(rates), results, profiles)


if __name__ == "__main__":
    main()
