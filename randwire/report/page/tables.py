"""The tables of a report: top-1 by setting, all trials, and those that are excluded."""

from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import quote

from randwire.pages.html import Cell, dot, panel, record_link, table
from randwire.pages.style import title_of
from randwire.pages.text import interval_text, many, short
from randwire.report.facts.exclusions import Exclusion
from randwire.statistics.describe import describe
from randwire.statistics.intervals import LEVEL, MIN_BOOTSTRAP_VALUES, bootstrap_interval, t_interval
from randwire.study.groups import TrialGroup
from randwire.study.results import Trial, mean, number

MAX_CAUSE_LENGTH = 400
"""Characters of a cause; all of it is in summary.json."""


def statistics_tables(budget: TrialGroup) -> str:
    """Top-1 by generator over its trials, and by setting over its graphs: n, mean, deviation, intervals, range."""
    trials = [trial for same in budget.by_setting.values() for trial in same]
    apart = bool(budget.holdout)  # the images that choose are not those that tell
    heads = [f"mean {'test ' * apart}top-1 (%)", "std", "range", *["choosing (%)"] * apart]
    first = [
        [dot(name) + escape(title_of(name)), *_described(same, apart)] for name, same in budget.by_generator.items()
    ]
    several = len(first) > 1
    first += [["all", *_described(trials, apart)]] * several
    repeated = any(len(budget.values[name]) != len(same) for name, same in budget.by_setting.items())
    second = []
    for name, values in budget.values.items():
        n, *shown = _cells(values)
        runs = [str(len(budget.by_setting[name]))] * repeated
        intervals = [interval_text(interval(values)) for interval in (t_interval, bootstrap_interval)]
        chosen = [f"{mean(budget.choosing[name]):.2f}"] * apart
        second.append(
            [dot(budget.generator(name)) + escape(name), n, *runs, *shown[:2], *intervals, *shown[2:], *chosen]
        )
    intervals = [f"{LEVEL:.0%} interval", "by bootstrap"]
    return panel("Top-1 by generator, all trials", table(["generator", "n", *heads], first, several)) + panel(
        "Top-1 by setting",
        table(["setting", "n", *["trainings"] * repeated, *heads[:2], *intervals, *heads[2:]], second, kind="sortable"),
        "n is the number of graphs, or of trainings where a setting has one graph; training seeds of a graph are "
        "averaged first. The interval is Student's t of the mean; the bootstrap's (studentised) is given from "
        f"n = {MIN_BOOTSTRAP_VALUES} on, because with fewer graphs it does not cover at its stated rate. Each is for "
        "its setting alone: the best of many settings has been lucky, too."
        + " Choosing: the mean by the images that choose; what is best there is expected to tell less."
        * apart,
    )


def trial_table(groups: Sequence[TrialGroup], runs: Mapping[str, str]) -> str:
    """All trials with links to their records and W&B runs; a click on a heading sorts, a field above filters."""
    apart = any(budget.holdout for budget in groups)
    heads = ["trial", "setting", "status", "graph seed", "train seed", "epochs"]
    heads += ["choosing (%)", "test top-1 (%)"] if apart else ["top-1 (%)"]
    heads += ["parameters", "mult-adds", "minutes"] + ["budget"] * (len(groups) > 1) + ["W&B"] * bool(runs)
    rows = []
    for section, trial in [(k, trial) for k, budget in enumerate(groups, 1) for trial in budget.trials]:
        seconds = number(trial.summary, "seconds")
        cells: list[Cell] = [
            record_link(trial),
            dot(trial.generator) + escape(trial.setting),
            _status(trial.status),
            "-" if trial.graph_seed is None else str(trial.graph_seed),
            str(trial.config.train.seed),
            f"{len(trial.rows)}/{trial.config.train.epochs}",
            *([_percent(trial.top1 if trial.config.data.holdout else None)] if apart else []),
            _percent(None if trial.top1 is None else trial.score),
            _short(number(trial.complexity, "params")),
            _short(number(trial.complexity, "mult_adds")),
            "-" if seconds is None else f"{seconds / 60:.1f}",
        ]
        cells += [str(section)] * (len(groups) > 1)
        cells += [_run_link(runs.get(trial.folder))] * bool(runs)
        rows.append(cells)
    shown = table(heads, rows, text=("setting", "status", "W&B"), kind="sortable trials")
    return f'<div class="panel scroll">{shown}</div>'


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def exclusion_table(excluded: Sequence[Exclusion]) -> str:
    """The trials that do not count, and why; empty if all do."""
    rows: list[list[Cell]] = [
        [record_link(trial), escape(trial.name), _status(trial.status), trial.epochs, _cause(trial.cause)]
        for trial in excluded
    ]
    if not rows:
        return ""
    heads = ["trial", "setting and seeds", "status", "epochs", "cause"]
    shown = table(heads, rows, text=("setting and seeds", "status", "cause"), kind="sortable causes")
    return (
        f"<h2>Excluded trials</h2><p>{many(len(rows), 'trial')} without a part in any statistic: only finished trials "
        f'count.</p><div class="panel scroll">{shown}</div>'
    )


def _described(trials: Sequence[Trial], apart: bool) -> list[str]:
    chosen = [trial.chosen_by for trial in trials]
    return [*_cells([trial.score for trial in trials]), *[f"{mean(chosen):.2f}" if chosen else "-"] * apart]


def _cells(values: Sequence[float]) -> list[str]:
    described = describe(values)
    std = "-" if described.std is None else f"{described.std:.2f}"
    spread = f"{described.minimum:.2f} to {described.maximum:.2f}" if described.n > 1 else "-"
    return [str(described.n), f"{described.mean:.2f}", std, spread]


def _short(value: float | None) -> Cell:
    return "-" if value is None else (short(value), value)


def _status(status: str) -> str:
    return f'<span class="status {status}">{status}</span>'


def _cause(cause: str) -> str:
    shown = cause if len(cause) <= MAX_CAUSE_LENGTH else f"{cause[:MAX_CAUSE_LENGTH]} ..."
    return escape(shown) or "no cause recorded"


def _run_link(run: str | None) -> str:
    """A link to a W&B run: a URL, or a path from the study's folder."""
    if run is None:
        return "-"
    if run.startswith(("https://", "http://")):
        return f'<a href="{escape(run)}">run</a>'
    return f'<a href="./{quote(run)}/">offline</a>'
