"""Whether the order after early epochs is the final one."""

from randwire.pages.style import Figure, epoch_ticks, layout_of, shade
from randwire.report.facts.correlations import MIN_NETWORKS, SCOPES, networks, scopes_text
from randwire.report.facts.epochs import EarlyEpochs
from randwire.report.facts.study import Section
from randwire.report.plots.study_figure import study_figure
from randwire.statistics.intervals import LEVEL
from randwire.study.groups import TrialGroup

LINES = {False: ("#1f2937", "solid"), True: ("#6b7280", "dash")}
"""Colour and dash of correlations between settings (False) and within settings (True). Colours are of generators."""


@study_figure(f"{MIN_NETWORKS} finished networks of three epochs")
def early_epochs(section: Section) -> Figure | None:
    """Spearman's rank correlation of top-1 after each epoch with the final one, with intervals."""
    if not section.group.counted:
        return None
    early = section.early_epochs
    if len(early.final) < MIN_NETWORKS or len(early.top1) < 2:
        return None
    data = [trace for within, label in SCOPES.items() for trace in _traces(early, within, label)]
    if not data:
        return None
    layout = layout_of("epoch", "rank correlation with the final top-1", 360)
    layout["xaxis"] |= epoch_ticks(max(early.top1))
    layout["yaxis"]["range"] = [min(0.0, *(y for trace in data for y in trace["y"])) - 0.05, 1.05]
    layout["shapes"] = [
        {"type": "line", "x0": rung, "x1": rung, "yref": "paper", "y0": 0, "y1": 1, "line": {"dash": "dot", "width": 1}}
        for rung in early.rungs
    ]
    return {"data": data, "layout": layout, "label": "Do early epochs tell the final order?"}


def early_epochs_note(budget: TrialGroup) -> str:
    """What the correlations are over."""
    settings = len({network.setting for network in networks(budget)})
    text = (
        f"Spearman's rank correlation, with {LEVEL:.0%} intervals for each epoch by itself. "
        f"{scopes_text(settings)} Dotted: where successive halving (--early-stopping) decides."
    )
    return text + " Only survivors of early stopping are here: of all trials it would differ." * budget.early_stopping


def _traces(early: EarlyEpochs, within: bool, label: str) -> list[Figure]:
    """The correlations after each epoch as a line, above the band of their intervals."""
    colour, dash = LINES[within]
    correlations = {epoch: early.correlation(epoch, within) for epoch in early.top1}
    correlations = {epoch: correlation for epoch, correlation in correlations.items() if correlation.rho is not None}
    if not correlations:
        return []
    shape = {"type": "scatter", "legendgroup": label}
    intervals = {
        epoch: correlation.interval for epoch, correlation in correlations.items() if correlation.interval is not None
    }
    band = []
    if intervals:
        edges = ([interval[end] for interval in intervals.values()] for end in (0, 1))
        band = shade({**shape, "x": list(intervals), "text": label}, edges, colour)
    return [
        *band,
        {
            **shape,
            "mode": "lines+markers",
            "name": label,
            "x": list(correlations),
            "y": [correlation.rho for correlation in correlations.values()],
            "text": [f"{label}, n = {correlation.n}" for correlation in correlations.values()],
            "hovertemplate": "%{text}<br>after epoch %{x}: %{y:.2f}<extra></extra>",
            "line": {"color": colour, "width": 2, "dash": dash},
            "marker": {"size": 5},
        },
    ]
