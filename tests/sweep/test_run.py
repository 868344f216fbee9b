"""`sweep.run`: what it does around the trainings, on studies that have nothing left to train."""

from pathlib import Path

import pytest
from study_helpers import command, design, drain, end

from randwire import sweep
from randwire.errors import ConfigError
from randwire.study.design import Design
from randwire.study.search import SettingSearch
from randwire.sweep import launch
from randwire.tracking import NullTracker, Tracker


class _Tracker(NullTracker):
    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def trackers(monkeypatch: pytest.MonkeyPatch) -> list[_Tracker]:
    """Those that were opened."""
    opened: list[_Tracker] = []

    def tracker_of(config: object, several: bool) -> Tracker:
        opened.append(_Tracker())
        return opened[-1]

    monkeypatch.setattr(launch, "tracker_of", tracker_of)
    return opened


@pytest.fixture
def study(tmp_path: Path) -> Design:
    """A study whose settings have all ended, one of them in a failure."""
    study = design(tmp_path, settings=3, seeds=1)
    last = drain(SettingSearch(study), 3)[-1]
    end(study, last, status="failed")
    return study


def test_a_study_that_has_ended_is_swept_from_python(study: Design, trackers: list[_Tracker]) -> None:
    assert sweep.run(study) == 1
    assert [tracker.closed for tracker in trackers] == [True]


def test_a_tracker_is_closed_whatever_happens(
    study: Design, trackers: list[_Tracker], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(launch, "SettingSearch", interrupt)
    with pytest.raises(KeyboardInterrupt):
        launch.sweep(study, sweep.Cluster())
    assert [tracker.closed for tracker in trackers] == [True]


def test_a_mistake_is_found_before_anything_is_opened_or_written(tmp_path: Path, trackers: list[_Tracker]) -> None:
    with pytest.raises(ConfigError, match="is not divisible by 7 ranks"):
        sweep.run(design(tmp_path), sweep.Cluster(workers=7))
    assert trackers == []
    assert not (tmp_path / "study").exists()


def test_the_options_of_the_command_line_are_those_of_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept: list[sweep.Cluster] = []

    def run(study: Design, cluster: sweep.Cluster, retry: bool) -> int:
        swept.append(cluster)
        return 0

    monkeypatch.setattr(launch, "sweep", run)
    monkeypatch.setattr(launch, "reach", lambda address: None)
    options = ("--address", "10.0.0.1:6379", "--workers", "4", "--cpus-per-worker", "3", "--concurrent", "2")
    output = ("--runtime.output", str(tmp_path), "--no-open")
    assert command("sweep", *options, "--losses", "5", "--stall-minutes", "0.5", *output) == 0
    assert command("sweep", *output) == 0
    given = sweep.Cluster("10.0.0.1:6379", 4, 3, 2, losses=5, timeouts=sweep.Timeouts(stall_s=30.0))
    assert swept == [given, sweep.Cluster()]
