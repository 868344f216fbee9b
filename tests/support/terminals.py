"""A command on a pseudo-terminal of its own, as a window would run it."""

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Mapping
from subprocess import Popen

import commands


def _own_terminal() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under `nohup`
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """A terminal, and a command of Python that runs on it and ends with it.

    `columns` and `lines` are its size, `variables` are added to the environment.
    """

    def __init__(self, *words: str, columns: int = 80, lines: int = 24, variables: Mapping[str, str] | None = None):
        self._main, side = pty.openpty()
        self.resize(columns, lines)
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        self.process = Popen(
            [sys.executable, *words],
            cwd=commands.ROOT,
            env={**environment, "TERM": "xterm", **(variables or {})},
            stdin=side,
            stdout=side,
            stderr=side,
            start_new_session=True,
            preexec_fn=_own_terminal,
        )
        os.close(side)
        self.shown = ""

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._main, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def until(self, condition: Callable[[str], object], seconds: float = commands.PATIENCE) -> str:
        """What has been shown once the condition holds for it."""
        end = time.monotonic() + seconds
        while not condition(self.shown):
            assert time.monotonic() < end, self.shown
            assert self.process.poll() is None, self.shown
            if select.select([self._main], [], [], 0.2)[0]:
                self.shown += os.read(self._main, 4096).decode()
        return self.shown

    def close(self) -> int:
        """Close the window; the exit code of the command."""
        os.close(self._main)
        return self.process.wait(commands.PATIENCE)
