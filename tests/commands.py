"""The commands of the README, run as a user runs them."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Seconds instead of minutes: a few nodes and channels.
TINY = ("--graph.nodes", "6", "--network.channels", "4", "--network.head", "16")


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
