"""Whether the order after early epochs is the final one."""

from randwire.report.facts.correlations import MIN_NETWORKS
from randwire.report.facts.epochs import Course
from randwire.report.style import Figure, layout_of, shade
from randwire.statistics.intervals import LEVEL
from randwire.study.results import Group

LINES = (("all networks", "#1f2937", "solid", False), ("within settings", "#6b7280", "dash", True))
"""In greys: colours are those of generators."""


def early(course: Course) -> Figure | None:
    """Rank correlation of top-1 after each epoch with the final one.

    None below MIN_NETWORKS networks or two early epochs.
    """
    if len(course.final) < MIN_NETWORKS or len(course.top1) < 2:
        return None
    data: list[Figure] = []
    for label, colour, dash, within in LINES:
        results = {epoch: course.correlation(epoch, within) for epoch in course.top1}
        known = {epoch: result for epoch, result in results.items() if result.rho is not None}
        shape = {"type": "scatter", "legendgroup": label}
        banded = {epoch: result.interval for epoch, result in known.items() if result.interval is not None}
        if banded:
            edges = ([interval[place] for interval in banded.values()] for place in (0, 1))
            data += shade({**shape, "x": list(banded), "text": label}, edges, colour)
        if known:
            data.append(
                {
                    **shape,
                    "mode": "lines+markers",
                    "name": label,
                    "x": list(known),
                    "y": [result.rho for result in known.values()],
                    "text": [f"{label}, n = {result.n}" for result in known.values()],
                    "hovertemplate": "%{text}<br>after epoch %{x}: %{y:.2f}<extra></extra>",
                    "line": {"color": colour, "width": 2, "dash": dash},
                    "marker": {"size": 5},
                }
            )
    if not data:
        return None
    layout = layout_of("epoch", "rank correlation with the final top-1", 360)
    layout["yaxis"]["range"] = [min(0.0, *(y for trace in data for y in trace["y"])) - 0.05, 1.05]
    layout["shapes"] = [
        {"type": "line", "x0": rung, "x1": rung, "yref": "paper", "y0": 0, "y1": 1, "line": {"dash": "dot", "width": 1}}
        for rung in course.rungs
    ]
    return {"data": data, "layout": layout, "label": "Do early epochs tell the final order?"}


def early_note(found: Group) -> str:
    note = (
        f"Spearman's rank correlation over networks, with {LEVEL:.0%} intervals for each epoch by itself; within "
        "settings: after the mean of each setting is taken away. Dotted: where successive halving "
        "(--early-stopping) decides."
    )
    return note + " Only survivors of early stopping are here: of all trials it would differ." * found.early_stopping
