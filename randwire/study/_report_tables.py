"""The tables of a report, as HTML. Everything that comes from a record is escaped."""

from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from randwire.study._report_figures import short, style
from randwire.study._report_trials import Broken, Group, Trial, number
from randwire.study.statistics import describe


def statistics_tables(found: Group) -> str:
    """Top-1 by generator and by setting: n, mean, sample standard deviation, range."""
    trials = [trial for same in found.by_setting.values() for trial in same]
    first = [_statistics_row(same[0].generator, name.upper(), same) for name, same in found.by_generator.items()]
    if len(first) > 1:
        first.append(_statistics_row("", "all", trials, "total"))
    second = [_statistics_row(same[0].generator, name, same) for name, same in found.by_setting.items()]
    return f'<div class="pair">{_statistics_table("generator", first)}{_statistics_table("setting", second)}</div>'


def trial_table(groups: Sequence[Group]) -> str:
    """All trials with a link to their records; a click on a heading sorts."""
    heads = ["trial", "setting", "graph seed", "train seed", "status", "epochs", "top-1", "params", "mult-adds"]
    heads += ["budget"] * (len(groups) > 1)
    head = "".join(
        f'<th scope="col"{_class(k)}><button type="button">{name}</button></th>' for k, name in enumerate(heads)
    )
    rows = []
    for place, trial in [(place, trial) for place, found in enumerate(groups, 1) for trial in found.trials]:
        params, adds = number(trial.complexity, "params"), number(trial.complexity, "mult_adds")
        cells: list[tuple[str, str]] = [
            (f'<a href="{link(trial)}"><code>{escape(trial.folder)}</code></a>', escape(trial.folder)),
            (dot(trial.generator) + escape(trial.setting), escape(trial.setting)),
            (str(trial.config.graph.seed), str(trial.config.graph.seed)),
            (str(trial.config.train.seed), str(trial.config.train.seed)),
            (f'<span class="status {trial.status}">{trial.status}</span>', trial.status),
            (f"{len(trial.rows)}/{trial.config.train.epochs}", str(len(trial.rows))),
            ("-", "") if trial.top1 is None else (f"{trial.top1:.2f}%", repr(trial.top1)),
            ("-", "") if params is None else (short(params), repr(params)),
            ("-", "") if adds is None else (short(adds), repr(adds)),
            (str(place), str(place)),
        ][: len(heads)]
        rows.append(
            "<tr>"
            + "".join(f'<td{_class(k)} data-value="{value}">{shown}</td>' for k, (shown, value) in enumerate(cells))
            + "</tr>"
        )
    return (
        f'<div class="panel scroll"><table class="sortable"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def exclusions(trials: Sequence[Trial], broken: Sequence[Broken]) -> str:
    """The trials that do not count, and why; empty if all do."""
    rows = [
        (
            f'<a href="{link(trial)}"><code>{escape(trial.folder)}</code></a>',
            escape(trial.name),
            trial.status,
            f"{len(trial.rows)}/{trial.config.train.epochs}",
            trial.cause,
        )
        for trial in trials
        if trial.top1 is None
    ]
    rows += [
        (f'<a href="{link(found)}"><code>{escape(found.folder)}</code></a>', "", "unreadable", "", found.cause)
        for found in broken
    ]
    if not rows:
        return ""
    body = "".join(
        f'<tr><td>{folder}</td><td>{name}</td><td><span class="status {status}">{status}</span></td>'
        f'<td class="n">{epochs}</td><td class="wide">{escape(cause) or "no cause recorded"}</td></tr>'
        for folder, name, status, epochs, cause in rows
    )
    return (
        f"<h2>Excluded trials</h2><p>{many(len(rows), 'trial')} without a part in any statistic: only finished trials "
        'count.</p><div class="panel scroll"><table><thead><tr><th>trial</th><th>setting and seeds</th><th>status</th>'
        f'<th class="n">epochs</th><th>cause</th></tr></thead><tbody>{body}</tbody></table></div>'
    )


def dot(generator: str) -> str:
    """The colour of a generator, as a mark in text."""
    return f'<span class="dot" style="background:{style(generator)[0]}"></span>'


def link(trial: Trial | Broken) -> str:
    """Where the record of a trial is, from the report."""
    return f"./{quote(trial.folder)}/"


def many(count: int, noun: str) -> str:
    """A number with its noun."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _statistics_row(generator: str, name: str, trials: Sequence[Trial], kind: str = "") -> str:
    found = describe([trial.score for trial in trials])
    std = "-" if found.std is None else f"{found.std:.2f}"
    spread = f"{found.least:.2f} to {found.most:.2f}" if found.n > 1 else "-"
    mark = dot(generator) if generator else ""
    return (
        f'<tr class="{kind}"><td>{mark}{escape(name)}</td><td class="n">{found.n}</td>'
        f'<td class="n">{found.mean:.2f}</td><td class="n">{std}</td><td class="n">{spread}</td></tr>'
    )


def _statistics_table(name: str, rows: Sequence[str]) -> str:
    heads = "".join(f'<th class="n">{head}</th>' for head in ("n", "mean top-1 (%)", "std", "range"))
    return (
        f'<div class="panel scroll"><table><thead><tr><th>{name}</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _class(column: int) -> str:
    return ' class="n"' if column in (2, 3, 5, 6, 7, 8, 9) else ""
