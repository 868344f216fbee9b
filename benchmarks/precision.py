"""Does bf16 train as fp32 does? On the digits, over several seeds, with and without warm-up.

python -m benchmarks.precision [--seeds 5] [--epochs 7] [--json FILE]

Both are evaluated in fp32, as all that is counted. A seed draws the graph, the weights and the order of the images; for
each all variants are trained in one process, and differences to fp32 are taken within a seed.
"""

import argparse
import json
import tempfile
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

import randwire
from randwire.metrics import TRAIN_LOSS, VAL_TOP1

PRECISIONS = ("fp32", "bf16")
WARMUPS = (0, 1)


@dataclass
class Variant:
    """Top-1 (percent) and training loss of the last epoch, by seed."""

    precision: str
    warmup_epochs: int
    top1: list[float]
    loss: list[float]


def measure(seeds: int, epochs: int, folder: Path) -> list[Variant]:
    """Train all variants; their records are in the folder, and what has ended there is not trained again."""
    variants = [Variant(precision, warmup, [], []) for warmup, precision in product(WARMUPS, PRECISIONS)]
    for seed, variant in tqdm(list(product(range(seeds), variants)), desc="trainings", disable=None):
        keys = {
            "graph.seed": seed,
            "train.seed": seed,
            "train.epochs": epochs,
            "train.precision": variant.precision,
            "train.warmup_epochs": variant.warmup_epochs,
            "runtime.output": str(folder),
            "runtime.wandb": "disabled",
        }
        record = randwire.train("digits", keys)
        last = json.loads((record / "metrics.jsonl").read_text().splitlines()[-1])
        variant.top1.append(last[VAL_TOP1.key])
        variant.loss.append(last[TRAIN_LOSS.key])
    return variants


def show(variants: list[Variant]) -> None:
    """Mean and standard deviation, and those of the differences to fp32."""
    for variant in variants:
        base = next(
            other for other in variants if (other.precision, other.warmup_epochs) == ("fp32", variant.warmup_epochs)
        )
        cells = []
        for name, values, others in (("top-1", variant.top1, base.top1), ("loss", variant.loss, base.loss)):
            delta = np.subtract(values, others)
            cells.append(
                f"{name} {np.mean(values):.3f} ± {np.std(values, ddof=1):.3f} "
                f"(to fp32 {delta.mean():+.3f} ± {delta.std(ddof=1):.3f})"
            )
        name = f"{variant.precision}, {variant.warmup_epochs} epochs of warm-up"
        print(f"{name}, n = {len(variant.top1)}: {'; '.join(cells)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="[%(default)s]")
    parser.add_argument("--epochs", type=int, default=7, help="[%(default)s]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured there")
    arguments = parser.parse_args()
    if arguments.seeds < 2 or arguments.epochs < 2:
        parser.error("--seeds and --epochs must be at least 2")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="randwire-benchmark-") as folder:
        variants = measure(arguments.seeds, arguments.epochs, Path(folder))
    show(variants)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(variant) for variant in variants], indent=1) + "\n")


if __name__ == "__main__":
    main()
