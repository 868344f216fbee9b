"""The watched page of `status` on terminals of any size and kind."""

import re
import unicodedata
from pathlib import Path

import pytest
from study_helpers import design
from terminals import Terminal

from randwire.cli import screen
from randwire.study.design import Design

CLEAR = "\x1b[H\x1b[J"


def watched(study: Design, columns: int, lines: int, term: str) -> Terminal:
    output = ("--name", "study", "--runtime.output", str(study.base.runtime.output))
    words = ("studies/generators.py", "status", *output, "--all", "--watch", "600")
    return Terminal(*words, columns=columns, lines=lines, variables={"TERM": term})


@pytest.mark.condition("J", "status --watch on a narrow terminal that grows", "lines fit; it is drawn again at once")
def test_the_page_fits_its_terminal(tmp_path: Path) -> None:
    study = design(tmp_path, settings=6, seeds=4)
    study.open()
    terminal = watched(study, 30, 8, "xterm")
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
    terminal = watched(study, 80, 24, "dumb")
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
