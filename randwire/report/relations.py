"""What a report shows of networks as a population: error distributions, ranks over the epochs, graph measures."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from randwire.report.curves import course
from randwire.report.figures import Figure, columns, interval_text, layout_of, many, shade, style
from randwire.report.tables import table
from randwire.statistics.correlation import spearman, spearman_interval
from randwire.statistics.describe import group
from randwire.statistics.distribution import distribution
from randwire.statistics.intervals import LEVEL, Interval
from randwire.statistics.pairs import ALPHA
from randwire.study.design import FIRST_RUNG, KEPT
from randwire.study.results import Group, mean

LEAST = 5
"""The fewest networks that a correlation is shown for."""
LINES = (("all networks", "#1f2937", "solid", False), ("within settings", "#6b7280", "dash", True))
"""In greys: colours are those of generators."""


def distributions(found: Group) -> Figure | None:
    """The error distribution function of each generator, with bands where settings are tested; None for one network."""
    if len(found.counted) < 2:
        return None
    settings = {
        name: [[100 - trial.score for trial in same] for same in replicates]
        for name, replicates in found.replicates.items()
    }
    worst = max(value for setting in settings.values() for replicate in setting for value in replicate)
    best = min(value for setting in settings.values() for replicate in setting for value in replicate)
    room = 0.04 * (worst - best) or 0.1
    data: list[Figure] = []
    for generator, names in group(settings, found.generator).items():
        colour, _ = style(generator)
        known = distribution([settings[name] for name in names])
        xs = [best - room, *known.values, worst + room]
        ys = [0.0, *known.shares, 1.0]
        half = known.half_width if found.tested else None
        count = sum(len(settings[name]) for name in names)
        text = f"{generator.upper()}, {many(count, 'network')} of {many(len(names), 'setting')}"
        shape = {"type": "scatter", "x": xs, "legendgroup": generator, "text": text, "line": {"shape": "hv"}}
        if half is not None:
            data += shade(shape, ([max(y - half, 0) for y in ys], [min(y + half, 1) for y in ys]), colour)
        data.append(
            {
                **shape,
                "mode": "lines",
                "y": ys,
                "name": text,
                "hovertemplate": "%{text}<br>%{y:.0%} have an error of at most %{x:.2f}%<extra></extra>",
                "line": {"shape": "hv", "width": 2, "color": colour},
            }
        )
    layout = layout_of("top-1 error (%)", "share of networks", 380)
    layout["yaxis"] |= {"tickformat": ".0%", "range": [-0.02, 1.02]}
    most = float(np.quantile([value for setting in settings.values() for same in setting for value in same], 0.9))
    ranges = {"all networks": [best - room, worst + room]}
    if worst - best > 3 * (most - best):  # a few networks that hardly train would leave no room for the others
        ranges = {"the best 90%": [best - room / 4, most + room / 4], **ranges}
    choices = [{"label": label, "data": {}, "layout": {"xaxis.range": ends}} for label, ends in ranges.items()]
    layout["xaxis"]["range"] = next(iter(ranges.values()))
    return {"data": data, "layout": layout, "choices": choices, "label": "Error distribution by generator"}


def distributions_note(found: Group) -> str:
    """What the bands are, or why there are none."""
    note = "The share of networks whose error is at most so much: the higher, the better."
    if not found.tested:
        return f"{note} Without bands: these networks are no sample of what the generator makes."
    return (
        f"{note} Settings of a generator weigh the same. Bands: bootstrap over the graphs of each setting; with "
        f"{LEVEL:.0%} the whole curve lies inside. A generator with a single graph of some setting has none."
    )


@dataclass(frozen=True)
class Correlation:
    """A rank correlation of n pairs, if it exists."""

    rho: float | None
    interval: Interval | None
    n: int

    def __str__(self) -> str:
        return "-" if self.rho is None else f"{self.rho:+.2f} ({interval_text(self.interval, '+.2f')})"


def correlate(
    settings: Sequence[str], xs: Sequence[float], ys: Sequence[float], within: bool, level: float = LEVEL
) -> Correlation:
    """The rank correlation of pairs, one a network; `within`: after the mean of each setting is taken from both sides.

    Settings with one pair have no part in the latter. The interval is for as many pairs as the means leave free.
    """
    used = 0
    if within:
        counts = Counter(settings)
        xs, ys = (_residuals(settings, values, counts) for values in (xs, ys))
        used = sum(n > 1 for n in counts.values()) - 1
    rho = spearman(xs, ys)
    return Correlation(rho, None if rho is None else spearman_interval(rho, len(xs) - used, level), len(xs))


class Course:
    """Top-1 of every replicate after each epoch that all of them have, and which settings they are of."""

    def __init__(self, found: Group) -> None:
        self.settings = [name for name, values in found.values.items() for _ in values]
        self.final = [value for values in found.values.values() for value in values]
        runs = [same for replicates in found.replicates.values() for same in replicates]
        epochs, scores = course([trial for same in runs for trial in same], "val_top1")
        starts = np.cumsum([0, *map(len, runs)])[:-1]
        means = np.add.reduceat(scores, starts) / [[len(same)] for same in runs]
        self.top1: dict[int, list[float]] = {
            epoch: column.tolist() for epoch, column in zip(epochs, means.T, strict=True) if not np.isnan(column).any()
        }
        budget = found.trials[0].config.train.epochs
        self.top1.pop(budget, None)  # the final one itself

    @property
    def rungs(self) -> list[int]:
        """The epochs after which successive halving decides."""
        found, rung = [], FIRST_RUNG
        while rung <= max(self.top1, default=0):
            if rung in self.top1:
                found.append(rung)
            rung *= KEPT
        return found

    def correlation(self, epoch: int, within: bool) -> Correlation:
        return correlate(self.settings, self.top1[epoch], self.final, within)


def early(course: Course) -> Figure | None:
    """Rank correlation of top-1 after each epoch with the final one; None below LEAST networks or two early epochs."""
    if len(course.final) < LEAST or len(course.top1) < 2:
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


def early_table(course: Course) -> str:
    """What successive halving would have seen where it decides."""
    best = course.final.index(max(course.final))
    rows = []
    for epoch in course.rungs:
        scores = course.top1[epoch]
        rank = 1 + sum(score > scores[best] for score in scores)
        kept = "kept" if rank <= -(-len(scores) // KEPT) else "stopped"
        cells = [str(course.correlation(epoch, within)) for *_, within in LINES]
        rows.append([str(epoch), *cells, f"{rank} of {len(scores)}", kept])
    heads = ["after epoch", *(label for label, *_ in LINES), "rank of the finally best", f"if the best 1/{KEPT} go on"]
    return table(heads, rows) if rows else ""


def early_note(found: Group) -> str:
    note = (
        f"Spearman's rank correlation over networks, with {LEVEL:.0%} intervals for each epoch by itself; within "
        "settings: after the mean of each setting is taken away. Dotted: where successive halving "
        "(--early-stopping) decides."
    )
    return note + " Only survivors of early stopping are here: of all trials it would differ." * found.early_stopping


def measure_table(found: Group) -> str:
    """Rank correlation of each graph measure with top-1 over graphs; empty below LEAST graphs with measures."""
    graphs = [(name, same) for name, found_graphs in found.graphs.items() for same in found_graphs]
    settings, scores = [name for name, _ in graphs], [mean([trial.score for trial in same]) for _, same in graphs]
    known = columns([same[0] for _, same in graphs])
    if len(scores) < LEAST or not known:
        return ""
    level = 1 - ALPHA / len(known)
    rows = [
        [escape(label), *(str(correlate(settings, column, scores, within, level)) for *_, within in LINES)]
        for label, column in known.items()
    ]
    note = (
        f"Rank correlation with top-1 over {len(scores)} graphs; the intervals hold for all {len(rows)} measures at "
        f"once ({LEVEL:.0%}). Within settings: after the means of each setting are taken away."
    )
    return f'<p class="note">{note}</p>' + table(["graph measure", "all graphs", "within settings"], rows)


def _residuals(settings: Sequence[str], values: Sequence[float], counts: Counter[str]) -> list[float]:
    names = {name: place for place, name in enumerate(counts)}
    places = np.array([names[name] for name in settings])
    own, known = np.array([counts[name] for name in settings]), np.asarray(values, dtype=np.float64)
    away = known - (np.bincount(places, known) / list(counts.values()))[places]
    # Rounded, or what is equal within a setting would get a rank from its rounding errors.
    found: list[float] = away[own > 1].round(9).tolist()
    return found
