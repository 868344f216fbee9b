"""An offline run in several parts, of a training that was killed and went on: what `wandb sync` makes of it."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
from fake_wandb_server import FakeServer
from wandb_helpers import GROUP, PNG, history, record, row, script, sync, without_account

from randwire import drawing
from randwire.tracking import WandbTracker, runs
from randwire.tracking.offline_parts import epochs_held

PART = """
import signal
tracker = open_tracker("offline", "project", "study", Path(sys.argv[1]))
training = record("aaa")
kept, first, last, flushed, ending = (*map(int, sys.argv[2:6]), sys.argv[6])
training.truncate_metrics(kept)
tracker.start(training, GROUP)
for epoch in range(first, last + 1):
    training.append_metrics(row(epoch, epoch / 64))
    tracker.log("aaa", row(epoch, epoch / 64))
    if epoch == flushed:
        time.sleep(2)
if ending == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
tracker.finish("aaa", "finished", {"top1": 9 / 64})
tracker.close()
"""
# Epochs that are in the record then, those that are trained, the last one that wandb writes in time, and the end.
PARTS = ((0, 1, 5, 3, "kill"), (5, 6, 8, 8, "kill"), (7, 8, 9, 9, "finish"))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_account(tmp_path / "home", monkeypatch)


@pytest.mark.parametrize("each", [False, True], ids=["at the end", "after each part"])
def test_a_training_that_was_killed_twice_arrives_whole_and_once(each: bool, tmp_path: Path) -> None:
    """Its second part lacks epochs that were not on disk yet, the third trains one again whose checkpoint was lost."""
    folder = tmp_path / "study" / "wandb"
    with FakeServer() as server:
        for part in PARTS:
            done = subprocess.run(script(PART, folder, *part), timeout=60)
            assert done.returncode == (-signal.SIGKILL if part[-1] == "kill" else 0)
            if each:
                sync(folder, server)
        sync(folder, server)
        run = server.run("aaa")
        assert len(runs.parts_of(folder.parent, "aaa")) == 3
    assert [(each["epoch"], each["_step"]) for each in run.history] == [(n, n) for n in range(10)]
    assert [each["val/top1"] for each in run.history[1:]] == [n / 64 for n in range(1, 10)]
    assert [each["val/top1_best"] for each in run.history[1:]] == [n / 64 for n in range(1, 10)]
    assert run.summary.items() >= {"trial/status": "finished", "trial/top1": 9 / 64, "params": 1000, "epoch": 9}.items()
    assert run.config["graph"]["seed"] == 3
    assert run.exit_code == 0
    assert len(server.artifacts) == 1


def test_parts_that_cannot_be_read_are_taken_as_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or what `wandb sync --clean` has removed would be written again."""
    monkeypatch.setattr(drawing, "png", lambda dags, title: PNG)
    study = tmp_path / "study"
    training = record("aaa")
    assert epochs_held(study, "aaa", "aaa") is None
    for epoch in (1, 2):
        tracker = WandbTracker("offline", "project", "study", study / "wandb")
        tracker.start(training, GROUP)
        training.append_metrics(row(epoch))
        tracker.log("aaa", row(epoch))
        tracker.finish("aaa", "interrupted", {})
        tracker.close()
        time.sleep(1.0)  # wandb names the folder of a run by the second
    assert epochs_held(study, "aaa", "aaa") == {0, 1, 2}
    first = study / runs.parts_of(study, "aaa")[0]
    (first / "run-aaa.wandb").write_bytes(b"nothing of the kind")
    (first / "run-aaa.wandb").rename(tmp_path / "away")
    assert epochs_held(study, "aaa", "aaa") is None
    tracker = WandbTracker("offline", "project", "study", study / "wandb")
    tracker.start(training, GROUP)
    tracker.log("aaa", row(3))
    tracker.close()
    assert [each["epoch"] for each in history(study / "wandb", "aaa")] == [2, 3]
    with (study / "wandb" / "runs.jsonl").open() as file:
        assert [json.loads(line)["trial"] for line in file] == ["aaa"] * 3
    assert [path.name for path in study.iterdir()] == ["wandb"]
