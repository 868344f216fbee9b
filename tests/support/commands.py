"""The commands of the README, run as a user runs them, in processes of their own or in this one."""

import contextlib
import io
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
TORCHRUN = "torchrun --nproc-per-node 2 train.py digits --graph.seed 4"
"""The README's command for several ranks. Tests run it once: its processes import torch anew."""
# Seconds instead of minutes: a few nodes and channels.
TINY = ("--graph.nodes", "6", "--network.channels", "4", "--network.head", "16", "--data.resolution", "16")


PATIENCE = 180.0
"""Seconds for which a test waits for what a command does, on a busy machine."""


def popen(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*arguments: str, environment: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """The finished command; its output is in the message of a failing assertion on the return code."""
    process = popen(arguments, environment)
    try:
        stdout, stderr = process.communicate()
    except BaseException:  # a test that ran out of time leaves nothing running
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
        raise
    print(stdout, stderr)
    return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)


def call(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """As `run`, but in this process: a script, or a module after `-m`, is executed here, as Python executes it.

    A process of its own takes seconds to import torch. What only a process can show (what is imported, signals, exit
    codes of crashes) needs `run`.
    """
    module = arguments[0] == "-m"
    name, words = (arguments[1], arguments[2:]) if module else (str(ROOT / arguments[0]), arguments[1:])
    stdout, stderr = io.StringIO(), io.StringIO()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    argv, handlers = sys.argv, {number: signal.getsignal(number) for number in numbers}
    code: object = 0
    try:
        sys.argv = [name, *words]
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr), contextlib.chdir(ROOT):
            if module:
                runpy.run_module(name, run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(name, run_name="__main__")
    except SystemExit as error:
        code = error.code
    finally:
        sys.argv = argv
        for number, handler in handlers.items():
            signal.signal(number, handler)
    print(stdout.getvalue(), stderr.getvalue())
    return subprocess.CompletedProcess(
        arguments, code if isinstance(code, int) else int(code is not None), stdout.getvalue(), stderr.getvalue()
    )


def await_that(
    condition: Callable[[], T],
    process: "subprocess.Popen[Any]",
    output: Callable[[], object] | None = None,
    seconds: float = PATIENCE,
) -> T:
    """The value of the condition, once it holds while a process runs. `output`: what it has said, if not to pipes."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert process.poll() is None, f"it has ended:\n{(output or process.communicate)()}"
        assert time.monotonic() < deadline, f"timed out:\n{output() if output else ''}"
        time.sleep(0.05)
    return value
