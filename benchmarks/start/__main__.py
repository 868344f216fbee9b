"""What does the start of a trial cost? Sweeps of short trainings, as randwire runs them and as one would write them.

python -m benchmarks.start [--settings 8] [--rounds 2] [--epochs 2] [--workers 2] [--json FILE] [--figure FILE]

The plain form is Ray's own: a function that Tune calls for each trial launches a TorchTrainer, all else is Ray's
default. Both forms train the same settings on the digits, one at a time, on a Ray cluster that each starts on this
machine, and take turns. Times are wall times; CPU seconds are those of all processes, looked at twice a second.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.start.measure import FORMS, measure
from benchmarks.start.picture import draw
from benchmarks.start.report import show
from randwire.environment import environment
from randwire.training.worker import ProcessWorker


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--settings", type=int, default=8, help="of a sweep, of one trial each [%(default)s]")
    parser.add_argument("--rounds", type=int, default=2, help="sweeps of each form [%(default)s]")
    parser.add_argument("--epochs", type=int, default=2, help="of a trial [%(default)s]")
    parser.add_argument("--workers", type=int, default=2, help="of a trial [%(default)s]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured there")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw the course of the sweeps, as a PNG")
    arguments = parser.parse_args()
    about = environment(ProcessWorker(torch.device("cpu")), " ".join(sys.argv))
    print(json.dumps(about), file=sys.stderr)
    sweeps = []
    for number in range(arguments.rounds):
        for form in FORMS:
            print(f"round {number + 1} of {arguments.rounds}: {form}", file=sys.stderr)
            sweeps.append(measure(form, arguments.settings, arguments.epochs, arguments.workers))
    show(sweeps)
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"environment": about, "sweeps": [asdict(sweep) for sweep in sweeps]}, indent=1)
        )
    if arguments.figure:
        draw(sweeps, arguments.figure)


if __name__ == "__main__":
    main()
