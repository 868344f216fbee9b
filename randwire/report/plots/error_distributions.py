"""The error distribution function of the networks of each generator."""

from collections.abc import Mapping, Sequence

import numpy as np

from randwire.pages.style import Figure, layout_of, shade, style, title_of
from randwire.pages.text import many
from randwire.report.facts.study import Section
from randwire.report.plots.study_figure import study_figure
from randwire.statistics.describe import group
from randwire.statistics.distribution import distribution
from randwire.statistics.intervals import LEVEL
from randwire.study.groups import TrialGroup

Errors = Mapping[str, Sequence[Sequence[float]]]
"""Top-1 errors (%) by setting, replicate and training."""


@study_figure("two finished trials")
def error_distributions(section: Section) -> Figure | None:
    """The share of networks of each generator whose top-1 error (%) is at most so much, with bands.

    After Radosavovic et al. 2019, On network design spaces for visual recognition.
    """
    budget = section.group
    if len(budget.counted) < 2:
        return None
    errors = {
        name: [[100 - trial.score for trial in same] for same in replicates]
        for name, replicates in budget.replicates.items()
    }
    every = [value for setting in errors.values() for replicate in setting for value in replicate]
    best, worst = min(every), max(every)
    margin = 0.04 * (worst - best) or 0.1
    ends = (best - margin, worst + margin)
    data = [
        trace
        for generator, names in group(errors, budget.generator).items()
        for trace in _traces(generator, {name: errors[name] for name in names}, ends, banded=budget.tested)
    ]
    layout = layout_of("top-1 error (%)", "share of networks", 380)
    layout["yaxis"] |= {"tickformat": ".0%", "range": [-0.02, 1.02]}
    worst_of_best = float(np.quantile(every, 0.9))
    ranges = {"all networks": list(ends)}
    if worst - best > 3 * (worst_of_best - best):  # a few networks that hardly train would leave no room for the others
        ranges = {"the best 90%": [best - margin / 4, worst_of_best + margin / 4], **ranges}
    choices = [{"label": label, "data": {}, "layout": {"xaxis.range": span}} for label, span in ranges.items()]
    layout["xaxis"]["range"] = next(iter(ranges.values()))
    return {"data": data, "layout": layout, "choices": choices, "label": "Error distribution by generator"}


def error_distributions_note(budget: TrialGroup) -> str:
    """What the bands are, or why there are none."""
    text = "The share of networks whose error is at most so much: the higher, the better."
    if not budget.tested:
        return f"{text} Without bands: these networks are no sample of what the generator makes."
    return (
        f"{text} Settings of a generator weigh the same. Bands: bootstrap over the graphs of each setting; with "
        f"{LEVEL:.0%} the whole curve lies inside. A generator with a single graph of some setting has none."
    )


def _traces(generator: str, errors: Errors, ends: tuple[float, float], banded: bool) -> list[Figure]:
    """The function of one generator between the ends of the axis, above its band."""
    colour, _ = style(generator)
    function = distribution(list(errors.values()))
    xs = [ends[0], *function.values, ends[1]]
    ys = [0.0, *function.shares, 1.0]
    half = function.half_width if banded else None
    networks = sum(len(replicates) for replicates in errors.values())
    text = f"{title_of(generator)}, {many(networks, 'network')} of {many(len(errors), 'setting')}"
    shape = {"type": "scatter", "x": xs, "legendgroup": generator, "text": text, "line": {"shape": "hv"}}
    band = []
    if half is not None:
        band = shade(shape, ([max(y - half, 0) for y in ys], [min(y + half, 1) for y in ys]), colour)
    return [
        *band,
        {
            **shape,
            "mode": "lines",
            "y": ys,
            "name": text,
            "hovertemplate": "%{text}<br>%{y:.0%} have an error of at most %{x:.2f}%<extra></extra>",
            "line": {"shape": "hv", "width": 2, "color": colour},
        },
    ]
