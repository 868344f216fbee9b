"""The status of a study: what runs, what does not, why, and when all will have ended; from the records alone."""

import fcntl
import json
import os
import platform
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import commands
import pytest
from study_helpers import command, design, end

from randwire.config import RunConfig
from randwire.errors import RecordError
from randwire.records import Record, Row
from randwire.study import state
from randwire.study.design import Design
from randwire.study.folder import StudyFolder
from randwire.study.progress import status
from randwire.study.setting import Setting

KEYS = ("--name", "study", "--settings", "3", "--graph.nodes", "12", "--train.epochs", "4")


@pytest.fixture
def study(tmp_path: Path) -> Design:
    """Three settings of two trials, opened."""
    opened = design(tmp_path, settings=3, seeds=2)
    opened.open()
    return opened


def begin(study: Design, trial: RunConfig, epochs: int, seconds: float = 10.0, machine: str = "") -> Record:
    """The record of a trial in training whose epochs took so many seconds, on a machine (this one: no name)."""
    record = study.record(trial)
    record.write_text("config.yaml", trial.to_yaml())
    record.write_text(".lock", machine or platform.node())
    for epoch in range(1, epochs + 1):
        row: Row = {"epoch": epoch, "val_top1": 10.0 * epoch, "seconds_loader": 1.0, "seconds_step": seconds - 1.0}
        record.append_metrics(row)
    return record


def age(record: Record, seconds: float) -> float:
    """Make the files of a record so old; returns their time."""
    then = time.time() - seconds
    for path in (*record.folder.iterdir(), record.folder / ".lock"):
        os.utime(path, (then, then))
    return then


def names(study: Design) -> list[str]:
    return [state.name for _, state in status(study).trials]


def trials(study: Design) -> list[RunConfig]:
    return [trial for spec in ("er:p=0.2", "ba:m=5", "ws:k=4,p=0.75") for trial in study.trials(Setting(spec))]


def test_what_has_no_record_is_pending(study: Design) -> None:
    current = status(study)
    assert names(study) == ["pending"] * 6
    assert (current.later, current.finish, current.ended) == (0, None, False)
    assert not list(study.folder.glob("*/"))


def test_a_held_lock_is_running_and_a_free_one_is_not(study: Design) -> None:
    first, second, third = trials(study)[:3]
    begin(study, second, 2)
    then = age(begin(study, third, 2), 4_000)
    with study.record(first).lock():  # even before it has written anything
        assert names(study)[:3] == ["running", "stalled", "stalled"]
    assert names(study)[:3] == ["pending", "stalled", "stalled"]
    (held,) = state.states(study, [third])
    assert held.sign is not None
    assert abs(held.sign - then) < 0.01
    assert (held.epochs, held.top1, held.epoch_s, held.locked) == (2, 20.0, 10.0, False)


def test_a_setting_that_could_not_be_run_is_failed_until_it_is_begun_again(study: Design) -> None:
    first, second = trials(study)[:2]
    age(begin(study, first, 2), 4_000)
    study_folder = StudyFolder(study.folder)
    study.open()
    study_folder.add_failure(Setting("er:p=0.2"), "a machine was lost")
    current = status(study)
    assert [(state.name, state.cause) for _, state in current.trials[:2]] == [("failed", "a machine was lost")] * 2
    assert names(study)[2:] == ["pending"] * 4
    with study.record(first).lock():
        assert names(study)[:2] == ["running", "failed"]
    age(begin(study, second, 1), -60)  # by a later sweep
    assert names(study)[:2] == ["failed", "stalled"]


@pytest.mark.parametrize(
    ("epochs", "seconds", "old", "expected"),
    [
        (2, 10.0, 50, "running"),  # below a minute whatever the epochs take
        (2, 10.0, 70, "stalled"),
        (2, 100.0, 290, "running"),  # three epochs
        (2, 100.0, 310, "stalled"),
        (0, 0.0, 1_700, "running"),  # nobody knows how long an epoch takes
        (0, 0.0, 1_900, "stalled"),
    ],
)
def test_a_trial_on_a_machine_whose_locks_do_not_show_is_judged_by_its_files(
    study: Design, epochs: int, seconds: float, old: float, expected: str
) -> None:
    (trial, *_) = trials(study)
    age(begin(study, trial, epochs, seconds, machine="another"), old)
    (shown,) = state.states(study, [trial])
    assert (shown.name, shown.locked) == (expected, None)


def test_a_checkpoint_in_the_middle_of_an_epoch_is_a_sign_of_life(study: Design) -> None:
    trial = trials(study)[0]
    record = begin(study, trial, 1, machine="another")
    age(record, 10_000)
    assert names(study)[0] == "stalled"
    record.write_text("checkpoint/mid-epoch.pt", "its content does not matter")
    assert names(study)[0] == "running"


