"""What waits for the device? PyTorch warns of each such operation, with its line.

An epoch of twice as many steps must have no more of them: what is left waits once an epoch, at its end.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import product
from pathlib import Path

import torch

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.right import AUGMENTED
from benchmarks.gpu.training import Given, Kind, Way, computing, network_of, normaliser, step_of
from randwire.training.augment import Augment
from randwire.training.evaluate import evaluate
from randwire.training.loop import Training, train_epoch
from randwire.training.worker import ProcessWorker

WARNING = "called a synchronizing"
"""Of an operation that waits; PyTorch also warns once that it does not know all of them."""
STEPS = 2
"""Steps of the shorter epoch."""
CASES: dict[str, dict[str, object]] = {
    "plain": {},
    "drop edge": {"network.drop_edge": 1.0},
    "drop edge of the network": {"network.drop_edge": 1.0, "network.drop_edge_scope": "network"},
    "augmentation": AUGMENTED,
    "dropout, clipping": {"network.dropout": 0.2, "train.clip_norm": 1.0},
    "adamw": {"train.optimizer": "adamw"},
}
KINDS: tuple[Kind, ...] = ("eager", "captured")


def measure(bench: Bench) -> None:
    """Epochs of trainings, and evaluations."""
    for (name, keys), kind in product(CASES.items(), KINDS):
        if bench.dry and kind != "eager" and keys:
            continue
        case = f"{name}, {kind}"
        if bench.time_left(case):
            with bench.case(case), closing(_Run(bench, keys, Way(step=kind))) as run:
                _judge(bench, case, run)
    with bench.case("evaluation"):
        _judge(bench, "evaluation", _evaluation(bench))


class _Run:
    """A training, called with the steps of an epoch."""

    def __init__(self, bench: Bench, keys: dict[str, object], way: Way) -> None:
        config = bench.config("digits", {"train.precision": way.precision, **keys})
        network = network_of(bench, config, way)
        network.to(bench.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        step, augment = step_of(bench, network, config, way), Augment(config.data, 0)
        self.bench = bench
        self.training = Training(network, step, augment, config.train, ProcessWorker(bench.device))

    def __call__(self, steps: int) -> None:
        train_epoch(self.training, Given(self.bench, 8, 32, steps), steps, 1)

    def close(self) -> None:
        self.training.step.close()


def _evaluation(bench: Bench) -> Callable[[int], object]:
    network = network_of(bench, bench.config("digits", {}), Way())
    network.to(bench.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return lambda batches: evaluate(network, Given(bench, 8, 32, batches), normaliser(bench.device))


def _judge(bench: Bench, name: str, run: Callable[[int], object]) -> None:
    """Run epochs of STEPS and of twice as many, after one that loads and makes what a first one does."""
    with computing(Way(), bench.device):
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
    return Counter(f"{Path(one.filename).name}:{one.lineno}" for one in caught if WARNING in str(one.message))


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
