"""A loss that is not finite ends an epoch within some tens of steps, on all ranks at once."""

import math

import pytest
import torch
from thread_ranks import on_ranks
from torch import Tensor, nn

from randwire.config import DataConfig, TrainConfig
from randwire.errors import NonFiniteLossError
from randwire.training.augment import Augment
from randwire.training.evaluate import Normalise
from randwire.training.finite import INTERVAL_STEPS, FiniteLossCheck
from randwire.training.loop import Training, train_epoch
from randwire.training.step import EagerStep
from randwire.training.worker import ProcessWorker

CPU = torch.device("cpu")
STEPS = 1000


class Failing(nn.Module):
    """A network whose outputs are NaN from step `first` on; it counts the steps."""

    def __init__(self, first: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(1, 3))
        self.norm = nn.BatchNorm1d(1)
        self.first, self.steps = first, 0

    def forward(self, images: Tensor) -> Tensor:
        self.steps += 1
        return self.logits.expand(len(images), -1) * (math.nan if self.steps >= self.first else 1.0)


def epoch(network: Failing, rank: int = 0, ranks: int = 1, steps: int = STEPS) -> None:
    config = TrainConfig(epochs=4)
    batches = [(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.tensor([0, 2]))] * steps
    training = Training(
        network,
        EagerStep(network, torch.optim.SGD(network.parameters(), lr=0.1), Normalise((0.0,) * 3, (1.0,) * 3), config),
        Augment(DataConfig(), 0),
        config,
        ProcessWorker(CPU, rank, ranks),
    )
    train_epoch(training, batches, steps, epoch=3)


@pytest.mark.parametrize("first", [1, 40, 64])
def test_a_long_epoch_ends_soon(first: int) -> None:
    network = Failing(first)
    with pytest.raises(NonFiniteLossError, match=r"training loss is nan in epoch 3, step (1 to 32|33 to 64) of 1000"):
        epoch(network)
    assert first <= network.steps < first + INTERVAL_STEPS


def test_the_last_steps_are_checked_too() -> None:
    network = Failing(70)
    with pytest.raises(NonFiniteLossError, match="in epoch 3, step 65 to 70 of 70"):
        epoch(network, steps=70)


def test_all_ranks_end_at_the_same_step() -> None:
    """The loss of the second rank alone is NaN."""
    networks = [Failing(STEPS + 1), Failing(40)]

    def cause(rank: int) -> str:
        with pytest.raises(NonFiniteLossError) as caught:
            epoch(networks[rank], rank, 2)
        return str(caught.value)

    causes = on_ranks(2, cause)
    assert "training loss is nan in epoch 3, step 33 to 64 of 1000" in causes[0]
    assert causes[0] == causes[1]
    assert [network.steps for network in networks] == [64, 64]


class OnGpu:
    """A number on a GPU, as far as the check looks at it; to read it would wait for the device."""

    dtype, is_cuda, shape = torch.float32, True, ()

    def __init__(self, value: float) -> None:
        self.value = value


def test_no_step_waits_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is copied at one check is read at the next: by then, the device is done with it."""
    calls: list[str] = []

    class Pinned:
        def copy_(self, source: OnGpu, non_blocking: bool) -> None:
            assert non_blocking
            self.value = source.value
            calls.append("copy")

        def item(self) -> float:
            calls.append("read")
            return self.value

    class Event:
        def record(self) -> None:
            calls.append("record")

        def synchronize(self) -> None:
            calls.append("wait")

    def pinned(size: tuple[int, ...], dtype: torch.dtype, pin_memory: bool) -> Pinned:
        assert (size, dtype, pin_memory) == ((), torch.float32, True)
        return Pinned()

    monkeypatch.setattr(torch, "empty", pinned)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    check = FiniteLossCheck(TrainConfig(), ProcessWorker(CPU), 1, STEPS)

    def calls_in(steps: range, loss: float) -> list[str]:
        calls.clear()
        for step in steps:
            check.after_step(step, OnGpu(loss))  # type: ignore[arg-type]
        return list(calls)

    assert calls_in(range(1, 32), 1.0) == []
    assert calls_in(range(32, 64), 1.0) == ["copy", "record"]
    assert calls_in(range(64, 96), math.nan) == ["wait", "read", "copy", "record"], "of step 32"
    with pytest.raises(NonFiniteLossError, match="step 33 to 64 of 1000"):
        check.after_step(96, OnGpu(math.nan))  # type: ignore[arg-type]