def test_ended_trials(study: Design) -> None:
    er, ba, ws = ("er:p=0.2", "ba:m=5", "ws:k=4,p=0.75")
    end(study, er, "failed")
    record = study.record(study.trials(Setting(er))[0])
    record.write_json("summary.json", {"status": "failed", "cause": "loss is nan", "epochs": 1, "val_top1": None})
    end(study, ba)
    first, second = study.trials(Setting(ws))
    study.record(first).write_json("summary.json", {"status": "pruned", "cause": "early", "epochs": 2, "val_top1": 9.0})
    assert names(study) == ["failed"] * 2 + ["finished"] * 2 + ["pruned", "skipped"]
    assert status(study).ended
    rows = {row["digest"]: row for row in status(study).rows()}
    assert (rows[record.folder.name]["cause"], rows[record.folder.name]["epochs"]) == ("loss is nan", 1)
    study.record(second).write_json("summary.json", {"status": "odd"})
    cause = status(study).trials[-1][1].cause
    assert cause is not None
    assert "damaged: unknown status 'odd'; remove it, and the trial goes on from its checkpoint" in cause
    study.record(second).write_text("summary.json", "{")
    assert names(study)[-1] == "unreadable"
    assert "damaged" in status(study).trials[-1][1].cause  # type: ignore[operator]
    assert not status(study).ended


def left(study: Design, now: float) -> float:
    """Seconds until the expected end: a tolerance relative to the Unix time would be half an hour."""
    finish = status(study).finish
    assert finish is not None
    return finish - now


