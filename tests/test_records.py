"""The folder of a trial: whole files or none, one writer, and errors in one line."""

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from randwire.errors import RecordError
from randwire.records import Record, atomic, find_records


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record(tmp_path)


# Atomic writes.


def test_atomic_creates_folders_and_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.txt"
    for text in (b"first, the longer one", b"second"):
        with atomic(path) as file:
            file.write(text)
        assert path.read_bytes() == text
    assert _files(path.parent) == ["file.txt"]


def test_atomic_shows_nothing_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with atomic(path) as file:
        file.write(b"new")
        file.flush()
        assert not path.exists()
    path.write_bytes(b"old")
    with atomic(path) as file:
        file.write(b"newer")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"newer"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("old", [None, b"old"])
def test_atomic_leaves_no_trace_of_a_failure(tmp_path: Path, error: type[BaseException], old: bytes | None) -> None:
    path = tmp_path / "file"
    if old is not None:
        path.write_bytes(old)

    def fail() -> None:
        with atomic(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert _files(tmp_path) == ([] if old is None else ["file"])
    assert old is None or path.read_bytes() == old


def test_two_atomic_writers_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with atomic(path) as first, atomic(path) as second:
        first.write(b"1" * 10)
        second.write(b"2" * 5)
    assert path.read_bytes() == b"1" * 10
    assert _files(tmp_path) == ["file"]


# JSON and text.


def test_json_round_trip(record: Record) -> None:
    value = {"name": "\u00e9t\u00e9", "list": [1, 2.5, None, True], "nested": {"key": "x\ny"}}
    record.write_json("file.json", value)
    assert record.read_json("file.json") == value
    assert record.read_json("none.json") is None
    assert _files(record.folder) == ["file.json"]


@pytest.mark.parametrize("value", [math.nan, math.inf, object()])
def test_what_json_cannot_hold_is_not_written(record: Record, value: object) -> None:
    record.write_json("file.json", 1)
    with pytest.raises((ValueError, TypeError)):
        record.write_json("file.json", {"value": value})
    assert record.read_json("file.json") == 1
    assert _files(record.folder) == ["file.json"]


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"\xff\xfe\x00", b"{} {}"])
def test_a_damaged_json_file_is_reported_in_one_line(record: Record, content: bytes) -> None:
    (record.folder / "summary.json").write_bytes(content)
    with pytest.raises(RecordError, match="damaged") as caught:
        record.summary()
    assert "summary.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_summary(record: Record) -> None:
    assert record.summary() is None
    record.write_json("summary.json", {"status": "finished"})
    assert record.summary() == {"status": "finished"}


def test_graphs(record: Record) -> None:
    assert record.graphs() == {}
    record.write_text("graphs/conv4.txt", "0\n")
    record.write_text("graphs/conv3.txt", "0 1\n0 0\n")
    assert record.graphs() == {"conv3": "0 1\n0 0\n", "conv4": "0\n"}
    assert list(record.graphs()) == ["conv3", "conv4"]


def test_reading_creates_nothing(tmp_path: Path) -> None:
    record = Record(tmp_path / "none")
    assert (record.metrics(), record.summary(), record.graphs(), record.read_json("x.json")) == ([], None, {}, None)
    assert str(record) == str(tmp_path / "none")
    assert record.checkpoint.parent == record.folder
    assert not record.folder.exists()


# Metrics.


