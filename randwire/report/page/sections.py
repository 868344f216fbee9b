"""The text, tables and pictures of a report, as pieces of HTML. Everything that comes from a record is escaped."""

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

from randwire import drawing
from randwire.dag import DAG
from randwire.records import Row
from randwire.report.facts.provenance import mixed
from randwire.report.facts.rates import Check
from randwire.report.page.html import dot, link
from randwire.report.text import many
from randwire.statistics.describe import describe
from randwire.study.results import STATUSES, Broken, Group, Trial, number
from randwire.study.setting import Setting

BEST, WORST = 4, 4
"""Trials in the gallery."""
MOST_FAILURES = 10
"""Settings that could not be run, and are named."""
GALLERY = (
    "Data flow from top to bottom. Orange: the unique input and output node of the stage. Lines are coloured by how "
    "many levels they go down, from grey (the next level) over blue and violet to red (8 and more). Each DAG is shown "
    "once, with the trial that is the best, or the worst, of those that share it."
)


def counts(trials: Sequence[Trial], broken: Sequence[Broken]) -> str:
    """How many trials have which status, such as `5 finished, 1 failed`; what does not occur is left out."""
    found = Counter([*(trial.status for trial in trials), *("unreadable" for _ in broken)])
    return ", ".join(f"{found[status]} {status}" for status in STATUSES if found[status])


def warnings(
    study: Row | None,
    groups: Sequence[Group],
    checks: Sequence[Check],
    trials: Sequence[Trial],
    broken: Sequence[Broken],
    failures: Mapping[Setting, tuple[float, str]],
) -> str:
    """What a reader must know before believing a mean. `failures`: when and why settings could not be run."""
    search = (study or {}).get("search")
    lines = []
    excluded = sum(trial.top1 is None for trial in trials) + len(broken)
    if excluded:
        lines.append(f"{many(excluded, 'trial')} excluded from all statistics (listed at the end with the cause).")
    for setting, (_, cause) in list(failures.items())[:MOST_FAILURES]:
        lines.append(f"{escape(setting.label)} could not be run: {escape(cause)}.")
    if len(failures) > MOST_FAILURES:
        lines.append(f"{len(failures) - MOST_FAILURES} more settings could not be run (failures.jsonl).")
    budgets = len({str(found.budget) for found in groups})
    if budgets > 1:
        lines.append(
            f"The trials have {budgets} different budgets. Each budget has its own section below; "
            "results of unequal budgets are never pooled."
        )
    foreign = sum(len(found.trials) for found in groups if found.origin == "outside")
    if foreign:
        lines.append(
            f"{many(foreign, 'trial')} of settings that are not of the study's fixed grid: they have a section of "
            "their own at the end, and no part in any figure or test of the grid."
        )
    unequal = any(len({len(same) for same in found.by_generator.values()}) > 1 for found in groups)
    if search == "tpe":
        lines.append(
            "The search is adaptive (TPE): it tries more settings where earlier ones did well, so "
            f"{'n is unequal and ' if unequal else ''}the means are biased by adaptivity. "
            "A comparison of generators needs <code>--search grid</code>."
        )
    elif any(len({len(same) for same in found.by_setting.values()}) > 1 for found in groups):
        lines.append("n differs between settings: the means are not equally certain.")
    if (study or {}).get("early_stopping"):
        lines.append(
            "Early stopping was on: trials that looked weak were pruned and are excluded, so the means are those of "
            "the survivors."
        )
    if study is None:
        lines.append("There is no study.json: how the settings were chosen is not known.")
    wrong = sum(len(check.wrong) for check in checks)
    if wrong:
        lines.append(f"The logged learning rates of {many(wrong, 'trial')} are not those of the schedule (see below).")
    lines += mixed(trials)
    return "".join(f'<p class="warning" role="note">{line}</p>' for line in lines)


def cards(trials: Sequence[Trial], broken: Sequence[Broken]) -> str:
    """How many trials have ended in which way."""
    found = Counter(trial.status for trial in trials)
    rows = [(str(found[status]), status) for status in STATUSES[:4]]
    if broken:
        rows.append((str(len(broken)), "unreadable"))
    return '<div class="cards">' + "".join(_card(value, [name]) for value, name in rows) + "</div>"


