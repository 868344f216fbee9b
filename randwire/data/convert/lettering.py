"""Class names as letters in a picture, whatever script they are in."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import matplotlib
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

from randwire.names import printable

BASE = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
"""It comes with matplotlib: Latin, Greek, Cyrillic, Hebrew, Arabic and others, but no Chinese and no Indic scripts."""


class Lettering:
    """Fonts of one size in which names are drawn: DejaVu Sans, for other letters those of this machine."""

    def __init__(self, names: Iterable[str], size: int) -> None:
        """Choose a font for each of `names`; those of the machine are only looked at if DejaVu Sans lacks letters."""
        self._base = ImageFont.truetype(BASE, size)
        self._others: dict[str, ImageFont.FreeTypeFont] = {}
        lacking = {name for name in map(printable, names) if not _has(BASE, name)}
        for path in _fonts_of_machine() if lacking else ():
            if found := {name for name in lacking if _has(path, name)}:
                try:
                    font = ImageFont.truetype(path, size)
                except OSError:  # a font of fixed pixels
                    continue
                self._others |= dict.fromkeys(found, font)
                lacking -= found
            if not lacking:
                break
        self._escaped = {name: name.encode("ascii", "backslashreplace").decode() for name in lacking}

    def fitted(self, name: str, width: float) -> tuple[str, ImageFont.FreeTypeFont]:
        """The text that stands for a name in `width` pixels, and its font; what no font has is escaped in ASCII."""
        text = printable(name)
        font = self._others.get(text, self._base)
        text = self._escaped.get(text, text)
        if font.getlength(text) <= width:
            return text, font
        while text and font.getlength(text + "…") > width:
            text = text[:-1]
        return text + "…", font


@cache
def _letters(path: Path) -> frozenset[int]:
    try:
        return frozenset(FT2Font(str(path)).get_charmap())
    except (RuntimeError, OSError):  # no font that can be read
        return frozenset()


def _has(path: Path, text: str) -> bool:
    return _letters(path).issuperset(map(ord, text))


def _fonts_of_machine() -> list[Path]:
    from matplotlib import font_manager

    return [Path(path) for path in sorted(font_manager.findSystemFonts())]
