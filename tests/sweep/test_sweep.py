"""A real sweep: Ray Tune, Ray Train workers with DDP, FFCV files, offline W&B; faults and interrupts."""

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import commands
import psutil
import pytest
import wandb
from study_helpers import command

from randwire import attempts
from randwire import config as configuration
from randwire.correct import Correct
from randwire.records import Record, find_records

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

SENTINEL = "sentinel0key0" + "a" * 27
SECRETS = ("WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "SOME_API_KEY", "SOME_TOKEN", "SOME_SECRET", "SOME_PASSWORD")
KEYS = (*commands.TINY, "--settings", "3", "--seeds", "2", "--train.epochs", "3")
SWEEP = ("studies/generators.py", "sweep", "--no-open", *KEYS)


class Family:
    """All processes that a process has ever started, directly or not; others of this machine do not count."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._root = psutil.Process(process.pid)
        self._seen: dict[psutil.Process, str] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(0.2):
            with contextlib.suppress(psutil.Error):
                for process in self._root.children(recursive=True):
                    self._seen.setdefault(process, " ".join(process.cmdline()))

    def alive(self) -> list[str]:
        """What still runs after a moment."""
        self._ended.set()
        self._thread.join()
        _, left = psutil.wait_procs(list(self._seen), timeout=5)
        return [self._seen[process] for process in left if _alive(process)]


def _alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


class Kept:
    """Whatever is written below a folder, kept when it is removed: each file gets a second name."""

    def __init__(self, source: Path, target: Path) -> None:
        self.source, self.target = source, target
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            with contextlib.suppress(FileNotFoundError):
                for path in self.source.rglob("*"):
                    kept = self.target / path.relative_to(self.source)
                    if path.is_file() and not path.is_symlink() and not kept.exists():
                        kept.parent.mkdir(parents=True, exist_ok=True)
                        kept.hardlink_to(path)

    def files(self) -> list[Path]:
        self._ended.set()
        self._thread.join()
        return [path for path in self.target.rglob("*") if path.is_file()]


def swept(
    *arguments: str, environment: dict[str, str] | None = None
) -> tuple["subprocess.CompletedProcess[str]", Family]:
    """A command that has ended, and its processes."""
    process = commands.popen(arguments, environment)
    family = Family(process)
    try:
        stdout, stderr = process.communicate()
    except BaseException:
        process.send_signal(signal.SIGINT)
        process.wait(20)
        raise
    print(stdout, stderr)
    return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr), family


def inspect(file: Path) -> list[dict[str, Any]]:
    """The records of a .wandb file, read by W&B's own reader."""
    core = wandb.util.get_core_path()
    command = [core, "leet", "inspect", "--no-observability", "--json", "--run-file", str(file), str(file.parents[1])]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def kept_and_study(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], Path]:
    """The folder of a study of three settings and two seeds, swept with secrets that must stay in the driver.

    And what Ray has written for it, which is gone with it.
    """
    output = tmp_path_factory.mktemp("sweep")
    (source := Path(os.environ["RAY_TMPDIR"], "r")).mkdir()  # short, as sockets are in there
    kept = Kept(source, Path(os.environ["RAY_TMPDIR"], "kept"))
    done, family = swept(
        *SWEEP,
        "--runtime.output",
        str(output),
        "--runtime.wandb",
        "offline",
        environment={**dict.fromkeys(SECRETS, SENTINEL), "RAY_TMPDIR": str(source)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(output / "generators" / "report.html")
    assert family.alive() == []
    assert list(source.iterdir()) == []
    return kept.files(), output / "generators"


@pytest.fixture(scope="module")
def study(kept_and_study: tuple[list[Path], Path]) -> Path:
    return kept_and_study[1]


def test_every_trial_of_every_generator_has_finished(study: Path) -> None:
    records = find_records(study)
    assert len(records) == 6
    settings = {}
    for record in records:
        config = configuration.load(str(record.folder))
        assert config.digest == record.folder.name
        settings[config.graph.generator, config.graph.seed] = record
        summary = record.summary()
        assert summary is not None
        assert (summary["status"], summary["epochs"]) == ("finished", 3)
        assert record.read_json("environment.json")[-1]["world_size"] == 2
        correct = Correct.load(record)
        assert correct is not None
        assert (len(correct.bits), correct.top1) == (360, summary["val_top1"])
        assert (record.checkpoint / "newest.pt").stat().st_size > 0
    assert set(settings) == {(spec, seed) for spec in ("er:p=0.2", "ba:m=5", "ws:k=4,p=0.75") for seed in (0, 1)}


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


def test_secrets_stay_in_the_driver(kept_and_study: tuple[list[Path], Path]) -> None:
    kept, study = kept_and_study
    assert {"raylet.out", "gcs_server.out", "token"} <= {path.name for path in kept}
    for path in (*study.rglob("*"), *kept):
        if path.is_file() and path.stat().st_size < 50_000_000:
            assert SENTINEL.encode() not in path.read_bytes(), path


def test_a_second_sweep_starts_nothing(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = (*SWEEP[1:], "--runtime.output", str(study.parent), "--runtime.wandb", "offline")
    before = {path: path.stat().st_mtime_ns for path in study.glob("*/*") if path.is_file()}
    assert command(*again) == 0
    assert "nothing to run" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in study.glob("*/*") if path.is_file()} == before
    assert command(*again, "--train.lr", "0.2") == 2
    assert "another train.lr (0.1, not 0.2)" in capsys.readouterr().err


def test_status_trial_and_report(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = ("--runtime.output", str(study.parent))
    assert command("status", "--json", *output) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["counts"] == {"finished": 6}
    assert {trial["digest"] for trial in status["trials"]} == {record.folder.name for record in find_records(study)}
    assert command("status", *output) == 0
    assert "6 finished" in capsys.readouterr().out
    assert command("trial", "2", *output) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "finished"
    (study / "report.html").unlink()
    assert command("report", *output) == 0
    page = (study / "report.html").read_text()
    for record in find_records(study):
        assert record.folder.name in page


def rows(folder: Path) -> int:
    return sum(len(record.metrics()) for record in find_records(folder))


EPOCHS = 6
"""Of the sweep that is interrupted."""


def test_an_interrupted_sweep_stops_cleanly_and_goes_on(tmp_path: Path) -> None:
    output = ("--runtime.output", str(tmp_path), "--runtime.wandb", "offline")
    keys = (*SWEEP, *output, "--train.epochs", str(EPOCHS), "--settings", "2")
    process = commands.popen(keys)
    family = Family(process)
    folder = tmp_path / "generators"
    commands.await_that(lambda: rows(folder) >= EPOCHS + 2, process)  # in the middle of the second trial
    start = time.monotonic()
    process.send_signal(signal.SIGTERM)  # as a scheduler does; tests of a race send SIGINT
    _, stderr = process.communicate(timeout=15)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert family.alive() == []
    assert time.monotonic() - start < 30
    ended = {record.folder.name for record in find_records(folder) if record.summary()}
    assert 0 < len(ended) < 4
    times = {digest: (folder / digest / "metrics.jsonl").stat().st_mtime_ns for digest in ended}
    done = commands.run(*keys)
    assert done.returncode == 0, done.stderr
    assert all(record.summary()["epochs"] == EPOCHS for record in find_records(folder))  # type: ignore[index]
    assert len(find_records(folder)) == 4
    assert times == {digest: (folder / digest / "metrics.jsonl").stat().st_mtime_ns for digest in ended}


def test_early_stopping_is_cooperative_and_told_as_pruned(tmp_path: Path) -> None:
    keys = (*SWEEP, "--runtime.output", str(tmp_path), "--runtime.wandb", "offline", "--train.epochs", "6")
    done, family = swept(*keys, "--settings", "4", "--seeds", "2", "--early-stopping")
    assert done.returncode == 0, done.stderr
    assert family.alive() == []
    statuses: dict[str, dict[int, str]] = {}
    for record in find_records(tmp_path / "generators"):
        summary = record.summary()
        assert summary is not None
        assert (summary["status"] == "pruned") == (len(record.metrics()) < 6)
        config = configuration.load(str(record.folder))
        statuses.setdefault(config.graph.generator, {})[config.graph.seed] = summary["status"]
    # The first trial decides: others are trained to the end, or not at all.
    assert len(statuses) == 4
    assert {tuple(by_seed.values()) for by_seed in statuses.values()} == {("pruned",), ("finished", "finished")}
    assert all(0 in by_seed for by_seed in statuses.values())


def test_a_failing_trial_is_reported_the_others_run_and_a_retry_begins_it_again(tmp_path: Path) -> None:
    keys = (*SWEEP, "--runtime.output", str(tmp_path), "--runtime.wandb", "disabled", "--train.lr", "1e30")
    words = (*keys, "--settings", "2", "--seeds", "1", "--concurrent", "2", "--workers", "1")
    done = commands.run(*words)
    assert done.returncode == 1
    assert done.stderr.count(": failed") == 2
    assert done.stderr.count("sweep --retry begins failed trials again\n") == 1
    records = find_records(tmp_path / "generators")
    failed = [record.summary() for record in records]
    again = commands.run(*words, "--retry")
    assert again.returncode == 1, "it fails again"
    assert again.stderr.startswith("2 failed trials begun again\n")
    assert again.stderr.count(": failed") == 2
    assert [attempts.earlier(record) for record in records] == [[summary] for summary in failed]
    assert "training loss is nan" in done.stderr
    assert "Traceback" not in done.stderr
    assert "training loss is nan" in (tmp_path / "generators" / "report.html").read_text()
