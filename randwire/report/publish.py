"""The report of a study as a W&B report: panels over the runs that W&B has, words and tables from the records.

Here, above the tracker, because the story is the study's: trials, budgets and exclusions are read from the records
as for report.html. The server is met only through `randwire.tracking`. `wandb_workspaces` is imported inside functions:
it imports wandb, which must find the tracker's environment.
"""

import re
from collections.abc import Sequence
from functools import partial
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from randwire.errors import RecordError, TrackingError, brief
from randwire.records import NEWEST, Record, Row
from randwire.report.facts import provenance, rates
from randwire.report.facts.paired import paired as paired_variants
from randwire.report.page import sections
from randwire.statistics.describe import describe
from randwire.study.design import failures_of
from randwire.study.results import Broken, Group, Trial, groups, load
from randwire.tracking import connection

if TYPE_CHECKING:
    import wandb_workspaces.reports.v2 as wr

LINK = "wandb-report.json"
"""The file in the study's folder that names the published report, so that it is updated and not doubled."""
TOP1 = "val/top1"
MEASURES = ("depth", "clustering", "path_length", "edges")

Item = tuple[str, bool]
"""An entry of the checklist, and whether it was found to hold."""


def publish(folder: Path) -> str:
    """Publish the report of the study in `folder` to W&B, or update the one published before; returns its link.

    Raises RecordError if the folder holds no readable record, and TrackingError, in one line and within about half a
    minute, without a key, a server that takes it, or a single run of the study on that server.
    """
    trials, broken = load(folder)
    if not trials:
        raise RecordError(f"{folder}: holds no readable record of a trial to report on")
    known = Record(folder).read_json(LINK)
    if not isinstance(known, dict):
        known = {}
    with connection.connected(folder / "wandb"):
        import wandb_workspaces.reports.v2  # noqa: F401 (its import takes seconds that are not the server's)

        def work() -> Row:
            server, entity = connection.account()
            summaries = _summaries(folder, trials, entity)
            report = _report(folder, trials, broken, entity, summaries)
            place = {"server": server, "entity": entity, "project": report.project}
            if place == {key: known.get(key) for key in place}:
                report.id = known.get("id", "")
            try:
                report.save()
            except Exception as error:  # of wandb, pydantic or wandb_workspaces
                hint = f" (if the report is gone, delete {folder / LINK} to make a new one)" if report.id else ""
                raise TrackingError(f"{brief(error)}{hint}") from None
            return {**place, "id": report.id, "url": report.url}

        link = connection.bounded(work)
    Record(folder).write_json(LINK, link)
    return str(link["url"])


def _projects(trials: Sequence[Trial]) -> dict[str, list[str]]:
    """The ids of the runs by project, that of most runs first."""
    found: dict[str, list[str]] = {}
    for trial in trials:
        found.setdefault(trial.config.runtime.project, []).append(trial.config.digest)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def _summaries(folder: Path, trials: Sequence[Trial], entity: str) -> dict[str, Row]:
    """The summaries of the study's runs on the server. Raises TrackingError if it has none of them."""
    found: dict[str, Row] = {}
    for project, ids in _projects(trials).items():
        found |= connection.stored(entity, project, ids)
    if not found:
        hint = connection.sync_hint(folder / "wandb")
        raise TrackingError(f"{entity}/{', '.join(_projects(trials))} has no run of this study; {hint}")
    return found


