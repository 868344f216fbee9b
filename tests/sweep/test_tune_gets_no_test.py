"""What only tells never reaches Tune: no searcher, no pruner, no result on the way. No Ray is started."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import ray.train
import torch
from study_helpers import design, end
from test_adapters import SHORT, _Reports, _Tracker
from test_driver import _Driver
from trained_helpers import SMALL

from randwire.metrics import TEST, TEST_TOP1
from randwire.records import Row
from randwire.study.design import Design
from randwire.study.pruner import Pruner
from randwire.study.setting import Setting
from randwire.sweep import worker
from randwire.sweep.channel import SETTING_ENDED
from randwire.sweep.job import Job
from randwire.sweep.searcher import StudySearch

SETTING = "ws:k=4,p=0.75"
TOLD = {metric.key: 12.345 + number for number, metric in enumerate(TEST)}
"""Values that are found wherever they are."""


def _clean(values: object) -> bool:
    """Whether nothing in some values is of the images that only tell, by name or by number."""
    text = json.dumps(values, default=repr)
    return "test_" not in text and not any(str(number) in text for number in TOLD.values())


@pytest.fixture
def study(tmp_path: Path) -> Design:
    base = design(tmp_path).base.override({**SMALL, "data.holdout": 300, "train.epochs": 2})
    study = Design(base, settings=4, seeds=1, early_stopping=True)
    study.open()
    return study


@pytest.fixture
def reported(study: Design, monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    """All that a worker of that study has reported to Train, or asked the pruner, in the training of a setting."""
    monkeypatch.setattr(
        ray.train, "get_context", lambda: SimpleNamespace(get_world_rank=lambda: 0, get_world_size=lambda: 1)
    )
    resources = SimpleNamespace(get_assigned_resources=lambda: {"CPU": 1})
    pruner = Pruner({})
    asked: list[Row] = []

    def should_stop(*values: Any) -> bool:
        asked.append({"asked": values})
        return pruner.should_stop(*values)

    actor = SimpleNamespace(should_stop=SimpleNamespace(remote=should_stop))
    for name, value in (("get_runtime_context", lambda: resources), ("get_actor", lambda name: actor)):
        monkeypatch.setattr(ray, name, value)
    monkeypatch.setattr(ray, "get", lambda value: value)
    monkeypatch.setattr(worker, "get_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(worker, "machines_going", frozenset)
    rows: list[Row] = []
    monkeypatch.setattr(ray.train, "report", rows.append)
    message = SimpleNamespace(remote=lambda *_: None)
    channel = SimpleNamespace(send_step=message, send_row=message)
    job = Job(study, workers=1, scratch="", losses=1, timeouts=SHORT)
    worker.train_setting(Setting.parse(SETTING), job, channel)
    assert [row.get("epoch") for row in rows] == [1, 2, None]
    assert len(asked) == 2
    return rows + asked


def test_nothing_that_is_reported_to_tune_tells(study: Design, reported: list[Row]) -> None:
    assert all(_clean(row) for row in reported)
    summary = study.record(study.trials(Setting.parse(SETTING))[0]).summary()
    assert summary is not None
    assert TEST_TOP1.key in summary, "it was evaluated, and is in the record"
    assert not any(str(summary[metric.key]) in json.dumps(reported) for metric in TEST), "nor under another name"
    one = _Driver(study, [[*reported[:3], {SETTING_ENDED: 0}]], SETTING)
    results = one.results_for_tune()
    assert results[-1]["setting_top1"] == summary["val_top1"]
    assert all(_clean(result) for result in results)


def test_the_searcher_is_told_of_what_chooses_alone(study: Design, monkeypatch: pytest.MonkeyPatch) -> None:
    search = StudySearch(study, SHORT)
    told: list[Any] = []
    monkeypatch.setattr(search._search, "tell", lambda *values: told.append(values))
    setting = search.suggest("0")["setting"]
    end(study, setting, top1=50.0)
    (record,) = (study.record(trial) for trial in study.trials(Setting.parse(setting)))
    summary = record.summary()
    assert summary is not None
    record.write_json("summary.json", {**summary, **TOLD})
    search.on_trial_complete("0", {"setting_top1": 99.0, **TOLD})
    assert told == [(Setting.parse(setting), "finished", 50.0)]


def test_the_tracker_gets_it_from_the_record(study: Design, monkeypatch: pytest.MonkeyPatch) -> None:
    finished: list[Mapping[str, Any]] = []
    monkeypatch.setattr(_Tracker, "finish", lambda tracker, trial, status, summary: finished.append(summary))
    (trial,) = study.trials(Setting.parse(SETTING))
    summary = {"status": "finished", "val_top1": 50.0, "cause": None, "epochs": 2, "seconds": 1.0}
    report = _Reports(study, SETTING)
    study.record(trial).write_json("summary.json", {**summary, **TOLD})
    report({"digest": trial.digest, "summary": summary})
    assert finished == [{**summary, **TOLD}]
