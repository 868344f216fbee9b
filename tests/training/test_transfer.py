"""Batches on their way to a device: in order, ahead of their use, and with no more memory than is said."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lazy_gpu import DEVICE, LazyGpu, OnGpu, lazy_gpu

from randwire.training import loop
from randwire.training.mid_epoch import EpochPart
from randwire.training.transfer import AHEAD, Fetched, sent

CPU = torch.device("cpu")
BATCHES = 30


@pytest.fixture
def gpu() -> Iterator[LazyGpu]:
    with lazy_gpu() as one:
        yield one


def _step(gpu: LazyGpu, batch: tuple[Any, Any], done: list[object]) -> None:
    """Ask the device for a step on the batch, which needs it to be there."""

    def step() -> None:
        assert all(tensor.arrived for tensor in batch), "used before it was copied"
        done.append(batch[0].name)

    gpu.compute.ask(step)


@pytest.mark.parametrize("page_locked", [True, False])
def test_memory_is_bounded_though_the_device_does_nothing_by_itself(gpu: LazyGpu, page_locked: bool) -> None:
    given, batch = 0, None
    done: list[object] = []
    for batch in sent((gpu.batch(number, page_locked) for number in range(BATCHES)), DEVICE):
        assert [tensor.name for tensor in batch] == [given, f"labels {given}"]  # type: ignore[attr-defined]
        assert done == [*range(given - 1)], "of the steps before, the last one is still to be done"
        assert len(gpu.page_locked) <= 2 * (AHEAD + 2), "images and labels of the last step, this one, and those ahead"
        assert len(gpu.tensors) <= 2 * (AHEAD + 3)
        _step(gpu, batch, done)
        given += 1
    assert given == BATCHES
    gpu.compute.do(gpu.compute.asked)
    assert done == [*range(BATCHES)]
    del batch
    assert not gpu.page_locked
    assert not gpu.tensors


def test_copies_have_a_stream_of_their_own_and_memory_waits_for_both(gpu: LazyGpu) -> None:
    batches: Any = sent([gpu.batch(0), gpu.batch(1)], DEVICE)
    streams = [tensor.streams for batch in batches for tensor in batch]
    (copies,) = {id(first) for first, _ in streams}
    assert copies != id(gpu.compute), "one, also for the next epoch"
    assert all(second is gpu.compute for _, second in streams)
    again: Any = next(sent([gpu.batch(0)], DEVICE))
    assert id(again[0].streams[0]) == copies


def test_the_first_step_waits_for_one_batch_and_the_later_ones_have_two_ahead(gpu: LazyGpu) -> None:
    taken = []

    def source() -> Iterator[Any]:
        for number in range(6):
            taken.append(number)
            yield gpu.batch(number)

    assert [len(taken) for _ in sent(source(), DEVICE)] == [1, 3, 5, 6, 6, 6]


def test_what_is_on_the_device_stays_where_it_is(gpu: LazyGpu) -> None:
    batch: Any = OnGpu(gpu, "images"), OnGpu(gpu, "labels")
    assert [*sent([batch, batch], DEVICE)] == [batch, batch]
    assert not gpu.page_locked


def test_on_a_cpu_batches_are_given_as_they_are() -> None:
    batches = [(torch.zeros(1), torch.zeros(1)) for _ in range(3)]
    given = [*sent(batches, CPU)]
    assert all(one is other for one, other in zip(given, batches, strict=True))


@pytest.mark.parametrize("device", [CPU, DEVICE])
def test_who_stops_early_ends_what_the_batches_come_from(gpu: LazyGpu, device: torch.device) -> None:
    ended = []

    def source() -> Iterator[Any]:
        try:
            for number in range(BATCHES):
                yield gpu.batch(number)
        finally:
            ended.append(True)

    held = source()  # as an error holds it that is on its way up
    batches: Any = sent(held, device)
    for _ in range(3):
        next(batches)
    assert not ended
    batches.close()
    assert ended
    gpu.compute.do(gpu.compute.asked)  # nothing is left that fails


@pytest.mark.parametrize("device", [CPU, DEVICE])
def test_an_error_of_the_batches_passes(gpu: LazyGpu, device: torch.device) -> None:
    def source() -> Iterator[Any]:
        yield gpu.batch(0)
        raise ValueError("image 8 is damaged")

    batches = sent(source(), device)
    next(batches)
    with pytest.raises(ValueError, match="image 8 is damaged"):
        next(batches)


def test_waiting_for_the_device_is_not_waiting_for_images(gpu: LazyGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: clock.now))

    def source() -> Iterator[Any]:
        for number in range(BATCHES):
            clock.now += 10
            yield gpu.batch(number)

    def on_wait() -> None:
        clock.now += 1000

    gpu.on_wait = on_wait
    part = EpochPart(torch.zeros(()))
    assert len([*sent(loop._timed(source(), part), DEVICE)]) == BATCHES
    assert part.loading == 10 * BATCHES
    assert clock.now > 1000


def test_a_fetched_value_is_that_of_its_time() -> None:
    value = torch.ones(2)
    fetched = Fetched(value)
    value += 1
    assert fetched.read().tolist() == [1, 1]
