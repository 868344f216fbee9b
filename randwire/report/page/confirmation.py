"""What became of the means that chose the settings of a confirmation."""

from html import escape

from randwire.pages.html import dot, panel, table
from randwire.report.facts.confirmed import confirmation_of, confirmed, sentences
from randwire.report.facts.study import StudyFacts


def confirmation(facts: StudyFacts) -> str:
    """The means that chose beside those on fresh seeds; empty for a study that confirms nothing."""
    origin, rows = confirmation_of(facts.design), confirmed(facts)
    if origin is None or not rows:
        return ""
    told = any(row.winner.fitted is not None for row in rows)
    cells = [
        [
            dot(row.generator) + escape(row.name),
            str(row.winner.n),
            f"{row.winner.top1:.2f}",
            *["-" if row.winner.fitted is None else f"{row.winner.fitted:.2f}"] * told,
            "-" if row.here is None else str(row.here.n),
            "-" if row.here is None else f"{row.here.mean:.2f}",
            "-" if row.change is None else f"{row.change:+.2f}",
        ]
        for row in rows
    ]
    heads = ["setting", "n then", "mean that chose (%)", *["expected then (%)"] * told]
    heads += ["n here", "mean on fresh seeds (%)", "change (points)"]
    report = facts.folder.resolve().parent / origin.study / "report.html"
    name = escape(origin.study)
    if report.exists():
        name = f'<a href="../{escape(origin.study)}/report.html">{name}</a>'
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
