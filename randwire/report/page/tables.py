"""The tables of a report: all settings, all trials, and those that are excluded."""

from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import quote

from randwire.pages.html import Cell, panel, record_link, table, without_dashes
from randwire.pages.text import interval_text, many, short
from randwire.report.facts.exclusions import Exclusion
from randwire.report.facts.leading import loss_head, loss_text, top1_head
from randwire.report.facts.study import Section
from randwire.report.page.marks import mark
from randwire.statistics.describe import describe
from randwire.statistics.intervals import LEVEL, MIN_BOOTSTRAP_VALUES, MIN_VALUES, bootstrap_interval, t_interval
from randwire.study.results import Trial, mean, number

MAX_CAUSE_LENGTH = 400
"""Characters of a cause; all of it is in summary.json."""


def settings_table(section: Section) -> str:
    """Each setting over its graphs: n, mean, deviation, intervals and range of top-1, and its loss."""
    budget = section.group
    apart = bool(budget.holdout)  # the images that choose are not those that tell
    repeated = any(len(budget.values[name]) != len(same) for name, same in budget.by_setting.items())
    heads = ["setting", "n", *["trainings"] * repeated, top1_head(section), "std", f"{LEVEL:.0%} interval"]
    heads += ["by bootstrap", "range", *["choosing (%)"] * apart, *[loss_head(section)] * bool(budget.losses)]
    rows: list[list[Cell]] = []
    for name in section.settings:
        values = budget.values[name]
        top1 = describe(values)
        cells: list[Cell] = [mark(section, budget.by_setting[name][0]) + escape(name), str(top1.n)]
        cells += [str(len(budget.by_setting[name]))] * repeated
        cells += [f"{top1.mean:.2f}", "-" if top1.std is None else f"{top1.std:.2f}"]
        cells += [interval_text(interval(values)) for interval in (t_interval, bootstrap_interval)]
        cells.append(f"{top1.minimum:.2f} to {top1.maximum:.2f}" if top1.n > 1 else "-")
        cells += [f"{mean(budget.choosing[name]):.2f}"] * apart
        rows.append(cells + [_loss(budget.losses.get(name, ()))] * bool(budget.losses))
    most = max(map(len, budget.values.values()))
    note = (
        "n is the number of graphs, or of trainings where a setting has one graph; training seeds of a graph are "
        "averaged first."
        + f" The interval is Student's t of the mean on the logit scale, from n = {MIN_VALUES} on."
        * (most >= MIN_VALUES)
        + f" The bootstrap's (studentised) is given from n = {MIN_BOOTSTRAP_VALUES} on, because with fewer graphs it "
        "does not cover at its stated rate."
        * (most >= MIN_BOOTSTRAP_VALUES)
        + " Each is for its setting alone: the best of many settings has been lucky, too." * (most >= MIN_VALUES)
        + " Choosing: the mean by the images that choose; what is best there is expected to tell less." * apart
        + f" The {loss_head(section)} is the mean cross entropy, and its standard deviation." * bool(budget.losses)
    )
    return panel("All settings", table(*without_dashes(heads, rows), kind="sortable"), note)


def trial_table(sections: Sequence[Section], runs: Mapping[str, str]) -> str:
    """All trials with links to their records and W&B runs; a click on a heading sorts, a field above filters."""
    apart = any(section.group.holdout for section in sections)
    studies = {_study(trial) for section in sections for trial in section.trials}
    heads = ["trial", *["study"] * (len(studies) > 1), "setting", "status", "graph seed", "train seed", "epochs"]
    heads += ["choosing (%)", "test top-1 (%)"] if apart else ["top-1 (%)"]
    heads += ["parameters", "mult-adds", "minutes"] + ["budget"] * (len(sections) > 1) + ["W&B"] * bool(runs)
    rows = []
    for k, section, trial in [(k, own, trial) for k, own in enumerate(sections, 1) for trial in own.trials]:
        seconds = number(trial.summary, "seconds")
        cells: list[Cell] = [
            record_link(trial),
            *[escape(_study(trial))] * (len(studies) > 1),
            mark(section, trial) + escape(trial.setting),
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
        cells += [str(k)] * (len(sections) > 1)
        cells += [_run_link(runs.get(trial.folder))] * bool(runs)
        rows.append(cells)
    shown = table(heads, rows, text=("study", "setting", "status", "W&B"), kind="sortable trials")
    return f'<div class="panel scroll">{shown}</div>'


def _study(trial: Trial) -> str:
    """The name of the study in whose folder a record is."""
    return "" if trial.record is None else trial.record.folder.absolute().parent.name


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


def _loss(losses: Sequence[float]) -> Cell:
    return (loss_text(losses), mean(losses)) if losses else "-"


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
