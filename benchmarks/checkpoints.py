"""What a checkpoint in the middle of an epoch costs: seconds, MB, and its share of a training.

python -m benchmarks.checkpoints [--repeats 5] [--minutes 10] [--json FILE]

A checkpoint is made of the network and the optimizer after a step, and written and synced as in a training; beside it
a step is timed, in turns, so that both see the same machine. The share is that of a training which saves every so many
minutes.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks.table import print_table
from randwire import config as configuration
from randwire.environment import environment
from randwire.model.building import build
from randwire.training import checkpoint, mid_epoch
from randwire.training.mid_epoch import EpochPart
from randwire.training.optim import make_optimizer
from randwire.training.step import train_step
from randwire.training.worker import ProcessWorker
from randwire.wiring import dags_of, sample_graphs

PRESETS = ("small", "regular-154")
CLASSES = 1000


@dataclass
class Cost:
    """Of one preset: seconds of each checkpoint and of each step, and the size of the file in MB."""

    preset: str
    checkpoint_s: list[float]
    step_s: list[float]
    megabytes: float

    def share(self, minutes: float) -> float:
        """Percent of the time of a training that saves so often."""
        seconds = statistics.median(self.checkpoint_s)
        return 100 * seconds / (60 * minutes + seconds)


def measure(preset: str, repeats: int, batch: int, folder: Path) -> Cost:
    """Train one step and save, in turns; the first of each is not counted."""
    config, worker = configuration.load(preset), ProcessWorker(torch.device("cpu"))
    network = build(config.network, dags_of(sample_graphs(config)), CLASSES, config.data.resolution, False, False)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(network, config.train)
    images = torch.randn(batch, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(batch, dtype=torch.int64)
    cost = Cost(preset, [], [], 0.0)
    for _ in range(repeats + 1):
        started = time.perf_counter()
        loss = train_step(network, optimizer, images, labels, config.train)
        cost.step_s.append(time.perf_counter() - started)
        started = time.perf_counter()
        part = mid_epoch.state_of(network, EpochPart(loss, 1, batch, 1.0, 0.0), 2, worker)
        content = {"config": config.model_dump(mode="json"), "graphs": {}, "data": {}, "part": part, "epoch": 1}
        states = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
        checkpoint.save_mid_epoch(folder, {**content, **states})
        cost.checkpoint_s.append(time.perf_counter() - started)
    (file,) = folder.glob("*.pt")
    return Cost(preset, cost.checkpoint_s[1:], cost.step_s[1:], file.stat().st_size / 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--presets", nargs="+", default=list(PRESETS), metavar="NAME", help="[%(default)s]")
    parser.add_argument("--repeats", type=int, default=5, help="[%(default)s]")
    parser.add_argument("--batch", type=int, default=2, help="images of the step beside it [%(default)s]")
    parser.add_argument("--minutes", type=float, default=10.0, help="between two checkpoints [%(default)s]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured there")
    arguments = parser.parse_args()
    if arguments.repeats < 1 or arguments.batch < 1 or arguments.minutes <= 0:
        parser.error("--repeats and --batch must be at least 1, --minutes above 0")
    about = environment(ProcessWorker(torch.device("cpu")), " ".join(sys.argv))
    costs = []
    for preset in arguments.presets:
        with tempfile.TemporaryDirectory(prefix="randwire-benchmark-") as folder:
            costs.append(measure(preset, arguments.repeats, arguments.batch, Path(folder)))
    print(f"{about['hardware']['cpu']}, torch {about['packages']['torch']}, commit {str(about['commit'])[:7]}")
    rows = [["preset", "n", "MB", "checkpoint (s)", "least", "most", "a step (s)", f"% at {arguments.minutes:g} min"]]
    for cost in costs:
        seconds = cost.checkpoint_s
        shown = (statistics.median(seconds), min(seconds), max(seconds), statistics.median(cost.step_s))
        share = cost.share(arguments.minutes)
        rows.append([cost.preset, str(len(seconds)), f"{cost.megabytes:.1f}", *(f"{value:.3f}" for value in shown),
                     f"{share:.3f}"])  # fmt: skip
    print_table(rows)
    if arguments.json:
        values = {"environment": about, "costs": [asdict(cost) for cost in costs]}
        arguments.json.write_text(json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main()
