"""What Tune is given to call: the search of a study, and the callback that passes rows on. No Ray is started."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.search import Searcher
from study_helpers import NAMES, design, end

from randwire.config import RunConfig
from randwire.records import Record, Row
from randwire.study import race, space
from randwire.study.design import Design
from randwire.study.folder import StudyFolder, failures_of
from randwire.study.setting import Setting
from randwire.sweep.callback import TrackingCallback
from randwire.sweep.cluster import Timeouts
from randwire.sweep.progress import Progress
from randwire.sweep.searcher import StudySearch
from randwire.tracking import NullTracker

SHORT = Timeouts(storage_s=0.0, storage_poll_s=0.0)


@pytest.fixture
def study(tmp_path: Path) -> Design:
    study = design(tmp_path, settings=4, seeds=1)
    study.open()
    return study


def test_tune_gets_the_settings_of_the_search_until_there_is_no_more(study: Design) -> None:
    search = StudySearch(study, SHORT)
    suggested = []
    for number in range(4):
        suggested.append(search.suggest(str(number))["setting"])
        assert [str(setting) for setting in StudyFolder(study.folder).suggestions()] == suggested
        end(study, suggested[-1], top1=50.0 + number)
        search.on_trial_complete(str(number), {"setting_top1": float("nan")})
    assert search.suggest("4") == Searcher.FINISHED
    assert set(suggested[:3]) == {str(setting) for setting in space.best(NAMES)}


def test_the_outcome_of_a_setting_is_what_its_records_say(study: Design) -> None:
    search = StudySearch(study, SHORT)
    for number, top1 in enumerate((10.0, 90.0)):
        end(study, search.suggest(str(number))["setting"], top1=top1)
        search.on_trial_complete(str(number), {"setting_top1": 99.0})
    optuna_study: Any = search._ot_study
    assert [trial.value for trial in optuna_study.trials] == [10.0, 90.0]


class _Tracker(NullTracker):
    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def start(self, record: Record, group: str, resumed_epochs: int | None = None) -> None:
        self.calls.append(("start", record.folder.name, group, resumed_epochs))

    def log(self, trial_id: str, row: Mapping[str, Any]) -> None:
        self.calls.append(("log", trial_id, row["epoch"]))

    def finish(self, trial_id: str, status: str, summary: Mapping[str, Any]) -> None:
        self.calls.append(("finish", trial_id, status))


class _Reports:
    """A callback of Tune, and the trial of a setting that reports to it."""

    def __init__(self, study: Design, setting: str) -> None:
        self.tracker = _Tracker()
        progress = Progress(0, lambda config: Setting.of(config).label)
        self.callback = TrackingCallback(study, self.tracker, progress, SHORT)
        trial: Any = SimpleNamespace(config={"setting": setting}, get_error=lambda: ValueError("one\ntwo"))
        self.trial = trial
        self.callback.on_trial_start(1, [], self.trial)

    def __call__(self, result: Row) -> None:
        self.callback.on_trial_result(1, [], self.trial, result)


SETTING = "ws:k=4,p=0.75"


@pytest.fixture
def trial(study: Design) -> RunConfig:
    (trial,) = study.trials(Setting.parse(SETTING))
    study.record(trial).write_text("config.yaml", trial.to_yaml())
    return trial


def test_rows_are_logged_from_the_epoch_that_a_training_goes_on_with(study: Design, trial: RunConfig) -> None:
    report = _Reports(study, SETTING)
    summary = {"status": "finished", "val_top1": 50.0, "cause": None, "epochs": 4, "seconds": 1.0}
    for epoch in (3, 4):
        report({"digest": trial.digest, "epoch": epoch})
    report({"digest": trial.digest, "summary": summary})
    report({"digest": trial.digest, "summary": summary})  # of a worker group that was started again
    assert report.tracker.calls == [
        ("start", trial.digest, "WS(4,0.75)", 2),
        ("log", trial.digest, 3),
        ("log", trial.digest, 4),
        ("finish", trial.digest, "finished"),
    ]


def causes(study: Design) -> dict[str, str]:
    """Why settings could not be run, as `status` reads it."""
    return {str(setting): cause for setting, (_, cause) in failures_of(study.folder).items()}


def test_what_could_not_be_run_is_kept_until_it_ends(study: Design, capsys: pytest.CaptureFixture[str]) -> None:
    report = _Reports(study, SETTING)
    report({"setting": SETTING, "lost": "a machine was lost"})
    report({"setting": SETTING, "error": "mend this"})
    assert report.callback.errors == {Setting.parse(SETTING): "mend this"}
    assert causes(study) == {SETTING: "mend this"}
    report.callback.on_trial_error(1, [], report.trial)
    assert causes(study) == {SETTING: "two"}
    report({"setting": SETTING, "outcome": "finished"})
    assert causes(study) == {}
    assert capsys.readouterr().err.splitlines() == [
        "WS(4,0.75): started",
        "WS(4,0.75): a machine was lost; goes on from its last checkpoint",
        "WS(4,0.75): could not be run: mend this",
        "WS(4,0.75): could not be run: two",
    ]


def test_what_an_earlier_round_of_a_race_has_trained_is_no_news(tmp_path: Path) -> None:
    study = design(tmp_path, search="race", only=("ba:m=5", SETTING), seeds=1)
    study.open()
    end(study, SETTING)
    following = race.of_round(study, race.Round(2, study.only, 2, {}))
    old, new = following.trials(Setting.parse(SETTING))
    following.record(new).write_text("config.yaml", new.to_yaml())
    report = _Reports(study, SETTING)
    report.callback.begin_round(following)
    report.callback.on_trial_start(1, [], report.trial)
    summary = {"status": "finished", "val_top1": 50.0, "cause": None, "epochs": 4, "seconds": 1.0}
    report({"digest": old.digest, "summary": summary})
    report({"digest": new.digest, "epoch": 1})
    report({"digest": new.digest, "summary": summary})
    assert [call[:2] for call in report.tracker.calls] == [
        ("start", new.digest),
        ("log", new.digest),
        ("finish", new.digest),
    ]
