"""What does it cost to train on several ranks? A step with the exchange of gradients, against one without.

python -m benchmarks.scaling [--ranks 2] [--rounds 10] [--batch 16] [--side 224] [--precision bf16] [--json FILE]

Each rank has one thread (on a GPU: a GPU of its own) and the same batch; ranks exchange gradients as in a sweep, by
DistributedDataParallel, in several settings. Methods take turns, each with a copy of the network, so that whatever else
the machine does meets all of them; times are wall times until all ranks are done, ratios are taken within a round.
"""

import argparse
import copy
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from randwire.config import TrainConfig, load
from randwire.environment import environment
from randwire.model.network import RandWire
from randwire.training.optim import make_optimizer
from randwire.training.precision import computing, refusal
from randwire.training.step import DDP_OPTIONS, train_step
from randwire.training.worker import ProcessWorker, pick_device
from randwire.wiring import sample_graphs

CLASSES = 1000
ALONE = "no exchange"
SETTINGS: dict[str, dict[str, Any]] = {
    ALONE: DDP_OPTIONS,
    "randwire": DDP_OPTIONS,
    "PyTorch's defaults": {},
    "static graph": {**DDP_OPTIONS, "static_graph": True},
    "buckets of 5 MB": {**DDP_OPTIONS, "bucket_cap_mb": 5},
    "buckets of 100 MB": {**DDP_OPTIONS, "bucket_cap_mb": 100},
    "gradients sent in bf16": DDP_OPTIONS,  # PyTorch has it for GPUs alone
}


def measure(rank: int, ranks: int, port: int, options: dict[str, Any], output: str) -> None:
    """One rank; the first writes the seconds of each round and method to `output`."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(ranks))
    torch.set_num_threads(1)
    device = pick_device("auto", rank)
    gpu = device.type == "cuda"
    distributed.init_process_group("nccl" if gpu else "gloo", device_id=device if gpu else None)
    with computing(options["precision"], device):
        _take_turns(rank, ranks, device, options, output)
    distributed.destroy_process_group()


def _take_turns(rank: int, ranks: int, device: torch.device, options: dict[str, Any], output: str) -> None:
    gpu = device.type == "cuda"
    config = load("small", {"train.precision": options["precision"], "train.batch_size": options["batch"] * ranks})
    torch.manual_seed(0)
    dags = {stage: sample.dag for stage, sample in sample_graphs(config).items()}
    network = RandWire(config.network, dags, CLASSES).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.randn(options["batch"], 3, options["side"], options["side"], device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(CLASSES, (options["batch"],), device=device)
    steps = {name: _step(copy.deepcopy(network), name, keywords, images, labels, config.train)
             for name, keywords in SETTINGS.items() if gpu or "bf16" not in name}  # fmt: skip
    rows: list[dict[str, float]] = []
    for round_number in range(options["rounds"] + 1):
        row = {}
        for name, step in steps.items():
            distributed.barrier()
            began = time.perf_counter()
            step()
            if gpu:
                torch.cuda.synchronize()
            distributed.barrier()
            row[name] = time.perf_counter() - began
        if round_number:  # the first one warms up
            rows.append(row)
            if rank == 0 and sys.stderr.isatty():
                print(f"round {round_number} of {options['rounds']}", end="\r", file=sys.stderr)
    if rank == 0:
        about = environment(ProcessWorker(device, rank, ranks), " ".join(sys.argv))
        parameters = sum(parameter.numel() for parameter in network.parameters())
        Path(output).write_text(
            json.dumps({**options, "environment": about, "parameters": parameters, "seconds": rows})
        )


def _step(
    network: RandWire, name: str, keywords: dict[str, Any], images: torch.Tensor, labels: torch.Tensor,
    config: TrainConfig,
) -> Callable[[], None]:  # fmt: skip
    wrapped = DistributedDataParallel(network, **keywords)
    if "bf16" in name:
        wrapped.register_comm_hook(None, default_hooks.bf16_compress_hook)
    updates = make_optimizer(network, config)

    def step() -> None:
        with wrapped.no_sync() if name == ALONE else nullcontext():
            train_step(wrapped, updates, images, labels, config)

    return step


def show(result: dict[str, Any], ranks: int) -> None:
    """Print the table."""
    rounds = result["seconds"]
    print(
        f"{ranks} ranks, batch {result['batch']} each, {result['side']} pixels, {result['precision']}, "
        f"{result['parameters'] / 1e6:.2f} M parameters; medians of n = {len(rounds)} rounds"
    )
    for name in rounds[0]:
        seconds = np.median([row[name] for row in rounds])
        ratios = [row[name] / row[ALONE] for row in rounds]
        low, middle, high = np.percentile(ratios, [25, 50, 75])
        print(f"{name:24}{1000 * seconds:8.0f} ms a step{middle:8.3f} of {ALONE} (quartiles {low:.3f} to {high:.3f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--ranks", type=int, default=2, help="processes [%(default)s]")
    parser.add_argument("--rounds", type=int, default=10, help="steps of each method [%(default)s]")
    parser.add_argument("--batch", type=int, default=16, help="images of a rank [%(default)s]")
    parser.add_argument("--side", type=int, default=224, help="pixels [%(default)s]")
    parser.add_argument(
        "--precision", choices=("fp32", "tf32", "bf16"), default="bf16", help="of the training [%(default)s]"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured there")
    arguments = parser.parse_args()
    if told := refusal(arguments.precision, pick_device("auto")):
        parser.error(told)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    options = {name: getattr(arguments, name) for name in ("rounds", "batch", "side", "precision")}
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "result.json")
        spawn(measure, (arguments.ranks, port, options, str(output)), arguments.ranks)  # type: ignore[no-untyped-call]
        result = json.loads(output.read_text())
    show(result, arguments.ranks)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
