"""What became of the means that chose the settings of a confirmation."""

from collections.abc import Sequence
from html import escape

from randwire.pages.html import dot, panel, table
from randwire.report.facts.confirmed import (
    Confirmed,
    confirmation_of,
    confirmed,
    longer,
    longer_of,
    longer_sentences,
    sentences,
)
from randwire.report.facts.study import StudyFacts


def confirmation(facts: StudyFacts) -> str:
    """The means that chose beside those on fresh seeds; empty for a study that confirms nothing."""
    origin, rows = confirmation_of(facts.design), confirmed(facts)
    if origin is None or not rows:
        return _longer(facts)
    told = any(row.winner.fitted is not None for row in rows)
    cells = _cells(rows, told)
    heads = ["setting", "n then", "mean that chose (%)", *["expected then (%)"] * told]
    heads += ["n here", "mean on fresh seeds (%)", "change (points)"]
    name = _link(facts, origin.study)
    text = " ".join(map(escape, sentences(facts)))
    held = {trial.config.data.holdout for trial in facts.trials}
    where = "Both means are on the images that chose." if held == {origin.holdout} else "The means are on other images."
    note = (
        f"{where} The highest of several means was lucky, too: on fresh seeds it is "
        "expected to come out lower. The tests below are of the fresh seeds alone."
        + " What was expected then is the mean with that luck taken off, by all settings that were looked at."
        * told
    )
    return panel("What was confirmed", f"<p>Confirms {name}. {text}</p>{table(heads, cells)}", note)


def _longer(facts: StudyFacts) -> str:
    """The means that chose beside those after longer training; empty for a study that trains nothing for longer."""
    origin, rows = longer_of(facts.design), longer(facts)
    if origin is None or not rows:
        return ""
    heads = ["setting", "n then", "mean that chose (%)", "n here", "mean after longer training (%)", "change (points)"]
    first, *others = map(escape, longer_sentences(facts))
    text = first.replace(escape(origin.study), _link(facts, origin.study), 1)
    return panel("What was trained for longer", f"<p>{text}</p>{table(heads, _cells(rows, False))}", " ".join(others))


def _link(facts: StudyFacts, study: str) -> str:
    """The name of the earlier study, which leads to its report where that is there."""
    name = escape(study)
    if (facts.folder.resolve().parent / study / "report.html").exists():
        return f'<a href="../{name}/report.html">{name}</a>'
    return name


def _cells(rows: Sequence[Confirmed], expected: bool) -> list[list[str]]:
    """The rows of the table; with what was `expected` then."""
    return [
        [
            dot(row.generator) + escape(row.name),
            str(row.winner.n),
            f"{row.winner.top1:.2f}",
            *["-" if row.winner.fitted is None else f"{row.winner.fitted:.2f}"] * expected,
            "-" if row.here is None else str(row.here.n),
            "-" if row.here is None else f"{row.here.mean:.2f}",
            "-" if row.change is None else f"{row.change:+.2f}",
        ]
        for row in rows
    ]
