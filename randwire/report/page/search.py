"""What a search recommends, and by what."""

from __future__ import annotations

from html import escape

from randwire.pages.html import Cell, dot, panel, table
from randwire.report.facts.recommended import note, recommended, sentences
from randwire.report.facts.study import Section
from randwire.study.results import mean


def recommendation(section: Section) -> str:
    """The settings that a search recommends, with the mean that it saw and the one to expect; empty for any other."""
    shown = recommended(section)
    if not shown:
        return ""
    apart = bool(section.group.holdout)  # the images that choose are not those that tell
    heads = ["setting, best first", "n", "mean seen (%)", "expected (%)", *["test top-1 (%)"] * apart]
    rows: list[list[Cell]] = []
    for one in shown:
        name = dot(one.generator) + escape(one.setting)
        rows.append(
            [
                f"<b>{name}</b> (recommended)" if one is shown[0] else name,
                str(one.n),
                f"{one.mean:.2f}",
                "-" if one.fitted is None else f"{one.fitted:.2f}",
                *[f"{mean(section.group.values[one.setting]):.2f}"] * apart,
            ]
        )
    text = " ".join(map(escape, sentences(section)))
    return panel("What the search recommends", f"<p>{text}</p>{table(heads, rows)}", note(section))