def _report(
    folder: Path, trials: Sequence[Trial], broken: Sequence[Broken], entity: str, summaries: dict[str, Row]
) -> "wr.Report":
    import wandb_workspaces.reports.v2 as wr

    study = Record(folder).read_json("study.json")
    budgets = groups(trials, study)
    status = sections.counts(trials, broken)
    facts = dict(re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", provenance.provenance(study, trials, status, "")))
    facts = {name: unescape(value) for name, value in facts.items() if name != "report"}
    fixed = (study or {}).get("search") == "grid"
    reading = "Its settings were fixed before any result." if fixed else "Read it as a search, not as a comparison."
    counted = [trial for trial in trials if trial.top1 is not None]
    exclusions = "; only finished trials enter a mean" if len(counted) < len(trials) + len(broken) else ""
    everything = partial(_grid, trials, entity, "all trials")
    checks = [rates.check(budget) for budget in budgets]
    failures = failures_of(folder)
    blocks: list[Any] = [
        wr.MarkdownBlock("\n".join(f"- **{name}**: {value}" for name, value in facts.items())),
        *(
            wr.CalloutBlock(line)
            for line in _paragraphs(sections.warnings(study, budgets, checks, trials, broken, failures))
        ),
    ]
    inside = sum(budget.origin != "outside" for budget in budgets)
    for place, budget in enumerate(budgets, 1):
        heading = f"Budget {place} of {inside}" if inside > 1 else "Results"
        blocks.append(wr.H2("Outside the fixed grid" if budget.origin == "outside" else heading))
        blocks += [wr.P(line) for line in _paragraphs(sections.budget_text(budget, budgets))]
        if budget.counted:
            blocks += [wr.MarkdownBlock(_tables(budget)), _results(budget, entity)]
    blocks += [
        wr.H2("Training"),
        everything(
            _curves("Learning rate", "lr", len(trials), wr.Layout(w=12, h=8)),
            _curves("Top-1 of each trial (%)", TOP1, len(trials), wr.Layout(x=12, w=12, h=8)),
        ),
        wr.H2("Graphs"),
        everything(
            wr.MediaBrowser(
                title="DAG of each trial, best first",
                media_keys=["dag/image"],
                num_columns=4,
                gallery_axis="run",
                layout=wr.Layout(w=24, h=16),
            )
        ),
        wr.H2("Runs side by side"),
        everything(wr.RunComparer(diff_only="split", layout=wr.Layout(w=24, h=12))),
    ]
    if len(counted) < len(trials) + len(broken):
        blocks += [wr.H2("Excluded trials"), wr.MarkdownBlock(_exclusions(trials, broken))]
    blocks += [wr.H2("Review"), wr.CheckedList([wr.CheckedListItem(text, ticked) for text, ticked in [
        *_checks(folder, fixed, facts, trials, broken, summaries),
        ("The panels show what the tables say: W&B draws the runs that it has, the tables are of the records", False),
        ("n and the standard deviations allow the conclusions that are drawn", False),
        ("The pictures look like the graphs that their generators should give", False),
    ]])]  # fmt: skip
    return wr.Report(
        project=next(iter(_projects(trials))),
        entity=entity,
        title=f"{'Fixed grid' if fixed else 'Search'} {folder.resolve().name}"[:128],
        description=f"{reading} Design: {facts['design']}. Budget: {facts['budget']}. Trials: n = {len(counted)} of "
        f"{len(trials) + len(broken)} ({status}{exclusions}).",
        blocks=blocks,
        width="fluid",
    )


def _grid(trials: Sequence[Trial], entity: str, name: str, *panels: Any) -> "wr.PanelGrid":
    """Panels over the runs of these trials and no others.

    A run is chosen by its id, which is the digest of its configuration: tags and groups may be those of other studies
    in the project too. `in` because W&B does not apply `==` (wandb-workspaces issue 34).
    """
    import wandb_workspaces.reports.v2 as wr

    best_first = [wr.OrderBy(wr.SummaryMetric(TOP1), ascending=False)]
    runsets = [
        wr.Runset(entity, project, name, filters=f"Metric('ID') in {ids}", order=best_first)
        for project, ids in _projects(trials).items()
    ]
    return wr.PanelGrid(runsets=runsets, panels=list(panels))


def _results(budget: Group, entity: str) -> "wr.PanelGrid":
    """Top-1 by setting, parallel coordinates, and top-1 against each measure, over the trials that count."""
    import wandb_workspaces.reports.v2 as wr

    trials = budget.counted
    # Parameters of several generators are no common axis; the axis of the settings names them.
    one = len(budget.by_generator) == 1 and trials[0].config.graph.path is None
    parameters = trials[0].config.generator.params() if one else ()
    measures = [name for name in MEASURES if all(name in trial.measures for trial in trials)]
    axes = {
        **{f"generator/{name}": name for name in parameters},
        **{f"graph/{name}": name.replace("_", " ") for name in measures},
        "params": "params",
        "mult_adds": "mult-adds",
        TOP1: "top-1 (%)",
    }
    column = wr.ParallelCoordinatesPlotColumn
    spread: dict[str, Any] = {"groupby": "Group", "groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"}
    panels = [
        wr.BarPlot(
            title="Top-1 after the last epoch: mean and standard deviation by setting",
            metrics=[TOP1],
            title_x="top-1 (%)",
            max_runs_to_show=len(trials),
            max_bars_to_show=len(budget.by_setting),
            layout=wr.Layout(w=12, h=8),
            **spread,
        ),
        _curves(
            "Top-1 (%): mean and standard deviation by setting", TOP1, len(trials), wr.Layout(x=12, w=12, h=8), **spread
        ),
        wr.ParallelCoordinatesPlot(
            title="From the setting to top-1",
            columns=[
                column(wr.Config("graph.generator"), "setting"),
                *(column(wr.SummaryMetric(key), name) for key, name in axes.items()),
            ],
            layout=wr.Layout(y=8, w=24, h=10),
        ),
        *(
            wr.ScatterPlot(
                title=f"Top-1 against {name.replace('_', ' ')} (mean over the stages)",
                x=wr.SummaryMetric(f"graph/{name}"),
                y=wr.SummaryMetric(TOP1),
                layout=wr.Layout(x=12 * (k % 2), y=18 + 8 * (k // 2), w=12, h=8),
            )
            for k, name in enumerate(measures)
        ),
    ]
    return _grid(trials, entity, "trials that count", *panels)


def _curves(title: str, metric: str, runs: int, layout: "wr.Layout", **spread: Any) -> "wr.LinePlot":
    """A metric against the epoch; one line for each run unless `spread` groups them."""
    import wandb_workspaces.reports.v2 as wr

    return wr.LinePlot(
        title=title, x="epoch", y=[metric], title_x="epoch", max_runs_to_show=runs, layout=layout, **spread
    )


def _tables(budget: Group) -> str:
    """Top-1 by generator and by setting, in Markdown, from the records; of a study of variants first what it tells."""
    paired = paired_variants(budget)
    parts = ["\n".join(f"- {sentence}" for sentence in paired.sentences)] if paired is not None else []
    for name, cells in (("generator", budget.by_generator), ("setting", budget.by_setting)):
        rows = [f"| {name} | n | mean top-1 (%) | std | range |", "| --- | ---: | ---: | ---: | --- |"]
        for cell, trials in cells.items():
            found = describe([trial.score for trial in trials])
            std = "-" if found.std is None else f"{found.std:.2f}"
            rows.append(
                f"| {cell} | {found.n} | {found.mean:.2f} | {std} | {found.minimum:.2f} to {found.maximum:.2f} |"
            )
        parts.append("\n".join(rows))
    note = (
        "Top-1 after the last epoch, from the records; std is the sample standard deviation (n - 1). Panels are W&B's."
    )
    return "\n\n".join([*parts, note])


def _exclusions(trials: Sequence[Trial], broken: Sequence[Broken]) -> str:
    rows = [(trial.folder, trial.name, trial.status, trial.cause) for trial in trials if trial.top1 is None]
    rows += [(trial.folder, "", "unreadable", trial.cause) for trial in broken]
    return "\n".join(
        f"- `{folder}` {name} {status}: `{cause.replace('`', chr(39)) or 'no cause recorded'}`"
        for folder, name, status, cause in rows
    )


def _checks(
    folder: Path,
    fixed: bool,
    facts: dict[str, str],
    trials: Sequence[Trial],
    broken: Sequence[Broken],
    summaries: dict[str, Row],
) -> list[Item]:
    """What can be found out without a person."""
    budgets = groups(trials)
    counted = [trial for trial in trials if trial.top1 is not None]
    cells = {len(same) for budget in budgets for same in budget.by_setting.values()}
    checks = [rates.check(budget) for budget in budgets]
    logged, largest = sum(check.epochs for check in checks), max((check.largest for check in checks), default=0.0)
    commits = {trial.environment.get("commit") for trial in trials}
    clean = all(trial.environment.get("dirty") is False for trial in trials)
    data = {_data(folder, trial) for trial in counted}
    complete = sum(
        bool(trial.rows)
        and [summaries.get(trial.config.digest, {}).get(key) for key in ("epoch", TOP1)]
        == [trial.rows[-1].get(key) for key in ("epoch", "val_top1")]
        for trial in trials
    )
    return [
        (f"The settings were fixed before any result: {facts['design']}", fixed),
        (f"n is equal in all cells: n = {', '.join(map(str, sorted(cells))) or 'none'}", len(cells) == 1),
        (f"All trials have one budget: {len(budgets)} found", len(budgets) == 1),
        (
            f"No trial is failed, pruned, unfinished or unreadable: {sections.counts(trials, broken)}",
            len(counted) == len(trials) + len(broken),
        ),
        (
            "The logged learning rate is the schedule's closed form: "
            + (f"largest deviation {largest:.2g} over {logged} epochs" if logged else "none was logged"),
            logged > 0 and not any(check.wrong for check in checks),
        ),
        (
            f"All trials ran at one commit, without other changes: {facts.get('commit', 'unknown')}",
            len(commits) == 1 and None not in commits and clean,
        ),
        (
            f"All trials that count read the same data files: {'; '.join(sorted(data)) or 'none counts'}",
            len(data) == 1 and not any(found.startswith("unknown") for found in data),
        ),
        (
            f"W&B has the last epoch of every trial: of {complete} of {len(trials) + len(broken)}",
            complete == len(trials) + len(broken),
        ),
    ]


def _data(folder: Path, trial: Trial) -> str:
    """The digests of the data files that a trial has read, by split; they stand in its checkpoint alone."""
    import torch

    path = folder / trial.folder / "checkpoint" / NEWEST
    try:
        # Mapped, so that the weights are not read.
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return ", ".join(f"{split} {digest[:12]}" for split, digest in sorted(state["data"]["sha256"].items()))
    except Exception:  # damaged bytes can make the reader raise anything
        return "unknown for lack of a checkpoint"


def _paragraphs(html: str) -> list[str]:
    """The text of each paragraph."""
    return [unescape(re.sub("<[^>]*>", "", part)) for part in html.split("</p>") if part.strip()]
