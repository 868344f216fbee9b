"""The panels of a W&B report, which W&B draws from the runs that it has. Importing this imports wandb."""

from collections.abc import Sequence
from typing import Any

import wandb_workspaces.reports.v2 as wr

from randwire.metrics import LR, TEST_TOP1, VAL_TOP1
from randwire.study.groups import TrialGroup
from randwire.study.results import Trial
from randwire.tracking.runs import SETTING

TOP1 = VAL_TOP1.wandb
MEASURES = ("depth", "clustering", "path_length", "edges")
SPREAD = {"groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"}


def ids_by_project(trials: Sequence[Trial]) -> dict[str, list[str]]:
    """The ids of the runs by project, that of most runs first."""
    ids: dict[str, list[str]] = {}
    for trial in trials:
        ids.setdefault(trial.config.runtime.project, []).append(trial.run)
    return dict(sorted(ids.items(), key=lambda item: -len(item[1])))


def results(budget: TrialGroup, entity: str, own_groups: bool = False) -> wr.PanelGrid:
    """Top-1 by setting, parallel coordinates, and top-1 against each measure, over the trials that count.

    Runs are in the W&B group of their setting, unless they have `own_groups` of the user's.
    """
    wired = [trial for trial in budget.counted if not trial.reference]
    measures = [name for name in MEASURES if wired and all(name in trial.measures for trial in wired)]
    panels = [
        *_by_setting(budget, own_groups),
        _parallel_coordinates(budget, measures),
        *_against(measures, _told(budget)),
    ]
    return _grid(budget.counted, entity, "trials that count", *panels)


def training(trials: Sequence[Trial], entity: str) -> wr.PanelGrid:
    """Learning rate and top-1 of each trial by epoch."""
    return _grid(
        trials,
        entity,
        "all trials",
        _curves("Learning rate", LR.wandb, len(trials), wr.Layout(w=12, h=8)),
        _curves("Top-1 of each trial (%)", TOP1, len(trials), wr.Layout(x=12, w=12, h=8)),
    )


def pictures(trials: Sequence[Trial], entity: str) -> wr.PanelGrid:
    """The DAG of each trial."""
    browser = wr.MediaBrowser(
        title="DAG of each trial, best first",
        media_keys=["dag/image"],
        num_columns=4,
        gallery_axis="run",
        layout=wr.Layout(w=24, h=16),
    )
    return _grid(trials, entity, "all trials", browser)


def side_by_side(trials: Sequence[Trial], entity: str) -> wr.PanelGrid:
    """In what the runs differ."""
    return _grid(trials, entity, "all trials", wr.RunComparer(diff_only="split", layout=wr.Layout(w=24, h=12)))


def _grid(trials: Sequence[Trial], entity: str, name: str, *panels: Any) -> wr.PanelGrid:
    """Panels over the runs of these trials and no others.

    A run is chosen by its id, which is the digest of its configuration: tags and groups may be those of other studies
    in the project too. `in` because W&B does not apply `==` (wandb-workspaces issue 34).
    """
    best_first = [wr.OrderBy(wr.SummaryMetric(TOP1), ascending=False)]
    runsets = [
        wr.Runset(entity, project, name, filters=f"Metric('ID') in {ids}", order=best_first)
        for project, ids in ids_by_project(trials).items()
    ]
    return wr.PanelGrid(runsets=runsets, panels=list(panels))


def _told(budget: TrialGroup) -> str:
    """The key of the top-1 that the report tells."""
    return TEST_TOP1.wandb if budget.holdout else TOP1


def _by_setting(budget: TrialGroup, own_groups: bool = False) -> list[Any]:
    """Mean and standard deviation of top-1 by setting, after the last epoch and by epoch."""
    runs = len(budget.counted)
    by_setting: dict[str, Any] = {"groupby": wr.Config(SETTING) if own_groups else "Group", **SPREAD}
    bars = wr.BarPlot(
        title="Top-1 after the last epoch: mean and standard deviation by setting",
        metrics=[_told(budget)],
        title_x="top-1 (%)",
        max_runs_to_show=runs,
        max_bars_to_show=len(budget.by_setting),
        layout=wr.Layout(w=12, h=8),
        **by_setting,
    )
    title, layout = "Top-1 (%): mean and standard deviation by setting", wr.Layout(x=12, w=12, h=8)
    return [bars, _curves(title, TOP1, runs, layout, **by_setting)]


def _parallel_coordinates(budget: TrialGroup, measures: Sequence[str]) -> wr.ParallelCoordinatesPlot:
    """From the setting over measures and sizes to top-1."""
    # Parameters of several generators are no common axis; the axis of the settings names them.
    first = budget.counted[0].config
    one = len(budget.by_generator) == 1 and budget.counted[0].graph_seed is not None
    axes = {
        **{f"generator/{name}": name for name in (first.generator.params() if one else ())},
        **{f"graph/{name}": name.replace("_", " ") for name in measures},
        "params": "params",
        "mult_adds": "mult-adds",
        _told(budget): "top-1 (%)",
    }
    column = wr.ParallelCoordinatesPlotColumn
    return wr.ParallelCoordinatesPlot(
        title="From the setting to top-1",
        columns=[
            column(wr.Config("graph.generator"), "setting"),
            *(column(wr.SummaryMetric(key), name) for key, name in axes.items()),
        ],
        layout=wr.Layout(y=8, w=24, h=10),
    )


def _against(measures: Sequence[str], top1: str) -> list[Any]:
    """Top-1 against each measure of the graphs."""
    return [
        wr.ScatterPlot(
            title=f"Top-1 against {name.replace('_', ' ')} (mean over the stages)",
            x=wr.SummaryMetric(f"graph/{name}"),
            y=wr.SummaryMetric(top1),
            layout=wr.Layout(x=12 * (k % 2), y=18 + 8 * (k // 2), w=12, h=8),
        )
        for k, name in enumerate(measures)
    ]


def _curves(title: str, metric: str, runs: int, layout: wr.Layout, **grouping: Any) -> wr.LinePlot:
    """A metric against the epoch; one line for each run unless `grouping` groups them."""
    return wr.LinePlot(
        title=title, x="epoch", y=[metric], title_x="epoch", max_runs_to_show=runs, layout=layout, **grouping
    )
