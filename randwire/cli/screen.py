"""A page on the terminal of standard output that is drawn again and again."""

import os
import shutil
import sys
import time
import unicodedata
from collections.abc import Sequence

from randwire.stdio import abandoned, is_screen

CLEAR = "\x1b[H\x1b[J"
_LOOK_S = 0.2
"""Between two looks at the size of the terminal."""


def size() -> os.terminal_size:
    """Columns and lines as the terminal itself tells, or the environment if it does not know."""
    try:
        actual = os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        actual = os.terminal_size((0, 0))
    return actual if actual.columns and actual.lines else shutil.get_terminal_size()


def draw(lines: Sequence[str]) -> None:
    """Clear the screen, and show the lines, each in one line of the screen."""
    columns = size().columns
    print(CLEAR + "\n".join(fitted(line, columns) for line in lines), flush=True)


def wait(seconds: float, drawn_at: os.terminal_size) -> bool:
    """Wait so long; less if nobody reads any more, or if the screen has another size than it was drawn at.

    Whether it has is what it returns.
    """
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and not abandoned():
        time.sleep(min(left, _LOOK_S))
        if is_screen(sys.stdout) and size() != drawn_at:
            return True
    return False


def fitted(line: str, columns: int) -> str:
    """A line cut to so many columns, with an ellipsis in the last one; what cannot be printed is a question mark."""
    shown, used = [], 0
    for letter in line:
        printed = letter if letter.isprintable() else "?"
        used += _width(printed)
        shown.append((printed, used))
    if used <= columns:
        return "".join(letter for letter, _ in shown)
    return "".join(letter for letter, end in shown if end < columns) + "…" * (columns > 0)


def _width(letter: str) -> int:
    """Columns of a letter: none of what is put on the one before it, two of wide ones, as of Chinese."""
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1
