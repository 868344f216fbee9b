"""The text, tables and pictures of a report, as pieces of HTML. Everything that comes from a record is escaped."""

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

from randwire import drawing
from randwire.dag import DAG
from randwire.pages.html import link
from randwire.pages.text import many
from randwire.report.facts.study import Section, StudyFacts
from randwire.report.facts.warnings import Warned
from randwire.report.page.leaders import card
from randwire.report.page.marks import mark
from randwire.study.results import Trial
from randwire.study.statuses import RECORD_STATUSES

MAX_BEST, MAX_WORST = 4, 4
"""Trials in the gallery."""
GALLERY = (
    "Data flow from top to bottom. Orange: the unique input and output node of the stage. Lines are coloured by how "
    "many levels they go down, from grey (the next level) over blue and violet to red (8 and more). Each DAG is shown "
    "once, with the trial that is the best, or the worst, of those that share it."
)


def header(facts: StudyFacts) -> str:
    """The title of the page, and how many trials there are."""
    count = f"{many(facts.records, 'trial')}, {facts.statuses}"
    return (
        f"<header><h1>{escape(facts.name)}</h1>\n"
        f'<p class="lead">A study of randomly wired neural networks: {count}.</p>\n'
        "</header>\n"
        "<noscript>The figures of this page need JavaScript; its tables do not.</noscript>"
    )


def answer(sentences: Sequence[str]) -> str:
    """What the page opens with; empty without an answer."""
    return f'<p class="answer">{escape(" ".join(sentences))}</p>' if sentences else ""


def warning(warned: Warned) -> str:
    """A warning, with what is to be typed as code."""
    text, code = escape(warned.text, quote=False), escape(warned.code, quote=False)
    return f'<p class="warning" role="note">{text.replace(code, f"<code>{code}</code>") if code else text}</p>'


def facts_list(facts: Mapping[str, str]) -> str:
    """Values by name."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    return f'<div class="panel"><dl>{rows}</dl></div>'


def cards(facts: StudyFacts) -> str:
    """How many trials have ended in which way; empty where all have finished, which the header says."""
    counts = Counter(trial.status for trial in facts.trials)
    rows = [(str(counts[status]), status) for status in RECORD_STATUSES[:4]]
    if facts.unreadable:
        rows.append((str(len(facts.unreadable)), "unreadable"))
    shown = "".join(card(value, [name]) for value, name in rows)
    return f'<div class="cards">{shown}</div>' if facts.excluded else ""


def gallery(section: Section) -> str:
    """The DAGs of the best and the worst trials; no DAG twice."""
    budget = section.group
    ranks = {trial.folder: rank for rank, trial in enumerate(budget.counted, 1)}
    best = _distinct_graphs(budget.counted, MAX_BEST, [])
    worst = _distinct_graphs(budget.counted[::-1], MAX_WORST, best)
    parts = []
    first = "DAGs of the best trials" if worst else "DAGs, best first" if len(best) > 1 else "DAG"
    for title, trials in ((first, best), ("DAGs of the worst trials, last first", worst)):
        if trials:
            tiles = "".join(_tile(trial, mark(section, trial), ranks[trial.folder], len(ranks)) for trial in trials)
            parts.append(f'<h3 class="above">{title}</h3><div class="gallery">{tiles}</div>')
    if not parts:
        return ""
    return "".join(parts) + f'<p class="note">{GALLERY}</p>'


def _distinct_graphs(trials: Sequence[Trial], limit: int, taken: Sequence[Trial]) -> list[Trial]:
    """The first trials whose DAGs are not those of an earlier one or of one that is taken."""
    seen, distinct = [trial.dags for trial in taken], list[Trial]()
    for trial in trials:
        if len(distinct) < limit and trial.dags and trial.dags not in seen:
            seen.append(trial.dags)
            distinct.append(trial)
    return distinct


def _tile(trial: Trial, colour: str, rank: int, of: int) -> str:
    stages: dict[DAG, list[str]] = {}
    for stage, dag in trial.dags.items():
        stages.setdefault(dag, []).append(stage)
    pictures = "".join(
        f"<figure>{drawing.thumbnail_svg(dag)}<figcaption>{escape(' = '.join(names))}</figcaption></figure>"
        for dag, names in stages.items()
    )
    chosen = "" if trial.test_top1 is None else f" ({trial.chosen_by:.2f}% by the images that choose)"
    return (
        f'<figure class="tile"><div class="dags">{pictures}</div><figcaption>{colour}'
        f"<b>{escape(trial.setting)}</b> {trial.score:.2f}%{chosen}<br>"
        f'<span class="note">rank {rank} of {of}, graph seed {trial.config.graph.seed}, training seed '
        f'{trial.config.train.seed}, <a href="{link(trial)}">record</a></span></figcaption></figure>'
    )
