"""The table of real conditions: what may happen to a study on real machines, and what it must do then.

Its rows are the tests of tests/conditions: `pytest.mark.condition(kind, case, expected)` stands at each of them.
"""

import importlib
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parents[1] / "conditions"
KINDS = {
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
}


class Row(NamedTuple):
    """A condition: its kind, the case, what is expected, and the test that shows it."""

    kind: str
    case: str
    expected: str
    test: str


def rows() -> list[Row]:
    """All conditions, by kind, then in the order of their tests."""
    found = []
    for path in sorted(FOLDER.glob("test_*.py")):
        module = importlib.import_module(path.stem)
        for name, member in vars(module).items():
            marks = getattr(member, "pytestmark", ()) if name.startswith("test_") else ()
            for kind, case, expected in (mark.args for mark in marks if mark.name == "condition"):
                found.append(Row(kind, case, expected, f"{path.stem}::{name}"))
    return sorted(found, key=lambda row: row.kind)


def page() -> str:
    """The text of docs/conditions.md."""
    every = rows()
    lines = [
        "# Real conditions",
        "",
        "What happened to studies on real machines, what is expected then, and the test that shows it. Commands are",
        "shortened: `sweep` stands for `python studies/generators.py sweep`. This page is made of the tests:",
        "`RANDWIRE_CONDITIONS=write python -m pytest tests/conditions/test_conditions.py`.",
    ]
    for kind, title in KINDS.items():
        lines += ["", f"## {kind}. {title}", "", "| case | expected | test |", "| --- | --- | --- |"]
        lines += [f"| {_cell(row.case)} | {_cell(row.expected)} | `{row.test}` |" for row in every if row.kind == kind]
    return "\n".join([*lines, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
