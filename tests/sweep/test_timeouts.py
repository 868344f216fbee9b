"""How long a sweep waits: for storage that is away, and for the head of its cluster."""

import os
import socket
import threading
from pathlib import Path

import pytest
from study_helpers import design

from randwire.sweep.cluster import Timeouts
from randwire.sweep.headwatch import exit_without_head
from randwire.sweep.retry import retried


def test_work_on_records_waits_for_storage_that_comes_back(tmp_path: Path) -> None:
    study = design(tmp_path)
    back = threading.Timer(0.2, study.open)
    back.start()
    assert retried(study, Timeouts(storage_s=60.0, storage_poll_s=0.01), lambda: "done") == "done"
    back.join()


def test_storage_that_does_not_come_back_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        retried(design(tmp_path), Timeouts(storage_s=0.05, storage_poll_s=0.01), lambda: "done")


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The codes that the process would have exited with."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    return codes


def test_a_head_that_answers_ends_nothing(exits: list[int]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        with exit_without_head(f"127.0.0.1:{server.getsockname()[1]}", Timeouts(head_s=30.0, head_poll_s=0.05)):
            for _ in range(2):
                server.accept()[0].close()
    assert exits == []


def test_a_head_that_is_away_ends_the_process_in_one_line(exits: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    with exit_without_head(address, Timeouts(head_s=0.1, head_poll_s=0.05)):
        ended = threading.Event()
        while not exits:
            ended.wait(0.02)
    assert set(exits) == {1}
    (line,) = set(capsys.readouterr().err.splitlines())
    assert line.startswith(f"error: the head of the cluster, {address}, has been away for 0.1 s; the same command")
