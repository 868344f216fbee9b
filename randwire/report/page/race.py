"""The rounds of a race, in sentences and a table."""

from html import escape

from randwire.pages.html import Cell, dot, panel, table
from randwire.report.facts.race import NOTE, cells, heads, sentences, standings
from randwire.report.facts.study import Section


def race(section: Section) -> str:
    """Who went on, round by round; empty for what is no race."""
    rounds = section.rounds
    if not rounds:
        return ""
    generators = {trial.setting: trial.generator for trial in section.group.trials}
    rows: list[list[Cell]] = []
    for standing in standings(rounds):
        name, *others = map(escape, cells(standing, rounds))
        rows.append([dot(generators.get(standing.setting, "")) + name, *others])
    told = " ".join(map(escape, sentences(rounds)))
    return panel("The race", f"<p>{told}</p>{table(heads(rounds), rows, text=('end',))}", NOTE)
