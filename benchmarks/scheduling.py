"""How busy are the GPUs of a large cluster kept? Sweeps of trials that sleep, on pretended GPUs.

python -m benchmarks.scheduling [--gpus 200] [--workers 8] [--settings 100] [--seeds 1 10 50] [--json FILE]
python -m benchmarks.scheduling --gpus 25 --gpus-per-worker 0.25    four trials of one rank on each GPU

A real sweep (`randwire.sweep.launch`) with the search, records and progress of a study, on a Ray node of this machine
that claims to have so many GPUs. In the place of a Ray Train job, the driver of a setting sleeps, and writes and
reports what the trials of the setting would: one epoch each. So this measures the sweep's own part: how long free
GPUs wait for the next setting, what a trial costs the process of the sweep, and how its memory grows. It says nothing
about the start of a training.
"""

import argparse
import json
import math
import os
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from unittest import mock

import psutil

from randwire import machine
from randwire.arguments import gpu_part
from randwire.config import load
from randwire.gpu_share import ranks_of_gpu
from randwire.metrics import IMAGES_PER_S, LR, TRAIN_LOSS, VAL_TOP1, VAL_TOP5
from randwire.records import Row
from randwire.study.design import Design
from randwire.study.setting import Setting
from randwire.sweep import launch, places, share, tuning
from randwire.sweep.cluster import Cluster
from randwire.sweep.driver import SETTING_TOP1, SettingDriver
from randwire.tracking import open_tracker

LOG = "slots.jsonl"


class SleepingDriver(SettingDriver):
    """Holds its workers' GPUs for a while instead of training, and leaves finished trials."""

    def results_of(self, setting: str) -> Iterator[Row]:
        design = self.job.design
        began, seconds = time.time(), float(os.environ["RANDWIRE_BENCHMARK_SECONDS"])
        trials = design.trials(Setting.parse(setting))
        for number, trial in enumerate(trials, 1):
            record = design.record(trial)
            values = {LR: 0.1, TRAIN_LOSS: 1.0, VAL_TOP1: 50.0, VAL_TOP5: 90.0, IMAGES_PER_S: 1.0}
            row = {"epoch": 1, **{metric.key: value for metric, value in values.items()}}
            summary = {"status": "finished", "cause": None, "epochs": 1, VAL_TOP1.key: 50.0, "seconds": 1.0}
            record.write_text("config.yaml", trial.to_yaml())
            record.append_metrics(row)
            yield {**row, "digest": trial.digest}
            time.sleep(max(0.0, began + seconds * number / len(trials) - time.time()))
            record.write_json("summary.json", summary)
            yield {"digest": trial.digest, "summary": summary}
        with open(design.folder / LOG, "a") as file:
            file.write(json.dumps([began, time.time()]) + "\n")
        yield {SETTING_TOP1: 50.0, "outcome": "finished", "setting": setting, "done": True}


@dataclass(frozen=True)
class Measured:
    """One sweep. `busy`: share of the slots' time with a setting, between the first and the last full wave."""

    settings: int
    trials: int
    slots: int
    seconds: float
    busy: float
    cpu_ms_per_trial: float
    memory_mb: tuple[float, float, float]
    """Of the process of the sweep: at its start, after half of the time, and the most."""


def run(settings: int, seeds: int, gpus: int, cluster: Cluster, seconds: float) -> Measured:
    """A sweep on a cluster of its own."""
    with tempfile.TemporaryDirectory(prefix="randwire-benchmark-") as folder:
        values = {"runtime.output": folder, "runtime.study": "sleeping", "runtime.wandb": "disabled", "train.epochs": 1}
        design = Design(load("digits", values), search="random", settings=settings, seeds=seeds)
        design.open()
        os.environ["RANDWIRE_BENCHMARK_SECONDS"] = str(seconds)
        process, memory, ended = psutil.Process(), [], threading.Event()

        def watch() -> None:
            while not ended.wait(1):
                memory.append(process.memory_info().rss / 1e6)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        before, began = process.cpu_times().user, time.time()
        per_gpu = ranks_of_gpu(cluster.gpus_per_worker or 1)
        slots = gpus * per_gpu // (cluster.workers or 1)
        with (
            mock.patch.object(tuning, "SettingDriver", SleepingDriver),
            mock.patch.object(share, "gpu_count", return_value=gpus),
            mock.patch.object(machine, "cpus", return_value=gpus * per_gpu),
        ):
            tracker = open_tracker("disabled", "p", "s", Path(folder))
            launch.sweep(design, replace(cluster, concurrent=slots), tracker)  # whatever the memory of this machine
        cpu = process.cpu_times().user - before
        ended.set()
        watcher.join()
        spans = sorted(json.loads(line) for line in (design.folder / LOG).read_text().splitlines())
        # Full: from when as many as there are slots had begun, until the last one began.
        low, high = spans[min(slots, len(spans) - 1)][0], spans[-1][0]
        busy_seconds = sum(max(0.0, min(end, high) - max(start_, low)) for start_, end in spans)
        busy = busy_seconds / (slots * (high - low)) if high > low else math.nan
        trials = settings * seeds
        middle = memory[len(memory) // 2]
        return Measured(
            len(spans), trials, slots, time.time() - began, busy, 1000 * cpu / trials, (memory[0], middle, max(memory))
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gpus", type=int, default=200, help="that the cluster claims to have [%(default)s]")
    parser.add_argument("--workers", type=int, help="of a trial, one GPU each [8; of parts of a GPU: 1]")
    parser.add_argument("--gpus-per-worker", type=gpu_part, metavar="PART", help="1, or a part of a GPU [1]")
    parser.add_argument("--settings", type=int, default=100, help="of each sweep [%(default)s]")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 10, 50], help="of a setting [1 10 50]")
    parser.add_argument("--seconds", type=float, default=20, help="that a setting takes [%(default)s]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured there")
    arguments = parser.parse_args()
    part = arguments.gpus_per_worker
    workers = arguments.workers or (8 if part in (None, 1) else 1)
    cluster = Cluster(workers=workers, cpus_per_worker=1, gpus_per_worker=part)
    places.check(cluster, "auto", load("digits").train.batch_size)
    packages = ("ray", "optuna")
    here = {
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "cpus": machine.cpus(),
        "load": os.getloadavg()[0],
    }
    print(here, file=sys.stderr)
    sweeps = []
    print(f"{'trials':>7}{'settings':>9}{'slots':>6}{'wall s':>8}{'busy':>7}{'CPU ms a trial':>16}  memory MB")
    for seeds in arguments.seeds:
        sweep = run(arguments.settings, seeds, arguments.gpus, cluster, arguments.seconds)
        sweeps.append(sweep)
        memory = " to ".join(f"{value:.0f}" for value in sweep.memory_mb)
        print(
            f"{sweep.trials:7}{sweep.settings:9}{sweep.slots:6}{sweep.seconds:8.0f}{sweep.busy:7.1%}"
            f"{sweep.cpu_ms_per_trial:16.0f}  {memory}",
            flush=True,
        )
    if arguments.json:
        arguments.json.write_text(
            json.dumps(
                {
                    "machine": here,
                    "gpus": arguments.gpus,
                    "gpus_per_worker": part or 1,
                    "workers": workers,
                    "sweeps": [asdict(sweep) for sweep in sweeps],
                },
                indent=1,
            )
        )


if __name__ == "__main__":
    main()