def test_metrics_are_one_line_an_epoch(record: Record) -> None:
    rows = [{"epoch": epoch, "loss": 1 / epoch} for epoch in (1, 2, 3)]
    for number, row in enumerate(rows, start=1):
        record.append_metrics(row)
        assert record.metrics() == rows[:number]
    lines = (record.folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == rows


def test_a_repeated_epoch_replaces_and_order_is_restored(record: Record) -> None:
    for epoch, loss in ((2, 0.5), (1, 0.9), (3, 0.4), (2, 0.1)):
        record.append_metrics({"epoch": epoch, "loss": loss})
    assert [(row["epoch"], row["loss"]) for row in record.metrics()] == [(1, 0.9), (2, 0.1), (3, 0.4)]


def test_epochs_are_ordered_as_numbers(record: Record) -> None:
    for epoch in (10, 9, 100):
        record.append_metrics({"epoch": epoch})
    assert [row["epoch"] for row in record.metrics()] == [9, 10, 100]


@pytest.mark.parametrize("torn", ['{"epoch": 3, "lo', "{", '{"epoch": 3, "loss": 0.5'])
def test_a_torn_last_line_is_left_out(record: Record, torn: str) -> None:
    for epoch in (1, 2):
        record.append_metrics({"epoch": epoch})
    with (record.folder / "metrics.jsonl").open("a") as file:
        file.write(torn)
    assert [row["epoch"] for row in record.metrics()] == [1, 2]
    record.truncate_metrics(2)
    record.append_metrics({"epoch": 3})
    assert [row["epoch"] for row in record.metrics()] == [1, 2, 3]


def test_a_line_after_a_torn_one_is_whole(record: Record) -> None:
    with (record.folder / "evaluations.jsonl").open("a") as file:
        file.write('{"epoch": 1}\n{"epoch": 2, "lo')
    record.append("evaluations.jsonl", {"epoch": 3})
    record.append("evaluations.jsonl", {"epoch": 4})
    assert record.rows("evaluations.jsonl") == [{"epoch": 1}, {"epoch": 3}, {"epoch": 4}]
    assert len((record.folder / "evaluations.jsonl").read_text().splitlines()) == 4


def test_truncate_metrics_drops_what_will_be_written_again(record: Record) -> None:
    for epoch in (1, 2, 3, 4):
        record.append_metrics({"epoch": epoch, "run": 1})
    record.truncate_metrics(2)
    record.append_metrics({"epoch": 3, "run": 2})
    assert record.metrics() == [{"epoch": 1, "run": 1}, {"epoch": 2, "run": 1}, {"epoch": 3, "run": 2}]
    assert len((record.folder / "metrics.jsonl").read_text().splitlines()) == 3
    record.truncate_metrics(0)
    assert record.metrics() == []


def test_a_metric_that_is_no_number_is_refused_and_leaves_the_file_whole(record: Record) -> None:
    record.append_metrics({"epoch": 1})
    with pytest.raises(ValueError, match="JSON"):
        record.append_metrics({"epoch": 2, "loss": math.nan})
    assert record.metrics() == [{"epoch": 1}]


# The lock.

HOLD = """
import sys, time
from pathlib import Path
from randwire.records import Record
with Record(Path(sys.argv[1])).lock():
    print("held", flush=True)
    time.sleep(120)
"""


@contextmanager
def _holder(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds the lock of a record."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def _assert_locked(record: Record) -> None:
    with pytest.raises(RecordError, match="another process") as caught, record.lock():
        pass
    assert "\n" not in str(caught.value)
    assert str(record.folder) in str(caught.value)


def test_the_lock_excludes_another_process_until_that_is_killed(tmp_path: Path) -> None:
    record = Record(tmp_path / "trial")
    with _holder(record.folder) as process:
        _assert_locked(record)
        _assert_locked(record)  # a refusal does not free it
        process.kill()  # SIGKILL: the holder cannot clean up
        process.wait()
        with record.lock():
            pass


def test_the_lock_is_released_by_the_end_of_the_block_and_by_an_error(record: Record) -> None:
    with record.lock():
        _assert_locked(record)
    with pytest.raises(ZeroDivisionError), record.lock():
        raise ZeroDivisionError
    with record.lock():
        pass


def test_the_lock_clears_what_a_killed_holder_left_half_written(tmp_path: Path) -> None:
    record = Record(tmp_path)
    record.write_text("graphs/conv3.txt", "whole")
    write = f"""
import os
from randwire.records import *
with Record(Path({str(tmp_path)!r})).lock(), atomic(Path({str(tmp_path / "checkpoint" / ".next")!r})) as file:
    file.write(b"half")
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", write]).returncode == -9
    assert len(list(tmp_path.rglob(".*.partial"))) == 1
    with record.lock():
        assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [".lock", "conv3.txt"]


def test_locks_of_different_records_are_independent(tmp_path: Path) -> None:
    with Record(tmp_path / "a").lock(), Record(tmp_path / "b").lock():
        pass


def test_a_folder_that_cannot_be_written_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file" / "trial", tmp_path / "file"):
        with (
            pytest.raises(RecordError, match=r"cannot be written .*--runtime\.output") as caught,
            Record(folder).lock(),
        ):
            pass
        assert "\n" not in str(caught.value)
        assert str(folder) in str(caught.value)


# Finding records.


def test_find_lists_the_records_of_a_study_by_name(tmp_path: Path) -> None:
    for name in ("b", "a", "c/nested"):
        Record(tmp_path / name).write_text("config.yaml", "")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    assert [record.folder.name for record in find_records(tmp_path)] == ["a", "b"]
    assert list(find_records(tmp_path / "none")) == []
    assert list(find_records(tmp_path / "file")) == []


@pytest.mark.parametrize("line", ['{"lr": 1}', "12", "[]"])
def test_a_line_that_is_no_row_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1}\n' + line + "\n")
    with pytest.raises(RecordError, match=r"metrics\.jsonl: damaged"):
        Record(tmp_path).metrics()
