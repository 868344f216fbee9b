"""A failed trial is begun again, and keeps what the failed attempt has left."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commands import TINY
from report_helpers import add_trial, write_design
from study_helpers import command, design, end

from randwire import attempts
from randwire.errors import NonFiniteLossError, RecordLockedError
from randwire.records import Record, find_records
from randwire.report.facts.study import StudyFacts
from randwire.report.facts.warnings import warnings
from randwire.study.folder import StudyFolder
from randwire.study.results import load
from randwire.study.search import SettingSearch
from randwire.tracking import runs
from randwire.training.loop import train_epoch

KEYS = (*TINY, "--train.epochs", "2", "--runtime.wandb", "disabled", "--only", "ba:m=3", "--seeds", "1")


def fail_in_epoch(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next training fails in an epoch, as one whose loss is infinite does."""

    def failing(*arguments: Any) -> Any:
        if arguments[3] == epoch:
            monkeypatch.setattr("randwire.run.train_epoch", train_epoch)
            raise NonFiniteLossError("the loss was struck by lightning")
        return train_epoch(*arguments)

    monkeypatch.setattr("randwire.run.train_epoch", failing)


def rows_of(record: Record) -> list[dict[str, Any]]:
    """What a training has measured, without its times."""
    return [{key: row[key] for key in ("epoch", "train_loss", "val_loss", "val_top1")} for row in record.metrics()]


@pytest.mark.condition("D", "a trial of a study that failed", "trial --retry begins it again; the failed one is kept")
def test_a_failed_trial_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ("trial", "1", *KEYS, "--runtime.output")
    assert command(*words, str(tmp_path / "undisturbed")) == 0
    fail_in_epoch(2, monkeypatch)
    assert command(*words, str(tmp_path / "mine")) == 1
    (record,) = find_records(tmp_path / "mine" / "generators")
    failed = {name: (record.folder / name).read_bytes() for name in ("summary.json", "metrics.jsonl")}
    checkpoint = (record.folder / "checkpoint" / "newest.pt").read_bytes()
    capfd.readouterr()
    assert command(*words, str(tmp_path / "mine")) == 1, "it has ended"
    assert capfd.readouterr().err == f"{record}: already failed; --retry begins it again\n"

    assert command(*words, str(tmp_path / "mine"), "--retry") == 0
    (undisturbed,) = find_records(tmp_path / "undisturbed" / "generators")
    assert rows_of(record) == rows_of(undisturbed)
    kept = record.folder / "earlier" / "1"
    assert {name: (kept / name).read_bytes() for name in failed} == failed
    assert (kept / "checkpoint" / "newest.pt").read_bytes() == checkpoint
    (environment,) = json.loads((record.folder / "environment.json").read_text())
    assert environment["first_epoch"] == 1

    capfd.readouterr()
    assert command(*words, str(tmp_path / "mine"), "--retry") == 2
    line = f"error: --retry: {record} is finished, and only what has failed is begun again; leave it out\n"
    assert capfd.readouterr().err == line
    (trial,) = load(tmp_path / "mine" / "generators")[0]
    assert (trial.status, [one["cause"] for one in trial.earlier]) == ("finished", ["the loss was struck by lightning"])
    assert trial.run == runs.run_id(record) == f"{record.folder.name}-2"


def test_what_has_not_ended_is_not_begun_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert command("trial", "1", *KEYS, "--runtime.output", str(tmp_path), "--retry") == 2
    assert capfd.readouterr().err.endswith("has not ended, and only what has failed is begun again; leave it out\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.condition("D", "failed trials of a sweep", "sweep --retry begins them again, and no others")
def test_a_sweep_begins_failed_trials_again_and_no_others(tmp_path: Path) -> None:
    study = replace(design(tmp_path), search="list", only=("ba:m=3", "er:p=0.2", "ws:k=4,p=0.75", "ba:m=5"))
    study.open()
    statuses = {"ba:m=3": "failed", "er:p=0.2": "pruned", "ws:k=4,p=0.75": "finished"}
    for setting in study.fixed_settings():
        if setting.spec in statuses:
            StudyFolder(study.folder).add_suggestion(setting)
            end(study, setting, statuses[setting.spec])
    before = {record.folder.name: record.summary() for record in find_records(study.folder)}
    assert [setting.spec for setting in iter(SettingSearch(study).next, None)] == ["ba:m=5"]

    trials = [trial for setting in study.fixed_settings() for trial in study.trials(setting)]
    again = attempts.retry(study.record(trial) for trial in trials)
    failed = [study.record(trial).folder for trial in trials[:2]]
    assert [record.folder for record in again] == failed
    for record in find_records(study.folder):
        kept = [before[record.folder.name]] if record.folder in failed else []
        assert attempts.earlier(record) == kept
        assert (record.summary() is None) == bool(kept)
    assert [setting.spec for setting in iter(SettingSearch(study).next, None)] == ["ba:m=3", "ba:m=5"]
    assert attempts.retry(study.record(trial) for trial in trials) == []


def test_each_attempt_is_kept_also_where_a_process_ended_amidst(tmp_path: Path) -> None:
    record = Record(tmp_path / "aaa")
    for attempt in (1, 2):
        record.write_json("summary.json", {"status": "failed", "cause": f"cause {attempt}"})
        record.append_metrics({"epoch": attempt})
        if attempt == 2:  # moved before the end of the process that was moving
            (record.folder / "earlier" / "2").mkdir()
            (record.folder / "metrics.jsonl").rename(record.folder / "earlier" / "2" / "metrics.jsonl")
        attempts.begin_again(record)
    assert [summary["cause"] for summary in attempts.earlier(record)] == ["cause 1", "cause 2"]
    assert [Record(record.folder / "earlier" / number).metrics() for number in "12"] == [[{"epoch": 1}], [{"epoch": 2}]]
    assert sorted(path.name for path in record.folder.iterdir()) == [".lock", "earlier"]
    (record.folder / "earlier" / "2" / "summary.json").write_text("")
    assert attempts.earlier(record) == [{"status": "failed", "cause": "cause 1"}, {}]


def test_a_record_that_is_at_work_is_left_alone(tmp_path: Path) -> None:
    record = Record(tmp_path / "aaa")
    record.write_json("summary.json", {"status": "failed", "cause": "x"})
    with record.lock(), pytest.raises(RecordLockedError):
        attempts.begin_again(record)
    assert attempts.has_failed(record)
    record.write_text("summary.json", "")
    assert not attempts.has_failed(record)
    assert attempts.retry([record]) == []


def test_the_report_tells_which_trials_had_failed_before(tmp_path: Path) -> None:
    for seed in (0, 1):
        add_trial(tmp_path, "ws:k=4,p=0.75", seed, 90.0 + seed)
    write_design(tmp_path, "grid")
    assert "failed before" not in " ".join(warning.text for warning in warnings(StudyFacts.load(tmp_path)))
    record = find_records(tmp_path)[0]
    Record(record.folder / "earlier" / "1").write_json("summary.json", {"status": "failed", "cause": "lightning"})
    (warning,) = [one.text for one in warnings(StudyFacts.load(tmp_path)) if "failed before" in one.text]
    assert warning.startswith("1 trial failed before and had to be begun again (--retry): WS(4,0.75) g")
    assert "(lightning)" in warning
