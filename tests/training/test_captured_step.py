"""Captured steps are flat ones, and a training of them stops and goes on; functions are called in place of graphs."""

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fake_graphs import Calls
from flat_ranks import CASES, Case, network_of, normalise, trained
from killed_ranks import numbers, settings
from torch import Tensor, nn
from torch.optim import Optimizer

from randwire import data, run
from randwire.config import RunConfig, TrainConfig
from randwire.errors import ConfigError
from randwire.model.drop_edge import DropEdge
from randwire.records import NEWEST_CHECKPOINT, Record
from randwire.training import graphs
from randwire.training.checkpoint import read
from randwire.training.evaluate import Normalise, evaluate
from randwire.training.optim import make_optimizer
from randwire.training.step import CapturedStep, FlatStep, check_step, untouched
from randwire.training.worker import ProcessWorker


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> list[Calls]:
    """Gives what is made in the place of graphs."""
    made: list[Calls] = []

    def make() -> Calls:
        made.append(Calls())
        return made[-1]

    monkeypatch.setattr(graphs, "Graphs", make)
    return made


@pytest.mark.usefixtures("without_gpu")
@pytest.mark.parametrize("name", CASES)
def test_captured_steps_are_flat_ones(name: str) -> None:
    """Bit by bit: what is tried before a capture leaves no trace, and the update reads the rate where it is set."""

    def step_of(kind: type[FlatStep] | Callable[[FlatStep], CapturedStep]) -> Callable[..., Any]:
        def make(network: nn.Module, optimizer: Optimizer, config: TrainConfig) -> Any:
            flat = FlatStep(network, make_optimizer(network, config, captured=True), normalise, config)
            return flat if kind is FlatStep else CapturedStep(flat)

        return make

    flat, captured = (trained(CASES[name], step_of(kind)) for kind in (FlatStep, CapturedStep))
    assert flat.keys() == captured.keys()
    for key, value in flat.items():
        assert torch.equal(captured[key], value), key


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("steps", [0, 2], ids=["at the start", "after two steps"])
def test_what_is_tried_leaves_no_trace(optimizer: str, steps: int) -> None:
    case = Case({"dropout": 0.5}, {"optimizer": optimizer})
    network, config = network_of(case), TrainConfig.model_validate(case.train)
    update = make_optimizer(network, config)
    flat = FlatStep(network, update, normalise, config)
    images, labels = torch.rand(2, 3, 16, 16, dtype=torch.float64), torch.tensor([0, 1])
    for _ in range(steps):
        flat(images, labels, 0.1)

    def seen() -> list[Tensor]:
        state = [value for state in update.state.values() for value in state.values()]
        return [*network.state_dict().values(), *state, torch.get_rng_state()]

    before = [value.clone() for value in seen()]
    with untouched(network, update):
        for _ in range(2):
            flat(images, labels, 0.1)
        assert not torch.equal(seen()[0], before[0])
    after = seen()
    made = after[len(before) - 1 : -1]
    assert bool(made) == (steps == 0)
    assert not any(value.count_nonzero() for value in made)
    for value, wanted in zip([*after[: len(before) - 1], after[-1]], before, strict=True):
        assert torch.equal(value, wanted)


class Stopping(ProcessWorker):
    """Is asked to end after some steps in all."""

    def __init__(self, steps: int) -> None:
        super().__init__(torch.device("cpu"))
        self.left = steps

    def step(self, epoch: int, step: int, steps: int) -> None:
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGINT)


def in_parts(config: RunConfig, stops: Sequence[int]) -> Record:
    for steps in stops:
        with pytest.raises(KeyboardInterrupt):
            run.run(config, Stopping(steps))
    run.run(config, Stopping(-1))
    return run.record_of(config)


