"""Pieces of a page: tables, panels, and marks of generators. Everything that comes from a record is escaped."""

from collections.abc import Collection, Sequence
from html import escape
from typing import Protocol
from urllib.parse import quote

from randwire.pages.style import style

Cell = str | tuple[str, float]
"""HTML, and the number that a column is sorted by where the text is none."""


def table(
    heads: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    total: bool = False,
    text: Collection[str] = (),
    kind: str = "",
) -> str:
    """A table of cells that are HTML, headings that are text; `total`: the last row sums up the others.

    All columns but the first are numbers, unless `text` names them. The page's script shows a long table page by page,
    and lets one of the kind `sortable` be sorted.
    """
    classes = ["" if not k or name in text else ' class="n"' for k, name in enumerate(heads)]
    head = "".join(f"<th{own}>{escape(name)}</th>" for own, name in zip(classes, heads, strict=True))
    body = "".join(
        ('<tr class="total">' if total and row is rows[-1] else "<tr>")
        + "".join(_cell(own, cell) for own, cell in zip(classes, row, strict=True))
        + "</tr>"
        for row in rows
    )
    named = f' class="{kind}"' if kind else ""
    return f"<table{named}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def without_dashes(heads: Sequence[str], rows: Sequence[Sequence[Cell]]) -> tuple[list[str], list[list[Cell]]]:
    """Heads and rows of a table without the columns that would be dashes alone."""
    shown = [k for k in range(len(heads)) if any(row[k] != "-" for row in rows)]
    return [heads[k] for k in shown], [[row[k] for k in shown] for row in rows]


def panel(title: str, content: str, note: str = "") -> str:
    """A part of the page with a heading; `note` is text."""
    shown = f'<p class="note">{escape(note)}</p>' if note else ""
    return f'<div class="panel scroll"><h3>{escape(title)}</h3>{shown}{content}</div>'


def dot(generator: str, number: int | None = None) -> str:
    """The colour of a generator, or of the variant at a place in the order of its study, as a mark in text."""
    return f'<span class="dot" style="background:{style(generator, number)[0]}"></span>'


class Recorded(Protocol):
    """What has a record in the study's folder."""

    @property
    def folder(self) -> str: ...


def link(trial: Recorded) -> str:
    """Where the record of a trial is, from the report."""
    return f"./{quote(trial.folder)}/"


def record_link(trial: Recorded) -> str:
    """A link to the record of a trial, named by its folder."""
    return f'<a href="{link(trial)}"><code>{escape(trial.folder)}</code></a>'


def _cell(own: str, cell: Cell) -> str:
    shown, key = (cell, None) if isinstance(cell, str) else cell
    return f"<td{own}>{shown}</td>" if key is None else f'<td{own} data-value="{key!r}">{shown}</td>'
