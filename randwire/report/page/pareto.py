"""The table of the Pareto set."""

from html import escape

from randwire.pages.html import Cell, dot, table
from randwire.pages.text import short
from randwire.report.facts.pareto import Pareto, word
from randwire.study.objectives import TOP1


def pareto_table(found: Pareto | None) -> str:
    """The settings of the Pareto set; empty without one. Top-1 of the test images stands there where there is any."""
    if found is None:
        return ""
    told = any(one.test is not None for one in found.best)
    heads = ["Pareto set", "n", *map(word, (TOP1, *found.others)), *["test top-1 (%)"] * told]
    rows: list[list[Cell]] = []
    for one in found.best:
        values: list[Cell] = [(short(one.values[name]), one.values[name]) for name in found.others]
        row: list[Cell] = [dot(one.generator) + escape(one.setting), str(one.n), f"{one.values[TOP1]:.2f}", *values]
        if told:
            row.append("-" if one.test is None else f"{one.test:.2f}")
        rows.append(row)
    return table(heads, rows, kind="sortable")
