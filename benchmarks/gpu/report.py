"""What was found: as JSON, and as tables for the documentation."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.gpu.bench import ERROR, GOAL, LEFT_OUT, NOTE, ROW, WRONG, Cell
from benchmarks.gpu.processes import FAILED


@dataclass
class Section:
    """One section: how long it took, and all that it told."""

    name: str
    seconds: float = 0.0
    rows: list[dict[str, Cell]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Results that are not what they must be."""
    errors: list[str] = field(default_factory=list)
    """Cases that raised, and how the section ended if it did not come to its end."""
    notes: list[str] = field(default_factory=list)
    goals: list[dict[str, Any]] = field(default_factory=list)
    about: dict[str, Any] | None = None
    """Of the machine: versions, commit, hardware."""

    def add(self, kind: str, value: Any) -> None:
        """Take in what a section has told."""
        if kind == "about":
            self.about = value
        else:
            kinds: dict[str, list[Any]] = {
                ROW: self.rows,
                WRONG: self.wrong,
                ERROR: self.errors,
                FAILED: self.errors,
                NOTE: self.notes,
                GOAL: self.goals,
            }
            kinds[kind].append(value)

    @property
    def good(self) -> bool:
        return not (self.wrong or self.errors)

    def markdown(self) -> str:
        """Its tables, one for each set of columns, and what else it has told."""
        lines = [f"## {self.name}", ""]
        for columns, rows in _tables(self.rows):
            lines += [_line(["", *columns]), _line(["---", *["---:"] * len(columns)])]
            lines += [_line([str(row["name"]), *(text(row[column]) for column in columns)]) for row in rows]
            lines.append("")
        told = [("WRONG", self.wrong), ("FAILED", self.errors), ("Note", self.notes)]
        told.append(("Goal", [f"{goal['name']}: {'met' if goal['met'] else 'NOT met'}" for goal in self.goals]))
        lines += [f"- {label}: {what}" for label, whats in told for what in whats]
        return "\n".join(lines).rstrip() + "\n"


def _tables(rows: Iterable[Mapping[str, Cell]]) -> list[tuple[tuple[str, ...], list[Mapping[str, Cell]]]]:
    tables: dict[tuple[str, ...], list[Mapping[str, Cell]]] = {}
    for row in rows:
        tables.setdefault(tuple(name for name in row if name != "name"), []).append(row)
    return list(tables.items())


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def text(value: Cell) -> str:
    """Three significant digits of a number that has a fraction; others in full."""
    if not isinstance(value, float):
        return "" if value is None else str(value)
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1e}" if 0 < abs(value) < 1e-3 else f"{value:.3g}"


def headline(sections: Iterable[Section], minutes: float) -> str:
    """Where and when, and how it ended, in a few lines."""
    sections = list(sections)
    about = next((section.about for section in sections if section.about), {})
    hardware, packages = about.get("hardware", {}), about.get("packages", {})
    bad = [section.name for section in sections if not section.good]
    left_out = {section.name: sum(note.endswith(LEFT_OUT) for note in section.notes) for section in sections}
    short = ", ".join(f"{count} of {name}" for name, count in left_out.items() if count)
    return (
        f"{hardware.get('gpu') or hardware.get('cpu') or 'unknown machine'}, torch {packages.get('torch')}, commit "
        f"{about.get('commit')}{' with changes' if about.get('dirty') else ''}, {about.get('started')}; "
        f"{len(sections)} section(s) in {minutes:.1f} minutes\n"
        f"{'wrong or failed: ' + ', '.join(bad) if bad else 'nothing wrong, nothing failed'}"
        f"{'; cases left out for want of time: ' + short if short else ''}\n"
    )