def test_a_training_of_captured_steps_stops_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_gpu: list[Calls]
) -> None:
    """Undisturbed, stopped in the midst of both epochs, and with its parts done by different kinds of steps."""
    monkeypatch.setattr(run, "check_step", lambda *_: None)
    keys = {
        "runtime.checkpoint_minutes": 10,
        "network.dropout": 0.3,
        "network.drop_edge": 0.5,
        "train.lr": 0.01,
        "data.start_resolution": 12,
        "data.ramp": [0.5, 1.0],
    }

    def config(name: str, kind: str) -> RunConfig:
        return settings(tmp_path / name, {**keys, "runtime.step": kind})

    whole = in_parts(config("whole", "captured"), [])
    assert len(without_gpu) == 3, "of the steps, and of two evaluations"
    stopped = in_parts(config("stopped", "captured"), [3, 11])
    assert all(made.closed for made in without_gpu), "a stop frees the memory of graphs too"
    assert numbers(stopped) == numbers(whole)
    expected = read(whole.checkpoint / NEWEST_CHECKPOINT)
    state = read(stopped.checkpoint / NEWEST_CHECKPOINT)
    assert all(torch.equal(state["network"][name], value) for name, value in expected["network"].items())

    for first, second in (("captured", "eager"), ("eager", "captured")):
        with pytest.raises(KeyboardInterrupt):
            run.run(config(first, first), Stopping(14))
        record = in_parts(config(first, second), [])
        state = read(record.checkpoint / NEWEST_CHECKPOINT)
        for name, value in expected["network"].items():
            torch.testing.assert_close(state["network"][name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("without_gpu")
def test_after_the_last_step_a_network_draws_its_dropped_edges_itself() -> None:
    network, config = network_of(Case({"drop_edge": 1.0})), TrainConfig()
    (drop_edge,) = (module for module in network.modules() if isinstance(module, DropEdge))
    step = CapturedStep(FlatStep(network, make_optimizer(network, config, captured=True), normalise, config))
    assert drop_edge.manual
    step.close()
    assert not drop_edge.manual


@pytest.mark.parametrize(("device", "page_locked"), [("cuda", True), ("cpu", False)])
def test_batches_for_a_gpu_are_page_locked(
    device: str, page_locked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "Loader", lambda *arguments: arguments[-1])
    worker = SimpleNamespace(device=torch.device(device), rank=0, world_size=1)
    rank: Any = SimpleNamespace(config=settings(tmp_path, {}), worker=worker, dataset=None, threads=1)
    batching: Any = run._Rank._loader(rank, "train")
    assert batching.page_locked == page_locked


def test_full_batches_of_an_evaluation_are_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Calls] = []

    class Counted(Calls):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    monkeypatch.setattr(graphs, "Graphs", Counted)
    network = network_of(Case(kind=torch.float32))
    stream = torch.Generator().manual_seed(0)
    batches = [
        (torch.randint(256, (images, 3, 16, 16), generator=stream, dtype=torch.uint8), torch.arange(images) % 3)
        for images in (8, 8, 8, 5)
    ]
    normalise = Normalise((120.0,) * 3, (60.0,) * 3)
    eager, captured = (evaluate(network, batches, normalise, replayed) for replayed in (False, True))
    assert captured == eager
    assert torch.equal(captured.hits, eager.hits)
    assert [each.replays for each in made] == [3]


def test_captured_steps_need_cuda(tmp_path: Path) -> None:
    for kind in ("eager", "auto"):
        check_step(kind, torch.device("cpu"))
    config = settings(tmp_path, {"runtime.step": "captured"})
    with pytest.raises(ConfigError) as caught:
        run.run(config, ProcessWorker(torch.device("cpu")))
    line = "runtime.step: is captured, which needs a CUDA device, and this one is cpu; use eager"
    assert str(caught.value) == line
    assert not run.record_of(config).folder.exists()


class _Capture:
    """A capture whose end fails too if what is captured does."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            raise RuntimeError("capture failed due to a previous error")


@pytest.mark.parametrize(
    ("error", "kind", "line"),
    [
        (
            RuntimeError("operation not permitted when stream is capturing\nCompile with ..."),
            ConfigError,
            "runtime.step: is captured, but this network cannot be captured: operation not permitted when stream is "
            "capturing Compile with ...; use eager",
        ),
        (torch.OutOfMemoryError("CUDA out of memory"), torch.OutOfMemoryError, "CUDA out of memory"),
        (TypeError("a fault of the code"), TypeError, "a fault of the code"),
        (KeyboardInterrupt("an interrupt"), KeyboardInterrupt, "an interrupt"),
    ],
)
def test_what_cannot_be_captured_is_told(
    error: BaseException, kind: type[BaseException], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"graph_pool_handle": object, "CUDAGraph": object, "graph": _Capture}.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(graphs, "_stream", lambda: None)

    def function(value: Tensor) -> Tensor:
        raise error

    with pytest.raises(kind) as caught:
        graphs.Graphs().capture(function, torch.zeros(1))
    assert str(caught.value) == line
