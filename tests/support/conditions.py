"""Tables of what may come, and what is expected then: pages of docs whose rows are tests.

A row is a mark at a test, such as `pytest.mark.condition(kind, case, expected)`; each table has a mark and a folder.
"""

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parents[1]


class Row(NamedTuple):
    """A case: its kind, what comes, what is expected, and the test that shows it."""

    kind: str
    case: str
    expected: str
    test: str


@dataclass(frozen=True)
class Table:
    """A page of docs, of the rows with `mark` at tests in `folder`."""

    mark: str
    folder: Path
    page: str
    title: str
    introduction: str
    kinds: Mapping[str, str]

    def rows(self) -> list[Row]:
        """All cases, by kind, then in the order of their tests."""
        found = []
        for path in sorted(self.folder.glob("test_*.py")):
            sys.path.insert(0, str(self.folder))
            try:
                module = importlib.import_module(path.stem)
            finally:
                sys.path.remove(str(self.folder))
            for name, member in vars(module).items():
                marks = getattr(member, "pytestmark", ()) if name.startswith("test_") else ()
                for kind, case, expected in (mark.args for mark in marks if mark.name == self.mark):
                    found.append(Row(kind, case, expected, f"{path.stem}::{name}"))
        return sorted(found, key=lambda row: row.kind)

    def text(self) -> str:
        """The content of the page."""
        every = self.rows()
        command = "`RANDWIRE_CONDITIONS=write python -m pytest tests/conditions/test_conditions.py`"
        lines = [f"# {self.title}", "", self.introduction, f"This page is made of the tests:\n{command}."]
        for kind, title in self.kinds.items():
            lines += ["", f"## {kind}. {title}", "", "| case | expected | test |", "| --- | --- | --- |"]
            lines += [
                f"| {_cell(row.case)} | {_cell(row.expected)} | `{row.test}` |" for row in every if row.kind == kind
            ]
        return "\n".join([*lines, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


REAL_CONDITIONS = Table(
    "condition",
    TESTS / "conditions",
    "conditions.md",
    "Real conditions",
    "What happened to studies on real machines, what is expected then, and the test that shows it. Commands are\n"
    "shortened: `sweep` stands for `python studies/generators.py sweep`.",
    {
        "A": "The end of an output stream is not the end of the work",
        "B": "Ray's start",
        "C": "Records and designs are extended, not overwritten",
        "D": "Options take effect, or are refused",
        "E": "Limits of the machine",
        "F": "Units that are independent",
        "G": "Files are checked before they are trusted",
        "H": "Places may change",
        "I": "Values are read by their type",
        "J": "Long work shows signs",
    },
)
IMAGE_DATA = Table(
    "image_data",
    TESTS / "images",
    "image-data.md",
    "Image data",
    "What people have as image data, what is expected of a conversion, a check or a prediction then, and the test\n"
    "that shows it. `convert` stands for `python -m randwire.data.convert`.",
    {
        "A": "Colours",
        "B": "What is an image, and what is left out",
        "C": "One bad image is one line",
        "D": "Labels by key",
        "E": "OUTPUT is a place",
        "F": "Text of the outside world",
        "G": "Statistics",
        "H": "Messages",
        "I": "Prediction reads as the conversion did",
        "K": "Sources",
        "L": "A look at a converted set",
    },
)
TABLES = (REAL_CONDITIONS, IMAGE_DATA)
