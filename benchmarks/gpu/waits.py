"""What waits for the device? PyTorch warns of each such operation, with its line.

An epoch of twice as many steps must have no more of them: what is left waits once an epoch, at its end.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.right import AUGMENTED
from benchmarks.gpu.training import Given, Way, computing, network_of, normaliser
from randwire.training.augment import Augment
from randwire.training.evaluate import evaluate
from randwire.training.loop import Training, train_epoch
from randwire.training.optim import make_optimizer
from randwire.training.step import make_step
from randwire.training.worker import ProcessWorker

STEPS = 3
"""Steps of the shorter epoch."""
CASES: dict[str, dict[str, object]] = {
    "plain": {},
    "drop edge": {"network.drop_edge": 1.0},
    "drop edge of the network": {"network.drop_edge": 1.0, "network.drop_edge_scope": "network"},
    "augmentation": AUGMENTED,
    "dropout, clipping": {"network.dropout": 0.2, "train.clip_norm": 1.0},
    "adam": {"train.optimizer": "adam"},
    "adamw": {"train.optimizer": "adamw"},
}


def measure(bench: Bench) -> None:
    """Epochs of trainings, and evaluations."""
    for name, keys in CASES.items():
        if bench.time_left(name):
            with bench.case(name):
                _judge(bench, name, _training(bench, keys, Way()))
    with bench.case("evaluation"):
        _judge(bench, "evaluation", _evaluation(bench))


def _training(bench: Bench, keys: dict[str, object], way: Way) -> Callable[[int], object]:
    config = bench.config("digits", {"train.precision": "bf16", **keys})
    network = network_of(bench, config, way).to(bench.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    step = make_step(network, make_optimizer(network, config.train), normaliser(bench.device), config.train)
    training = Training(network, step, Augment(config.data, 0), config.train, ProcessWorker(bench.device))
    return lambda steps: train_epoch(training, Given(bench, 8, 32, steps), steps, 1)


def _evaluation(bench: Bench) -> Callable[[int], object]:
    network = network_of(bench, bench.config("digits", {}), Way())
    network.to(bench.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return lambda batches: evaluate(network, Given(bench, 8, 32, batches), normaliser(bench.device))


def _judge(bench: Bench, name: str, run: Callable[[int], object]) -> None:
    """Run epochs of STEPS and of twice as many, after one that loads and makes what a first one does."""
    with computing("bf16", bench.device):
        run(STEPS)
        short, long = _waits(bench, run, STEPS), _waits(bench, run, 2 * STEPS)
    repeated = {line: count - short[line] for line, count in long.items() if count > short[line]}
    bench.row(name, epoch=sum(short.values()), step=sum(repeated.values()) / STEPS, lines=_text(repeated))
    if repeated:
        bench.wrong(f"{name}: waits in every step or batch: {_text(repeated)}")


def _waits(bench: Bench, run: Callable[[int], object], steps: int) -> Counter[str]:
    with warnings.catch_warnings(record=True) as caught, _warning(bench):
        warnings.simplefilter("always")
        run(steps)
    return Counter(f"{Path(one.filename).name}:{one.lineno}" for one in caught if "synchroniz" in str(one.message))


@contextmanager
def _warning(bench: Bench) -> Iterator[None]:
    """Have PyTorch warn of what waits."""
    if not bench.cuda:
        yield
        return
    torch.cuda.set_sync_debug_mode("warn")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def _text(lines: dict[str, int]) -> str:
    return ", ".join(f"{line} ({count})" for line, count in lines.items())
