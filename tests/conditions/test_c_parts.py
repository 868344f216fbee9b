"""The record of a trial says of each process that trained it where it ran, and the report tells of what changed."""

import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from report_helpers import Page, add_trial, write_design
from trained_helpers import Interrupting, settings

from randwire import environment, run
from randwire.errors import RecordError
from randwire.records import Record
from randwire.report.page.study_page import write_report
from randwire.training.worker import ProcessWorker
from randwire.wiring import sample_graphs

CPU = torch.device("cpu")


@pytest.mark.condition("C", "a trial goes on at another commit", "environment.json keeps both parts")
def test_each_process_that_trains_a_trial_leaves_its_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings(tmp_path, data__resolution=16, network__channels=4)
    with pytest.raises(KeyboardInterrupt):
        run.run(config, Interrupting(2), command="first")
    monkeypatch.setattr(run, "environment", lambda *_: {"commit": "later", "world_size": 2, "command": "second"})
    assert run.run(config, ProcessWorker(CPU))["status"] == "finished"
    run.run(config, ProcessWorker(CPU), command="has nothing to do")
    first, second = Record(run.record_of(config).folder).read_json("environment.json")
    assert (first["command"], first["first_epoch"], first["first_step"]) == ("first", 1, 1)
    assert first["started"]
    assert second == {"commit": "later", "world_size": 2, "command": "second", "first_epoch": 3, "first_step": 1}


@pytest.mark.condition("C", "a commit samples other graphs for a trial that has begun", "one line; the record stays")
def test_a_trial_does_not_go_on_with_other_graphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings(tmp_path, data__resolution=16, network__channels=4)
    with pytest.raises(KeyboardInterrupt):
        run.run(config, Interrupting(1))
    record = run.record_of(config)
    before = {path: path.read_bytes() for path in record.folder.rglob("*") if path.name != ".lock" and path.is_file()}
    other = sample_graphs(config.override({"graph.seed": 1}))
    monkeypatch.setattr(run, "sample_graphs", lambda _: other)
    with pytest.raises(RecordError, match="was trained on other graphs than this code samples for it; go on at"):
        run.run(config, ProcessWorker(CPU))
    after = {path: path.read_bytes() for path in record.folder.rglob("*") if path.name != ".lock" and path.is_file()}
    assert after == before


@pytest.mark.condition("C", "a trial goes on at another commit or number of ranks", "the report warns of the mixture")
def test_the_report_warns_of_mixtures_within_a_trial(tmp_path: Path) -> None:
    names = [add_trial(tmp_path, graph_seed=seed).digest for seed in range(4)]
    write_design(tmp_path, "grid")
    assert "went on" not in Page(write_report(tmp_path)).text
    _divide(tmp_path / names[0], commit="abc123")
    _divide(tmp_path / names[1], world_size=1)
    _divide(tmp_path / names[2], packages={"torch": "2.14.0"})
    text = Page(write_report(tmp_path)).text
    assert "1 trial went on at another commit than it began (71160f4c0ffee, then abc123): WS(4,0.75) g0 t0." in text, (
        text
    )
    assert "1 trial went on on another number of ranks than it began (2 ranks, then 1 rank): WS(4,0.75) g1 t0." in text
    assert "1 trial went on with other package versions than it began: WS(4,0.75) g2 t0." in text
    assert "71160f4c0ffee (3 trials); 71160f4c0ffee, then abc123 (1 trial)" in text
    assert "The trials come from 2 different commits." in text


@pytest.mark.condition("C", "a process ends before its first checkpoint", "its commit is not that of any epoch")
def test_a_part_that_left_nothing_is_no_mixture(tmp_path: Path) -> None:
    record = Record(tmp_path / add_trial(tmp_path).digest)
    _divide(record.folder, commit="abc123", first_epoch=1)
    assert "abc123" in Page(write_report(tmp_path)).text
    assert "went on" not in Page(write_report(tmp_path)).text


@pytest.mark.condition("C", "environment.json of an earlier version", "is read as one part")
def test_an_object_is_the_only_part(tmp_path: Path) -> None:
    record = Record(tmp_path / add_trial(tmp_path, "er:p=0.2").digest)
    assert isinstance(record.read_json("environment.json"), dict)
    assert "71160f4c0ffee" in Page(write_report(tmp_path)).text
    record.write_json("environment.json", [3])
    assert "environment.json: damaged: must hold a list of objects; remove it" in Page(write_report(tmp_path)).text


def _divide(folder: Path, **changes: Any) -> None:
    """Have a trial trained by two processes, the second of which goes on with epoch 3."""
    (before,) = [value] if isinstance(value := Record(folder).read_json("environment.json"), dict) else value
    Record(folder).write_json("environment.json", [before, {"first_epoch": 3, "first_step": 1, **before, **changes}])


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of another project, with a commit."""
    (tmp_path / "file").touch()
    _git(tmp_path, "init", "-q")
    _git(tmp_path, "add", "file")
    _commit(tmp_path)
    return tmp_path


@pytest.mark.condition("C", "an installed copy inside another repository", "records no commit of that repository")
def test_an_installed_copy_is_of_no_commit_of_another_repository(repository: Path) -> None:
    copy = _copied(repository)
    about = copy.environment(ProcessWorker(CPU), "")
    assert (about["commit"], about["dirty"]) == (None, None)
    _git(repository, "add", ".")
    _commit(repository)
    about = copy.environment(ProcessWorker(CPU), "")  # now it is a part of that project
    assert (about["commit"], about["dirty"]) == (_git(repository, "rev-parse", "HEAD"), False)


@pytest.mark.condition("C", "untracked files beside the code", "the commit is clean")
def test_untracked_files_make_no_commit_dirty(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = _copied(repository)
    _git(repository, "add", ".")
    _commit(repository)
    (repository / "notes.txt").touch()
    monkeypatch.setenv("GIT_DIR", str(repository / "elsewhere"))  # as in a hook of another repository
    assert copy.environment(ProcessWorker(CPU), "")["dirty"] is False
    (repository / "file").write_text("changed")
    assert copy.environment(ProcessWorker(CPU), "")["dirty"] is True


def _copied(repository: Path) -> ModuleType:
    """The module `environment` from a copy of it in site-packages inside a repository."""
    assert environment.__file__
    path = repository / "venv" / "site-packages" / "randwire" / "environment.py"
    path.parent.mkdir(parents=True)
    path.write_bytes(Path(environment.__file__).read_bytes())
    spec = importlib.util.spec_from_file_location("copied_environment", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _commit(folder: Path) -> None:
    _git(folder, "-c", "user.name=n", "-c", "user.email=e@example.org", "commit", "-qm", "one")


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
