"""What do two trainings at once cost each other? Steps of the preset `digits` by ways in which OpenMP's threads wait.

python -m benchmarks.threads [--seconds 3] [--rounds 3] [--spins 1000 10000 100000] [--json FILE]

Each training is a process of its own with a thread for each CPU, unless the way says otherwise, on one batch. All
processes are started first and take turns, alone and two at once, so that whatever else the machine does meets all of
them. Ratios are within a round, to one training alone as it is without any setting.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

AS_IS = "as it is"


def ways(spins: list[int]) -> dict[str, Mapping[str, str]]:
    """What is compared: names, and the environment of a process."""
    return {
        AS_IS: {},
        **{f"GOMP_SPINCOUNT={spin}": {"GOMP_SPINCOUNT": str(spin)} for spin in spins},
        "OMP_WAIT_POLICY=passive": {"OMP_WAIT_POLICY": "passive"},
        "OMP_NUM_THREADS=1": {"OMP_NUM_THREADS": "1"},
    }


def train() -> None:
    """A process that trains: for each number on stdin so many seconds, then images and CPU-seconds of a second."""
    import torch

    from randwire.config import load
    from randwire.model.network import RandWire
    from randwire.training.optim import make_optimizer
    from randwire.training.step import train_step
    from randwire.wiring import sample_graphs

    config = load("digits")
    torch.manual_seed(0)
    dags = {stage: sample.dag for stage, sample in sample_graphs(config).items()}
    network = RandWire(config.network, dags, 10).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(network, config.train)
    batch, side = config.train.batch_size, config.data.resolution
    images = torch.randn(batch, 3, side, side).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(10, (batch,))

    def step() -> None:
        train_step(network, optimizer, images, labels, config.train)

    step()
    print("ready", flush=True)
    for line in sys.stdin:
        began, cpu, steps = time.perf_counter(), time.process_time(), 0
        while (elapsed := time.perf_counter() - began) < float(line):
            step()
            steps += 1
        print(json.dumps([steps * batch / elapsed, (time.process_time() - cpu) / elapsed]), flush=True)


def start(way: Mapping[str, str]) -> "subprocess.Popen[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, "-m", "benchmarks.threads", "--train"]
    return subprocess.Popen(command, env={**clean, **way}, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def measure(processes: list["subprocess.Popen[str]"], seconds: float) -> list[list[float]]:
    """Images/s and CPUs of each of the processes, all at once."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(f"{seconds}\n")
        process.stdin.flush()
    return [json.loads(process.stdout.readline()) for process in processes if process.stdout is not None]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement [%(default)s]")
    parser.add_argument("--rounds", type=int, default=3, help="of all ways [%(default)s]")
    parser.add_argument("--spins", type=int, nargs="*", default=[1000, 10_000, 100_000], help="[%(default)s]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured there")
    arguments = parser.parse_args()
    if arguments.train:
        train()
        return
    named = ways(arguments.spins)
    pairs: dict[str, list[subprocess.Popen[str]]] = {}
    rows: list[dict[str, Any]] = []
    try:
        for name, way in named.items():
            pairs[name] = [start(way), start(way)]
        for pair in pairs.values():
            for process in pair:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
        for number in range(arguments.rounds):
            for name, pair in pairs.items():
                for at_once in (1, 2):
                    rates = measure(pair[:at_once], arguments.seconds)
                    rows.append({"round": number, "way": name, "at_once": at_once, "rates": rates})
                    print(f"round {number + 1}, {name}, {at_once} at once: {rates}", file=sys.stderr)
    finally:
        for process in (process for pair in pairs.values() for process in pair):
            process.kill()
            process.wait()
    show(rows, list(named))
    if arguments.json:
        arguments.json.write_text(json.dumps({"load": os.getloadavg(), "rows": rows}, indent=1) + "\n")


def show(rows: list[dict[str, Any]], names: list[str]) -> None:
    import numpy as np

    alone = {row["round"]: row["rates"][0][0] for row in rows if row["way"] == AS_IS and row["at_once"] == 1}
    print(f"one alone as it is: {np.median(list(alone.values())):.0f} images/s; n = {len(alone)} rounds")
    print(f"{'':28}{'alone':>22}{'each of two at once':>32}   of that; images a CPU-second in brackets")
    for name in names:
        cells = []
        for at_once in (1, 2):
            mine = [row for row in rows if row["way"] == name and row["at_once"] == at_once]
            ratios = [np.mean([rate for rate, _ in row["rates"]]) / alone[row["round"]] for row in mine]
            a_cpu_second = np.median([rate / max(cpus, 1e-9) for row in mine for rate, cpus in row["rates"]])
            cells.append(f"{np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) [{a_cpu_second:.0f}]")
        print(f"{name:28}{cells[0]:>26}{cells[1]:>32}")


if __name__ == "__main__":
    main()
