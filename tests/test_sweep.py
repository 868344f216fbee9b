"""A real sweep: Ray Tune, Ray Train workers with DDP, FFCV files, offline W&B; faults and interrupts."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import commands
import psutil
import pytest
import wandb

from randwire import config as configuration
from randwire.records import Record, find

pytestmark = pytest.mark.timeout(400)

SENTINEL = "sentinel0key0" + "a" * 27
KEYS = (*commands.TINY, "--settings", "3", "--seeds", "2", "--train.epochs", "3")
SWEEP = ("studies/generators.py", "sweep", "--no-open", *KEYS)


def processes() -> set[int]:
    """Ray's processes of this user."""
    found = set()
    for process in psutil.process_iter(["cmdline", "status"]):
        line = " ".join(process.info["cmdline"] or [])
        if process.info["status"] != psutil.STATUS_ZOMBIE and re.search(r"ray::|raylet|gcs_server|ray/dashboard", line):
            found.add(process.pid)
    return found


def await_that(condition: Callable[[], object], process: "subprocess.Popen[str]", seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.1)


def inspect(file: Path) -> list[dict[str, Any]]:
    """The records of a .wandb file, read by W&B's own reader."""
    core = wandb.util.get_core_path()
    command = [core, "leet", "inspect", "--no-observability", "--json", "--run-file", str(file), str(file.parents[1])]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study of three settings and two seeds, swept with an API key that must stay in the driver."""
    output = tmp_path_factory.mktemp("sweep")
    before = processes()
    done = commands.run(
        *SWEEP, "--runtime.output", str(output), "--runtime.wandb", "offline", environment={"WANDB_API_KEY": SENTINEL}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(output / "generators" / "report.html")
    assert processes() == before
    return output / "generators"


def test_every_trial_of_every_generator_has_finished(study: Path) -> None:
    records = find(study)
    assert len(records) == 6
    settings = {}
    for record in records:
        config = configuration.load(str(record.folder))
        assert config.digest == record.folder.name
        settings[config.graph.generator, config.graph.seed] = record
        summary = record.summary()
        assert summary is not None
        assert (summary["status"], summary["epochs"]) == ("finished", 3)
        assert record.read_json("environment.json")["world_size"] == 2
        assert (record.checkpoint / "newest.pt").stat().st_size > 0
    assert set(settings) == {(spec, seed) for spec in ("er:p=0.2", "ba:m=5", "ws:k=4,p=0.75") for seed in (0, 1)}
    assert not (study / ".ray").exists()


def test_wandb_holds_dag_learning_rate_and_top1(study: Path) -> None:
    files = list(study.glob("wandb/**/*.wandb"))
    assert len(files) == 6
    for file in files:
        rows = inspect(file)
        by_type: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            by_type.setdefault(row["type"], []).append(row[row["type"]])
        (start,) = by_type["run"][:1]
        record = Record(study / start["run_id"])
        config = configuration.load(str(record.folder))
        assert start["run_group"] == config.generator.label
        history = [row["item"] for row in by_type["history"] if "lr" in row["item"]]
        expected = record.metrics()
        assert [row["epoch"] for row in history] == [1, 2, 3]
        assert [row["lr"] for row in history] == pytest.approx([row["lr"] for row in expected])
        assert [row["val/top1"] for row in history] == pytest.approx([row["val_top1"] for row in expected])
        metrics = {row.get("name") or row["glob_name"]: row.get("step_metric") for row in by_type["metric"]}
        assert metrics["lr"] == metrics["val/*"] == "epoch"
        assert list(file.parent.glob("files/media/images/dag/*.png"))
        assert any("dag" in json.dumps(row) for row in by_type["artifact"])
        assert by_type["exit"][0].get("exit_code", 0) == 0


def test_the_key_stays_in_the_driver(study: Path) -> None:
    session = Path("/tmp/ray/session_latest").resolve()
    for folder in (study, session):
        for path in folder.rglob("*"):
            if path.is_file() and path.stat().st_size < 50_000_000:
                assert SENTINEL.encode() not in path.read_bytes(), path


def test_a_second_sweep_starts_nothing(study: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in study.glob("*/*") if path.is_file()}
    done = commands.run(*SWEEP, "--runtime.output", str(study.parent), "--runtime.wandb", "offline")
    assert done.returncode == 0
    assert "nothing to run" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in study.glob("*/*") if path.is_file()} == before
    refused = commands.run(*SWEEP, "--runtime.output", str(study.parent), "--train.lr", "0.2")
    assert refused.returncode == 2
    assert "another train.lr (0.1, not 0.2)" in refused.stderr


def test_status_trial_and_report(study: Path) -> None:
    place = ("--runtime.output", str(study.parent))
    status = json.loads(commands.run("studies/generators.py", "status", "--json", *place).stdout)
    assert status["counts"] == {"finished": 6}
    assert {trial["digest"] for trial in status["trials"]} == {record.folder.name for record in find(study)}
    assert "6 finished" in commands.run("studies/generators.py", "status", *place).stdout
    done = commands.run("studies/generators.py", "trial", "2", *place)
    assert done.returncode == 0
    assert json.loads(done.stdout)["status"] == "finished"
    (study / "report.html").unlink()
    assert commands.run("studies/generators.py", "report", *place).returncode == 0
    page = (study / "report.html").read_text()
    for record in find(study):
        assert record.folder.name in page


def rows(folder: Path) -> int:
    return sum(len(record.metrics()) for record in find(folder))


def test_an_interrupted_sweep_stops_cleanly_and_goes_on(tmp_path: Path) -> None:
    place = ("--runtime.output", str(tmp_path), "--runtime.wandb", "offline")
    keys = (*SWEEP, *place, "--train.epochs", "12", "--settings", "2")
    before = processes()
    process = commands.popen(keys)
    folder = tmp_path / "generators"
    await_that(lambda: rows(folder) >= 14, process)  # in the middle of the second trial
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=15)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    await_that(lambda: processes() == before, commands.popen(["-c", "import time; time.sleep(15)"]), 15)
    assert time.monotonic() - start < 30
    ended = {record.folder.name for record in find(folder) if record.summary()}
    assert 0 < len(ended) < 4
    times = {digest: (folder / digest / "metrics.jsonl").stat().st_mtime_ns for digest in ended}
    done = commands.run(*keys)
    assert done.returncode == 0, done.stderr
    assert all(record.summary()["epochs"] == 12 for record in find(folder))  # type: ignore[index]
    assert len(find(folder)) == 4
    assert times == {digest: (folder / digest / "metrics.jsonl").stat().st_mtime_ns for digest in ended}


def test_a_killed_train_worker_costs_no_trial(tmp_path: Path) -> None:
    keys = (*SWEEP, "--runtime.output", str(tmp_path), "--runtime.wandb", "disabled", "--train.epochs", "12")
    process = commands.popen([*keys, "--settings", "1", "--seeds", "1"])
    folder = tmp_path / "generators"
    await_that(lambda: rows(folder) >= 2, process)
    children = psutil.Process(process.pid).children(recursive=True)
    workers = [child for child in children if "RayTrainWorker" in " ".join(child.cmdline())]
    assert len(workers) == 2
    os.kill(workers[1].pid, signal.SIGKILL)
    _, stderr = process.communicate()
    assert process.returncode == 0, stderr
    (record,) = find(folder)
    assert [row["epoch"] for row in record.metrics()] == list(range(1, 13))


def test_early_stopping_is_cooperative_and_told_as_pruned(tmp_path: Path) -> None:
    keys = (*SWEEP, "--runtime.output", str(tmp_path), "--runtime.wandb", "offline", "--train.epochs", "6")
    before = processes()
    done = commands.run(*keys, "--settings", "4", "--seeds", "1", "--early-stopping")
    assert done.returncode == 0, done.stderr
    assert processes() == before
    statuses = [record.summary()["status"] for record in find(tmp_path / "generators")]  # type: ignore[index]
    assert len(statuses) == 4
    assert set(statuses) == {"finished", "pruned"}
    for record in find(tmp_path / "generators"):
        summary = record.summary()
        assert summary is not None
        assert (summary["status"] == "pruned") == (len(record.metrics()) < 6)


def test_a_failing_trial_is_reported_and_the_others_run(tmp_path: Path) -> None:
    keys = (*SWEEP, "--runtime.output", str(tmp_path), "--runtime.wandb", "disabled", "--train.lr", "1e30")
    done = commands.run(*keys, "--settings", "2", "--seeds", "1")
    assert done.returncode == 1
    assert done.stderr.count("failed") == 2
    assert "training loss is nan" in done.stderr
    assert "Traceback" not in done.stderr
    assert "training loss is nan" in (tmp_path / "generators" / "report.html").read_text()
