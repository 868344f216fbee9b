"""The driver of settings and its worker group, without Ray: what is passed on, what is kept, and what is given up."""

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.exceptions import RayError
from study_helpers import design, end

from randwire.errors import UserError
from randwire.records import Row
from randwire.study.design import Design
from randwire.sweep import worker_group
from randwire.sweep.channel import SAVED, SETTING_ENDED, USER_ERROR, Channel
from randwire.sweep.cluster import Timeouts
from randwire.sweep.driver import SettingDriver
from randwire.sweep.job import Job
from randwire.sweep.worker_group import WorkerGroup

LOSSES = 4
SHORT = Timeouts(retry_delays_s=(0.0,) * 2, close_s=0.0)
SETTINGS = ("ws:k=4,p=0.75", "er:p=0.2", "ba:m=5")


def test_a_channel_hands_out_settings_in_order_to_those_who_wait_and_to_those_who_come_later() -> None:
    async def ranks() -> list[str | None]:
        channel = Channel()
        early = asyncio.gather(*(channel.receive_setting(number) for number in (0, 1, 0)))
        await asyncio.sleep(0)
        assert not early.done()
        for setting in ("a", "b", None):
            await channel.send_setting(setting)
        return [*await early, await channel.receive_setting(1), await channel.receive_setting(2)]

    assert asyncio.run(ranks()) == ["a", "b", "a", "b", None]


def test_a_channel_hands_out_rows_in_order_and_says_when_there_is_none() -> None:
    async def rows() -> list[Row | None]:
        channel = Channel()
        await channel.send_row({"epoch": 1})
        await channel.send_row({"epoch": 2})
        return [await channel.receive_row(0.01) for _ in range(3)]

    assert asyncio.run(rows()) == [{"epoch": 1}, {"epoch": 2}, None]


class _Remote:
    """A method of an actor that is called at once."""

    def __init__(self, method: Callable[..., object]) -> None:
        self.remote = method


class _Channel:
    """A channel that has its rows already; at `end`, the training ends (with an error, if that is one)."""

    def __init__(self, rows: Iterable[Any], group: WorkerGroup) -> None:
        rows = iter(rows)

        def receive_row(timeout_s: float) -> Row | None:
            row = next(rows, None)
            if isinstance(row, BaseException):
                group.ended.set_exception(row)
                return None
            return row

        self.settings: list[str | None] = []
        self.send_setting, self.receive_row = _Remote(self.settings.append), _Remote(receive_row)


@pytest.fixture(autouse=True)
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "get", lambda value: value)


def _group(rows: Iterable[Any]) -> WorkerGroup:
    group = WorkerGroup.__new__(WorkerGroup)
    group.sent, group.busy, group.closed, group.ended = 0, False, False, Future()
    group.timeouts = SHORT
    group.channel = _Channel(rows, group)
    return group


def test_a_group_passes_on_the_rows_of_each_setting() -> None:
    group = _group([{"epoch": 1}, None, {"epoch": 2}, {SETTING_ENDED: 0}, None, {"epoch": 1}, {SETTING_ENDED: 1}])
    assert list(group.rows("a")) == [{"epoch": 1}, {"epoch": 2}]
    assert list(group.rows("b")) == [{"epoch": 1}]
    assert group.channel.settings == ["a", "b"]


def test_the_last_rows_of_a_lost_group_are_not_lost() -> None:
    """Rows that come after the training has ended, and between two looks at it, are passed on in order."""
    lost = RayError("lost")
    rows = _group([{"epoch": 1}, lost, {"epoch": 2}, {"epoch": 3}]).rows("a")
    assert [next(rows)["epoch"] for _ in range(3)] == [1, 2, 3]
    with pytest.raises(RayError, match="lost"):
        next(rows)


def test_a_mistake_of_the_user_comes_before_the_loss_that_it_causes() -> None:
    with pytest.raises(UserError, match="mend this"):
        list(_group([RayError("lost"), {USER_ERROR: "mend this"}]).rows("a"))


class _Driver(SettingDriver):
    """Starts groups that have their rows, one list after the other."""

    def __init__(self, study: Design, groups: Iterable[list[Any]], setting: str = SETTINGS[0]) -> None:
        self.groups, self.started = iter(groups), list[WorkerGroup]()
        self.setup({"setting": setting}, Job(study, workers=1, scratch="", losses=LOSSES, timeouts=SHORT))

    def start(self) -> WorkerGroup:
        self.started.append(_group(next(self.groups)))
        return self.started[-1]

    def results_for_tune(self) -> list[Row]:
        """What Tune gets of a setting, without the measure where it is NaN."""
        results: list[Row] = []
        while not results or not results[-1].get("done"):
            results.append(self.step())
        return [{key: value for key, value in row.items() if value == value} for row in results]


@pytest.fixture
def study(tmp_path: Path) -> Design:
    study = design(tmp_path, seeds=1)
    study.open()
    for setting in SETTINGS:
        end(study, setting)
    return study


def _row(epoch: int) -> Row:
    return {"digest": "d", "epoch": epoch}


def _finished(setting: str) -> Row:
    return {"setting_top1": 50.0, "outcome": "finished", "setting": setting, "done": True}


