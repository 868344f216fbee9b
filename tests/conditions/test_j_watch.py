"""The watched page of `status` on terminals of any size and kind."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import commands
import pytest
from study_helpers import design

from randwire.cli import screen
from randwire.study.design import Design

CLEAR = "\x1b[H\x1b[J"


class Terminal:
    """A pseudo-terminal, and `status --watch 600` of a study on it."""

    def __init__(self, study: Design, columns: int, lines: int, term: str) -> None:
        self.main, side = pty.openpty()
        self.resize(columns, lines)
        output = ("--name", "study", "--runtime.output", str(study.base.runtime.output))
        words = [sys.executable, "studies/generators.py", "status", *output, "--all", "--watch", "600"]
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        self.process = Popen(
            words, cwd=commands.ROOT, env={**environment, "TERM": term}, stdin=side, stdout=side, stderr=side
        )
        os.close(side)
        self.shown = ""

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.main, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def until(self, condition: Callable[[str], bool]) -> str:
        """What is shown once the condition holds."""
        end = time.monotonic() + commands.PATIENCE
        while not condition(self.shown):
            assert time.monotonic() < end, self.shown
            if select.select([self.main], [], [], 1)[0]:
                self.shown += os.read(self.main, 4096).decode()
        return self.shown

    def close(self) -> int:
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(commands.PATIENCE)
        os.close(self.main)
        return code


@pytest.mark.condition("J", "status --watch on a narrow terminal that grows", "lines fit; it is drawn again at once")
def test_the_page_fits_its_terminal(tmp_path: Path) -> None:
    study = design(tmp_path, settings=6, seeds=4)
    study.open()
    terminal = Terminal(study, 30, 8, "xterm")
    (narrow,) = terminal.until(lambda shown: shown.endswith("…\r\n")).split(CLEAR)[1:]
    lines = narrow.splitlines()
    assert len(lines) <= 7  # and the one of the cursor
    assert {len(line) for line in lines if line.endswith("…")} == {30}
    assert max(map(len, lines)) == 30
    terminal.resize(120, 40)
    wide = terminal.until(lambda shown: shown.count(CLEAR) == 2 and "24 pending" in shown).split(CLEAR)[2]
    assert len(wide.splitlines()) == 25
    assert "…" not in wide
    assert terminal.close() == 0


@pytest.mark.condition("J", "status --watch with TERM=dumb", "a line at a time, without escapes")
def test_a_terminal_without_a_screen_gets_lines(tmp_path: Path) -> None:
    study = design(tmp_path)
    study.open()
    terminal = Terminal(study, 80, 24, "dumb")
    shown = terminal.until(lambda shown: shown.endswith("\n"))
    assert re.fullmatch(r"[\d-]+ [\d:]+  \S+/study: nothing started yet, \d+ pending\r\n", shown)
    assert terminal.close() == 0


@pytest.mark.parametrize(
    ("line", "columns", "expected"),
    [
        ("loss is nan", 11, "loss is nan"),
        ("loss is nan", 10, "loss is n…"),
        ("loss is nan", 1, "…"),
        ("loss is nan", 0, ""),
        ("研究 is nan", 7, "研究 i…"),
        ("研究 is nan", 4, "研…"),
        (unicodedata.normalize("NFD", "größe"), 5, unicodedata.normalize("NFD", "größe")),
        ("\x1b[31mred\t\x07", 20, "?[31mred??"),
    ],
)
def test_a_line_is_cut_to_the_columns(line: str, columns: int, expected: str) -> None:
    assert screen.fitted(line, columns) == expected