def test_the_expected_finish_schedules_what_is_left_on_what_runs(
    study: Design, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    er, _, ba, _, ws, _ = trials(study)
    begin(study, er, 1)
    assert status(study).finish is None  # nothing runs
    with study.record(er).lock():
        # 3 epochs of its own, 4 of the setting's other trial, and 16 of the others: one after the other.
        assert left(study, now) == pytest.approx(10 * (3 + 4 + 16))
        begin(study, ba, 3, 30.0)
        with study.record(ba).lock():
            # An epoch takes the median, 20 s. Left: 7 and 5 epochs; then 8 more where 5 have ended.
            assert left(study, now) == pytest.approx(20 * 13)
            begin(study, ws, 3, 20.0)  # stalled: goes on from its checkpoint
            assert left(study, now) == pytest.approx(20 * (5 + 5))
    with study.record(ba).lock(), study.record(ws).lock():
        assert left(study, now) == pytest.approx(20 * (5 + 7))  # what runs keeps its slot, the first setting waits
    end(study, ws.graph.generator)
    summary = {"status": "finished", "val_top1": 1.0, "cause": None, "epochs": 4, "seconds": 400.0}
    for trial in study.trials(Setting.of(ws)):
        study.record(trial).write_json("summary.json", summary)
    with study.record(ba).lock():
        # Known: 10 s and 30 s, and 100 s twice of what has ended, with its evaluation: the median is 65 s.
        assert left(study, now) == pytest.approx(65 * (5 + 7))


def test_settings_to_come_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    study = design(tmp_path, settings=14, seeds=1)
    trial = study.trials(Setting("er:p=0.2"))[0]
    begin(study, trial, 2)
    with study.record(trial).lock():
        current = status(study)
    assert (len(current.trials), current.later) == (10, 4)
    assert current.finish is not None
    assert current.finish - now == pytest.approx(10 * (2 + 4 * 13))


# The lock, asked by others.


def test_asking_neither_changes_nor_disturbs_a_lock(tmp_path: Path) -> None:
    record = Record(tmp_path / "trial")
    assert record.locked() is False
    assert not record.folder.exists()
    with record.lock():
        assert (record.folder / ".lock").read_text() == platform.node()
        before = (record.folder / ".lock").stat()
        assert record.locked() is True
        assert (record.folder / ".lock").stat().st_mtime_ns == before.st_mtime_ns
        with pytest.raises(RecordError), record.lock():
            pass
        assert (record.folder / ".lock").read_text() == platform.node()
    assert record.locked() is False
    (record.folder / ".lock").write_text("another")
    assert record.locked() is None
    with record.lock():
        assert (record.folder / ".lock").read_text() == platform.node()


def test_a_trial_starts_although_it_is_being_asked(tmp_path: Path) -> None:
    record = Record(tmp_path)
    with record.lock():
        pass
    code = (
        "import fcntl, sys, time\nfile = open(sys.argv[1])\nfcntl.flock(file, fcntl.LOCK_SH)\n"
        "print('held', flush=True)\ntime.sleep(0.2)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / ".lock")], stdout=subprocess.PIPE) as asker:
        assert asker.stdout is not None
        asker.stdout.readline()
        with open(tmp_path / ".lock") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with record.lock():
            pass


# The command.


def test_the_status_names_what_runs_and_what_failed(study: Design, capsys: pytest.CaptureFixture[str]) -> None:
    output = ("--runtime.output", str(study.base.runtime.output))
    assert command("status", "--name", "study", *output) == 0
    assert "nothing started yet, 6 pending" in capsys.readouterr().out
    er, _, ba, _, ws, _ = trials(study)
    begin(study, er, 2)
    age(begin(study, ba, 1, machine="another"), 100_000)
    study.record(ws).write_json("summary.json", {"status": "failed", "cause": "loss is nan", "val_top1": None})
    study.record(ws).write_text("config.yaml", ws.to_yaml())
    with study.record(er).lock():
        assert command("status", "--name", "study", *output) == 1
        lines = capsys.readouterr().out.splitlines()
        assert command("status", "--name", "study", *output, "--json") == 1
        shown = json.loads(capsys.readouterr().out)
    assert len(lines) == 4
    assert re.search(
        rf"^{er.digest}  ER\(0.2\) +g0 t0  running +2/4 epochs  top-1  20.00%  last sign \d s ago$", lines[0]
    )
    assert re.search(rf"^{ba.digest}  BA\(5\) .*  stalled .* since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d$", lines[1])
    assert re.search(rf"^{ws.digest}  WS\(4,0.75\) .*  failed  .* loss is nan$", lines[2])
    assert re.search(
        r"^1 failed, 1 running, 1 stalled, 3 pending; expected to finish in 2 min \d+ s, at [\d: -]+$", lines[3]
    )
    assert shown["counts"] == {"running": 1, "pending": 3, "stalled": 1, "failed": 1}
    assert shown["expected_finish"].endswith("+00:00")
    assert [row["state"] for row in shown["trials"]] == [
        "running",
        "pending",
        "stalled",
        "pending",
        "failed",
        "pending",
    ]
    assert command("status", "--name", "study", *output, "--all") == 1
    assert len(capsys.readouterr().out.splitlines()) == 7


def test_of_many_trials_the_notable_ones_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = design(tmp_path, search="grid", seeds=101, generators=("ba",))
    study.open()
    for spec in ("ba:m=5", "ba:m=3"):
        end(study, spec)
    trial = study.trials(Setting("ba:m=3"))[7]
    study.record(trial).write_json("summary.json", {"status": "failed", "cause": "loss is nan", "val_top1": None})
    assert command("status", "--name", "study", "--runtime.output", str(tmp_path)) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(trial.digest)
    assert lines[1] == "201 finished, 1 failed, 303 pending; nothing is running"


def popen(study: Design, *arguments: str) -> "subprocess.Popen[str]":
    output = ("--runtime.output", str(study.base.runtime.output))
    return commands.popen(["studies/generators.py", "status", "--name", "study", *output, *arguments])


def test_watching_in_a_pipe_prints_lines_until_all_has_ended(study: Design) -> None:
    process = popen(study, "--watch", "0.1")
    assert process.stdout is not None
    first = process.stdout.readline()
    assert re.fullmatch(r"[\d-]+ [\d:]+  \S+/study: nothing started yet, 6 pending\n", first)
    for spec in ("er:p=0.2", "ba:m=5", "ws:k=4,p=0.75"):
        end(study, spec)
    stdout, stderr = process.communicate(timeout=20)
    assert (process.returncode, stderr) == (0, "")
    assert "\x1b" not in stdout
    assert stdout.splitlines()[-1].endswith("  6 finished; all has ended")


def test_watching_ends_well_with_an_interrupt(study: Design) -> None:
    process = popen(study, "--watch", "600")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert (process.returncode, stderr) == (0, "")


def test_watching_on_a_terminal_draws_the_page_again(study: Design) -> None:
    begin(study, trials(study)[0], 2)
    main, side = pty.openpty()
    output = ("--runtime.output", str(study.base.runtime.output))
    line = [sys.executable, "studies/generators.py", "status", "--name", "study", *output, "--watch", "0.1"]
    with subprocess.Popen(
        line,
        cwd=commands.ROOT,
        env={**os.environ, "TERM": "xterm"},
        stdin=side,
        stdout=side,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(side)
        shown = b""
        while shown.count(b"\x1b[H\x1b[J") < 3:
            shown += os.read(main, 4096)
        process.send_signal(signal.SIGINT)
        while process.poll() is None:
            os.set_blocking(main, False)
            try:
                os.read(main, 4096)
            except BlockingIOError:
                time.sleep(0.05)
            except OSError:
                break
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
    os.close(main)
    page = shown.decode().split("\x1b[H\x1b[J")[1]
    assert "stalled" in page
    assert "5 pending" in page


@pytest.mark.parametrize("seconds", ["0", "-1", "soon"])
def test_a_watch_without_sense(seconds: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("status", "--watch", seconds, "--runtime.output", str(tmp_path)) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
