"""The best setting of each generator, or the variants of a study, as a table and as cards."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from statistics import median

from randwire.metrics import IMAGES_PER_S
from randwire.pages.html import dot, panel, table, without_dashes
from randwire.pages.text import many
from randwire.report.facts.leading import Row, leading
from randwire.report.facts.study import Section
from randwire.study.groups import TrialGroup
from randwire.study.results import number


def leaders_table(section: Section) -> str:
    """The best setting of each generator, or all variants; empty where no trial has finished."""
    if not section.group.counted:
        return ""
    shown = leading(section)
    rows = [[_mark(row, section) + escape(row.cells[0]), *map(escape, row.cells[1:])] for row in shown.rows]
    text = ("best setting", "of")
    return panel(shown.title, table(*without_dashes(shown.heads, rows), text=text) if rows else "", shown.note)


def group_cards(section: Section) -> str:
    """The mean of the best setting or variant of one budget, its best network, and how much there is."""
    group = section.group
    if not group.counted:
        return (
            '<p class="warning" role="note">No trial of this budget has finished, so there is nothing to compare.</p>'
        )
    rates = [rate for trial in group.counted for row in trial.rows if (rate := number(row, IMAGES_PER_S.key))]
    shown = [*_best(section), _best_network(group)]
    shown.append(card(str(len(group.by_setting)), ["setting" + "s" * (len(group.by_setting) != 1)]))
    if rates:
        shown.append(card(f"{median(rates):,.0f}", ["images a second", "median over epochs"]))
    return f'<div class="cards">{"".join(shown)}</div>'


def card(value: str, lines: Sequence[str], main: bool = False) -> str:
    """A value with what it is."""
    spans = "".join(f"<span>{escape(line)}</span>" for line in lines)
    return f'<div class="card{" main" * main}"><b>{escape(value)}</b>{spans}</div>'


def _mark(row: Row, section: Section) -> str:
    """The colour of a generator, or of a variant that has one."""
    number = section.kinds.number(row.name)
    return dot(row.generator, number) if row.generator or number is not None else ""


def _best(section: Section) -> list[str]:
    best = leading(section).best
    if best is None:
        return []
    what = "test top-1" if section.group.holdout else "top-1"
    lines = [f"mean {what} of {best.name}, n = {best.top1.n}"]
    lines.append("no standard deviation" if best.top1.std is None else f"standard deviation {best.top1.std:.2f}")
    lines += [f"{best.chosen_by:.2f}% by the images that choose"] * bool(section.group.holdout)
    return [card(f"{best.top1.mean:.2f}%", lines, main=True)]


def _best_network(group: TrialGroup) -> str:
    best, count = group.counted[0], len(group.counted)
    title = f"best of {many(count, 'network')}" if count > 1 else "only finished network"
    seed = f"training seed {best.config.train.seed}" if best.reference else f"graph seed {best.config.graph.seed}"
    lines = [f"{'test ' * bool(group.holdout)}top-1, {title}: {best.setting}", seed]
    lines += [f"{best.chosen_by:.2f}% by the images that choose"] * bool(group.holdout)
    return card(f"{best.score:.2f}%", lines)