def group_cards(found: Group) -> str:
    """The best trial and the mean of one budget."""
    if not found.counted:
        return (
            '<p class="warning" role="note">No trial of this budget has finished, so there is nothing to compare.</p>'
        )
    title = "best top-1" if len(found.counted) > 1 else "only finished trial"
    best, all_ = found.counted[0], describe([trial.score for trial in found.counted])
    std = f"standard deviation {all_.std:.2f}" if all_.std is not None else "one trial, no standard deviation"
    rates = sorted(rate for trial in found.counted for row in trial.rows if (rate := number(row, "images_per_s")))
    shown = [
        _card(f"{best.score:.2f}%", [f"{title}: {best.setting}", f"graph seed {best.config.graph.seed}"], main=True),
        _card(f"{all_.mean:.2f}%", [f"mean top-1, n = {all_.n}", std]),
        _card(str(len(found.by_setting)), ["setting" + "s" * (len(found.by_setting) != 1)]),
    ]
    if rates:
        shown.append(_card(f"{rates[len(rates) // 2]:,.0f}", ["images a second", "median over epochs"]))
    return '<div class="cards">' + "".join(shown) + "</div>"


def budget_text(found: Group, groups: Sequence[Group]) -> str:
    """What the trials of a group have in common; with several groups, first what sets them apart."""
    config = found.trials[0].config
    graphs = "saved graphs"  # their nodes are their own
    if config.graph.path is None:
        graphs = f"{config.graph.nodes} nodes a stage ({config.graph.stages} graphs)"
    pieces = {
        "train.epochs": f"{config.train.epochs} epochs",
        "data.resolution": f"{config.data.source} at {config.data.resolution} pixels",
        "network.regime": f"{config.network.regime} regime",
        "network.channels": f"C = {config.network.channels}",
        "graph.nodes": graphs,
        "network.op": config.network.op,
        "train.batch_size": f"batch {config.train.batch_size}",
        "train.lr": f"learning rate {config.train.lr:g}",
    }
    text = ", ".join(piece for key, piece in pieces.items() if key not in found.trials[0].varied)
    differing = [key for key in found.budget if len({str(other.budget.get(key)) for other in groups}) > 1]
    if differing:
        text = "; ".join(f"{key} = {found.budget[key]}" for key in differing) + ". Otherwise: " + text
    return f'<p class="lead">{escape(text)}.</p>'


def gallery(found: Group) -> str:
    """The DAGs of the best and the worst trials; no DAG twice."""
    rank = {trial.folder: place for place, trial in enumerate(found.counted, 1)}
    best = _distinct_graphs(found.counted, BEST, [])
    worst = _distinct_graphs(found.counted[::-1], WORST, best)
    parts = []
    first = "DAGs of the best trials" if worst else "DAGs, best first" if len(best) > 1 else "DAG"
    for title, trials in ((first, best), ("DAGs of the worst trials, last first", worst)):
        if trials:
            tiles = "".join(_tile(trial, rank[trial.folder], len(rank)) for trial in trials)
            parts.append(f'<h3 class="above">{title}</h3><div class="gallery">{tiles}</div>')
    if not parts:
        return ""
    return "".join(parts) + f'<p class="note">{GALLERY}</p>'


def _distinct_graphs(trials: Sequence[Trial], most: int, taken: Sequence[Trial]) -> list[Trial]:
    """The first trials whose DAGs are not those of an earlier one or of one that is taken."""
    seen, found = [trial.dags for trial in taken], list[Trial]()
    for trial in trials:
        if len(found) < most and trial.dags and trial.dags not in seen:
            seen.append(trial.dags)
            found.append(trial)
    return found


def _tile(trial: Trial, rank: int, of: int) -> str:
    stages: dict[DAG, list[str]] = {}
    for stage, dag in trial.dags.items():
        stages.setdefault(dag, []).append(stage)
    pictures = "".join(
        f"<figure>{drawing.thumbnail_svg(dag)}<figcaption>{escape(' = '.join(names))}</figcaption></figure>"
        for dag, names in stages.items()
    )
    return (
        f'<figure class="tile"><div class="dags">{pictures}</div><figcaption>{dot(trial.generator)}'
        f"<b>{escape(trial.setting)}</b> {trial.score:.2f}%<br>"
        f'<span class="note">rank {rank} of {of}, graph seed {trial.config.graph.seed}, training seed '
        f'{trial.config.train.seed}, <a href="{link(trial)}">record</a></span></figcaption></figure>'
    )


def _card(value: str, lines: Sequence[str], main: bool = False) -> str:
    spans = "".join(f"<span>{escape(line)}</span>" for line in lines)
    return f'<div class="card{" main" * main}"><b>{escape(value)}</b>{spans}</div>'
