"""The benchmark of starts: what it makes of its marks."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.start import ours, plain
from benchmarks.start.marks import MARKS, STAGES, in_worker, spans_of
from benchmarks.start.measure import FORMS, Measured
from benchmarks.start.picture import draw
from benchmarks.start.report import show
from randwire import data, run
from randwire.config import load
from randwire.study.design import Design
from randwire.study.setting import Setting
from randwire.sweep import tuning, worker
from randwire.sweep.driver import SettingDriver
from randwire.sweep.job import Job

AT = {"driver": 1.0, "workers": 4.0, "data": 4.5, "network": 4.75, "step": 6.0, "trained": 9.0}


def test_stages_follow_each_other_without_gaps(tmp_path: Path) -> None:
    """The first setting waits for the cluster; of marks that come again the first counts, and the last end."""
    began, cluster = 100.0, 105.0
    marks = [["", "cluster", cluster]]
    marks += [["a", stage, cluster + at] for stage, at in AT.items()]
    marks += [["b", stage, cluster + 9 + at / 2] for stage, at in AT.items()]
    marks += [["a", "step", cluster + 8], ["b", "trained", cluster + 9 + 4]]
    (tmp_path / MARKS).write_text("".join(json.dumps(mark) + "\n" for mark in marks))
    first, later = spans_of(tmp_path / MARKS, began)
    assert list(first) == list(later) == list(STAGES)
    assert list(first.values()) == [5.0, 1.0, 3.0, 0.5, 0.25, 1.25, 3.0]
    assert list(later.values()) == [0.0, 0.5, 1.5, 0.25, 0.125, 0.625, 1.5]
    assert sum(first.values()) + sum(later.values()) == pytest.approx(cluster + 9 + 4.5 - began)


def test_the_share_of_training_is_of_the_whole_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spans = [dict.fromkeys(STAGES, 1.0), {**dict.fromkeys(STAGES, 0.5), "trained": 2.0}]
    sweeps = [Measured(form, 10.0 * scale, 6.0, spans) for scale, form in zip((2, 1), FORMS, strict=True)]
    assert [sweep.share for sweep in sweeps] == [0.15, 0.3]
    show(sweeps)
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    numbers = {line[0]: [cell.strip() for cell in line if cell.strip()][1:] for line in lines if len(line) > 1}
    assert numbers["all before training"] == ["6.0", "3.0", "6.0", "3.0"]
    assert numbers["randwire"] == ["10", "30 %", "6", "2.00", "1.00"]
    draw(sweeps, tmp_path / "start.png")
    assert (tmp_path / "start.png").read_bytes().startswith(b"\x89PNG")


def test_what_the_benchmark_replaces_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its marks stand in for functions of randwire by name, which no type checker sees; and Ray finds its functions."""
    assert {"results_of", "start"} <= vars(SettingDriver).keys()
    assert tuning.SettingDriver is SettingDriver  # type: ignore[attr-defined]
    assert {function.__module__ for function in (ours.train_ours, ours.MarkedDriver, plain.drive_plain)} == {
        "benchmarks.start.ours", "benchmarks.start.plain"
    }  # fmt: skip
    rank_0 = SimpleNamespace(get_world_rank=lambda: 0)
    monkeypatch.setattr("ray.train.get_context", lambda: rank_0)
    trained: list[Setting] = []
    monkeypatch.setattr(worker, "train_setting", lambda setting, job, desk: trained.append(setting))
    design = Design(load("digits", {"runtime.output": str(tmp_path), "runtime.study": "marks"}))
    design.folder.mkdir(parents=True)
    setting = Setting("er:p=0.2")
    with in_worker(Job(design, 1, str(tmp_path))):
        worker.train_setting(setting, Job(design, 1, str(tmp_path)), None)
        assert data.prepare.__name__ == vars(run)["build"].__name__ == worker.RayWorker.step.__name__ == "marked"
    assert trained == [setting]
    marks = [json.loads(line) for line in (design.folder / MARKS).read_text().splitlines()]
    assert [mark[:2] for mark in marks] == [[str(setting), "workers"], [str(setting), "trained"]]
