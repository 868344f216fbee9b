"""When a training is saved in the middle of an epoch, and whether it ends."""

import threading
from types import SimpleNamespace

import pytest
import torch
from thread_ranks import on_ranks
from torch import Tensor

from randwire.training import checks
from randwire.training.checks import LONG_PAUSE_S, MAX_STEPS, Checks, Decision
from randwire.training.transfer import AHEAD, Fetched
from randwire.training.worker import ProcessWorker

CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(now=0.0)
    monkeypatch.setattr(checks, "time", SimpleNamespace(monotonic=lambda: now.now))
    return now


class Asking(ProcessWorker):
    """A machine that is announced to go, once."""

    asked = False

    def asked_to_save(self) -> bool:
        asked, self.asked = self.asked, False
        return asked


def test_one_rank_saves_when_it_is_due(clock: SimpleNamespace) -> None:
    looked = Checks(ProcessWorker(CPU), 60, lambda: False)
    looked.begin(0)
    saved = []
    for step in range(1, 31):
        clock.now += 10
        if looked.after_step(step).save:
            looked.saved()
            saved.append(step)
    assert saved == [6, 12, 18, 24, 30]


def test_before_a_long_pause_it_is_saved(clock: SimpleNamespace) -> None:
    looked = Checks(ProcessWorker(CPU), 60, lambda: False)
    looked.begin(0)
    clock.now = 55
    assert not looked.after_step(1).save
    assert not looked.after_step(2, pause_s=4).save
    assert looked.after_step(2, pause_s=5).save
    looked.saved()
    assert looked.after_step(2, pause_s=LONG_PAUSE_S + 1).save, "it may be asked to end while the pause lasts"


def test_who_is_asked_saves_once_and_who_is_to_stop_saves(clock: SimpleNamespace) -> None:
    worker, stop = Asking(CPU), SimpleNamespace(asked=False)
    looked = Checks(worker, 60, lambda: stop.asked)
    looked.begin(0)
    worker.asked = True
    assert [looked.after_step(step) for step in (1, 2)] == [Decision(True, False), Decision()]
    stop.asked = True
    assert looked.after_step(3) == Decision(True, True)


def test_ranks_agree_and_ask_each_other_seldom(clock: SimpleNamespace) -> None:
    """What the second rank is told counts; its clock does not, nor how long its own steps take."""
    asked = []

    def train(rank: int) -> list[Decision]:
        worker = Asking(CPU, rank, 2)
        decisions: list[Decision] = []
        looked = Checks(worker, 1e6, lambda: rank == 1 and len(decisions) >= 150)
        looked.begin(0)
        for step in range(1, 301):
            if rank == 0:
                clock.now = step * 0.5  # ten steps in the seconds from check to check
            worker.asked = worker.asked or (rank == 1 and step == 100)
            before = looked._next
            decisions.append(looked.after_step(step, 0.0 if step == 300 else None))
            if rank == 0 and looked._next != before:
                asked.append(step)
            if decisions[-1].stop:
                break
        return decisions

    first, second = on_ranks(2, train)
    assert first == second
    assert asked == [1, *range(11, 152, 10)]
    assert [step for step, decision in enumerate(first, 1) if decision.save] == [101, 151]
    assert len(first) == 151


class OnGpus:
    """Two ranks that take half a second a step, on a device whose answers are not there before it is waited for."""

    def __init__(self, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock, self.read_at, groups = clock, set[int](), threading.local()

        class Answers(Fetched):
            def read(answers) -> Tensor:  # noqa: N805
                self.read_at.add(groups.step)
                return super().read()

        self.groups = groups
        monkeypatch.setattr(checks, "on_device", lambda values, device: values)
        monkeypatch.setattr(checks, "Fetched", Answers)

    def decisions(self, rank: int, steps: int, save_at: int, stop_at: int) -> list[Decision]:
        """Of each step until one stops; the second rank is asked to save and to stop before these steps."""
        self.groups.step = 0
        worker = Asking(torch.device("cuda", rank), rank, 2)
        looked = Checks(worker, 1e6, lambda: rank == 1 and self.groups.step >= stop_at)
        looked.begin(0)
        decided: list[Decision] = []
        for step in range(1, steps + 1):
            self.groups.step = step
            if rank == 0:
                self.clock.now = step * 0.5
            worker.asked = worker.asked or (rank == 1 and step == save_at)
            decided.append(looked.after_step(step, 0.0 if step == steps else None))
            if decided[-1].stop:
                break
        return decided


def test_ranks_on_gpus_agree_without_waiting_for_a_step(
    clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They ask at 1, 11, ...; the answers are read when the host has waited for the device anyway."""
    gpus = OnGpus(clock, monkeypatch)
    first, second = on_ranks(2, lambda rank: gpus.decisions(rank, 300, save_at=100, stop_at=150))
    assert first == second
    assert [step for step, decision in enumerate(first, 1) if decision.save] == [101 + AHEAD, 151 + AHEAD]
    assert len(first) == 151 + AHEAD
    assert sorted(gpus.read_at) == [asked + AHEAD for asked in (1, *range(11, 152, 10))]


@pytest.mark.parametrize("save_at", [11, 12])
def test_the_end_of_an_epoch_waits_for_what_was_asked(
    clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, save_at: int
) -> None:
    """Of step 11, whose answers are on their way, and of the last one itself."""
    gpus = OnGpus(clock, monkeypatch)
    first, second = on_ranks(2, lambda rank: gpus.decisions(rank, 12, save_at, stop_at=99))
    assert first == second
    assert [step for step, decision in enumerate(first, 1) if decision.save] == [12]


def test_fast_steps_are_not_counted_in_hundreds(clock: SimpleNamespace) -> None:
    def train(rank: int) -> int:
        looked = Checks(ProcessWorker(CPU, rank, 2), 1e6, lambda: False)
        looked.begin(0)
        clock.now = 0.0
        looked.after_step(1)
        return looked._next

    assert on_ranks(2, train) == [1 + MAX_STEPS] * 2
