"""Signals in the middle of an epoch: one asks, two end, and what hangs is ended."""

import signal
import subprocess
import threading
import time
from pathlib import Path

import commands
import pytest

from randwire.training.interrupts import Interrupts

START = """
import ctypes, os, signal, sys, time
from randwire.arguments import guarded
from randwire.training import interrupts

def hang():  # runs no Python, as a collective that waits for a lost rank
    mutex, lock = ctypes.create_string_buffer(64), ctypes.CDLL(None).pthread_mutex_lock
    lock(mutex)
    lock(mutex)

asked = interrupts.Interrupts()
def main():
    with asked.deferred():
        print("ready", flush=True)
        TRAINING
    return 0
sys.exit(guarded(main))
"""
TELLS = """
        while True:
            asked.asked and print(1, flush=True)
            time.sleep(0.01)"""
"""A training that prints once it has been asked to end, again and again."""


def started(training: str, folder: Path, **constants: float) -> "subprocess.Popen[str]":
    """A process that does this in place of training, as soon as its signals are deferred."""
    program = START.replace("TRAINING", training)
    lines = "".join(f"interrupts.{name} = {value}\n" for name, value in constants.items())
    program = program.replace("def hang", f"{lines}\ndef hang")
    (folder / "program.py").write_text(program)
    process = commands.popen([str(folder / "program.py")], {"PYTHONPATH": str(commands.ROOT)})
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    _, stderr = process.communicate(timeout=commands.PATIENCE)
    return process.returncode, stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_only_asks(number: signal.Signals, tmp_path: Path) -> None:
    process = started("\n        while not asked.asked: time.sleep(0.01)", tmp_path)
    process.send_signal(number)
    assert ended(process) == (0, "")


def test_the_second_signal_ends_at_once(tmp_path: Path) -> None:
    process = started(TELLS, tmp_path, ONE_NOTICE_S=0.0)
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"
    process.send_signal(signal.SIGTERM)
    code, stderr = ended(process)
    assert code == 130
    assert stderr.startswith("interrupted")


def test_signals_at_the_same_time_are_one(tmp_path: Path) -> None:
    """torchrun passes on what a terminal has sent to all of its processes already, and so does a shell that ends."""
    process = started(TELLS, tmp_path, ONE_NOTICE_S=1000.0)
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"
    process.send_signal(signal.SIGINT)
    assert [process.stdout.readline() for _ in range(30)] == ["1\n"] * 30
    process.kill()
    process.communicate()


@pytest.mark.parametrize("training", ["hang()", "time.sleep(1e6)\n        time.sleep(1e6)"], ids=["hangs", "is long"])
def test_what_is_not_heeded_in_time_ends(training: str, tmp_path: Path) -> None:
    process = started(training, tmp_path, GRACE_S=0.3, LAST_S=0.3)
    process.send_signal(signal.SIGTERM)
    code, stderr = ended(process)
    assert code == 130
    assert len(stderr.splitlines()) == 1
    assert "Traceback" not in stderr


def test_what_is_heeded_late_is_saved(tmp_path: Path) -> None:
    """The patience ends while a step is about to come to its end: the save after it takes as long as it takes."""
    training = "\n        time.sleep(0.6); asked.heed(); time.sleep(1.5); print('saved', flush=True)"
    process = started(training, tmp_path, GRACE_S=0.3, LAST_S=0.6)
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    assert process.stdout.readline() == "saved\n"
    assert ended(process)[0] == 0


def test_further_signals_end_what_hangs(tmp_path: Path) -> None:
    process = started("hang()", tmp_path, LAST_S=0.3)
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    assert ended(process) == (130, "error: hangs in the middle of a step; ended as it was\n")


def test_handlers_are_given_back() -> None:
    own = signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a command that ran in this process has left one
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with Interrupts().deferred():
        assert signal.getsignal(signal.SIGINT) != before[0]
        assert signal.getsignal(signal.SIGTERM) == before[1] == signal.SIG_DFL
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
    assert signal.set_wakeup_fd(-1) == -1
    signal.signal(signal.SIGTERM, own)


def test_in_another_thread_nothing_is_deferred() -> None:
    seen = []

    def look() -> None:
        with Interrupts().deferred():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]