def test_one_group_trains_the_settings_of_a_driver(study: Design) -> None:
    one = _Driver(study, [[_row(1), {SETTING_ENDED: 0}, _row(1), {SETTING_ENDED: 1}, {SETTING_ENDED: 2}]])
    for setting in SETTINGS:
        assert one.reset_config({"setting": setting})
        assert one.results_for_tune()[-1] == _finished(setting)
    (group,) = one.started
    assert group.channel.settings == list(SETTINGS)
    one.cleanup()
    assert group.channel.settings == [*SETTINGS, None]


def test_checkpoints_within_an_epoch_are_progress_and_no_results(study: Design) -> None:
    """Of a training that is lost again and again: an epoch may take longer than a machine stays."""
    parts = [[{"digest": "d", SAVED: (1, step)}, RayError("a machine was lost")] for step in range(LOSSES + 3)]
    one = _Driver(study, [*parts, [_row(1), {SETTING_ENDED: 0}]])
    one.job = replace(one.job, timeouts=replace(SHORT, retry_delays_s=(0.0,)))
    results = one.results_for_tune()
    assert results[-1] == _finished(SETTINGS[0])
    assert not any(SAVED in result for result in results)
    standing = [[{"digest": "d", SAVED: (1, 1)}, RayError("a machine was lost")] for _ in range(LOSSES + 1)]
    two = _Driver(study, standing)
    two.job = one.job
    assert two.results_for_tune()[-1]["error"] == "a machine was lost", "it comes to no further checkpoint"


def test_a_cluster_that_ends_with_its_sweep_ends_its_workers(study: Design, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_group, "wait", None)
    one = _Driver(study, [[_row(1), {SETTING_ENDED: 0}]])
    one.job = replace(one.job, local=True)
    one.results_for_tune()
    one.cleanup()
    assert one.started[0].channel.settings == [SETTINGS[0]]


def test_an_interrupt_does_not_wait_for_a_training(study: Design, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_group, "wait", None)
    one = _Driver(study, [[_row(1), _row(2)]])
    one.step()
    one.cleanup()
    assert one.started[0].channel.settings == [SETTINGS[0]]


def test_a_group_that_is_lost_between_two_settings_is_no_loss(study: Design) -> None:
    one = _Driver(study, [[{SETTING_ENDED: 0}], [{SETTING_ENDED: 0}]])
    one.results_for_tune()
    one.started[0].ended.set_exception(RayError("a machine was lost"))
    one.reset_config({"setting": SETTINGS[1]})
    assert one.results_for_tune() == [_finished(SETTINGS[1])]
    assert len(one.started) == 2


def test_a_group_without_work_ends_after_a_while(study: Design) -> None:
    one = _Driver(study, [[{SETTING_ENDED: 0}], [{SETTING_ENDED: 0}]])
    one.job = replace(one.job, timeouts=replace(SHORT, idle_s=0.0))
    one.results_for_tune()
    (group,) = one.started
    for _ in itertools.takewhile(lambda _: not group.closed, itertools.count()):
        pass
    one.reset_config({"setting": SETTINGS[1]})
    assert one.results_for_tune() == [_finished(SETTINGS[1])]
    assert one.started[1] is not group


def test_a_group_with_work_does_not_end_for_the_idleness_before_it(study: Design) -> None:
    before = {*threading.enumerate()}  # timers of other drivers run for a minute
    one = _Driver(study, [[{SETTING_ENDED: 0}, _row(1), {SETTING_ENDED: 1}]])
    one.job = replace(one.job, timeouts=replace(SHORT, idle_s=5.0))
    one.results_for_tune()
    idle = [thread for thread in {*threading.enumerate()} - before if isinstance(thread, threading.Timer)]
    assert len(idle) == 1
    one.reset_config({"setting": SETTINGS[1]})
    for timer in idle:
        timer.join(10)
    assert not one.started[0].closed


def test_a_training_without_progress_is_given_up(study: Design) -> None:
    one = _Driver(study, [[_row(1), RayError("lost")]] + [[_row(1), RayError("a cause")]] * (LOSSES - 1))
    *before, last = one.results_for_tune()
    assert [row["lost"] for row in before if "lost" in row] == ["lost"] + ["a cause"] * (LOSSES - 2)
    assert last == {"setting": SETTINGS[0], "error": "a cause", "done": True}


def test_a_training_that_makes_progress_goes_on_for_ever(study: Design) -> None:
    lost = [[_row(epoch), RayError("lost")] for epoch in range(1, 3 * LOSSES)]
    one = _Driver(study, [*lost, [{SETTING_ENDED: 0}]])
    assert one.results_for_tune()[-1] == _finished(SETTINGS[0])


def test_after_a_mistake_the_next_setting_has_a_group_of_its_own(study: Design) -> None:
    one = _Driver(study, [[{USER_ERROR: "mend this"}], [{SETTING_ENDED: 0}]])
    assert one.results_for_tune() == [{"setting": SETTINGS[0], "error": "mend this", "done": True}]
    one.reset_config({"setting": SETTINGS[1]})
    assert one.results_for_tune() == [_finished(SETTINGS[1])]
