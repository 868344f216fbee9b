"""The error distribution function of the networks of each generator's best setting, or of each variant."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from randwire.pages.style import Figure, layout_of, shade, style
from randwire.pages.text import many
from randwire.report.facts.study import Section
from randwire.report.plots.study_figure import study_figure
from randwire.statistics.distribution import distribution
from randwire.statistics.intervals import LEVEL
from randwire.study.results import Trial

MIN_NETWORKS = 5
"""The fewest networks whose distribution is drawn: four are four numbers, and a band over them is all of the figure."""


@dataclass(frozen=True)
class _Population:
    """Networks that share a curve: those of the best setting of a generator, or of a variant."""

    name: str
    text: str
    style: tuple[str, str]
    errors: Sequence[Sequence[Sequence[float]]]
    """Top-1 errors (%) by setting, replicate and training."""

    @property
    def networks(self) -> int:
        return sum(map(len, self.errors))


@study_figure(f"{MIN_NETWORKS} finished networks of one setting or variant")
def error_distributions(section: Section) -> Figure | None:
    """The share of networks whose top-1 error (%) is at most so much, with bands: of each generator's best setting.

    In a study of variants, of each variant. Settings are never pooled over a generator: what a grid happens to hold
    would decide. After Radosavovic et al. 2019, On network design spaces for visual recognition.
    """
    populations = _populations(section)
    if max((population.networks for population in populations), default=0) < MIN_NETWORKS:
        return None
    every = [value for population in populations for setting in population.errors for same in setting for value in same]
    best, worst = min(every), max(every)
    margin = 0.04 * (worst - best) or 0.1
    ends = (best - margin, worst + margin)
    data = [trace for population in populations for trace in _traces(population, ends, banded=section.group.tested)]
    layout = layout_of("top-1 error (%)", "share of networks", 380)
    layout["yaxis"] |= {"tickformat": ".0%", "range": [-0.02, 1.02]}
    worst_of_best = float(np.quantile(every, 0.9))
    ranges = {"all networks": list(ends)}
    if worst - best > 3 * (worst_of_best - best):  # a few networks that hardly train would leave no room for the others
        ranges = {"the best 90%": [best - margin / 4, worst_of_best + margin / 4], **ranges}
    choices = [{"label": label, "data": {}, "layout": {"xaxis.range": span}} for label, span in ranges.items()]
    layout["xaxis"]["range"] = next(iter(ranges.values()))
    of = "by variant" if section.kinds.variants else "of the best settings"
    return {"data": data, "layout": layout, "choices": choices, "label": f"Error distribution {of}"}


def error_distributions_note(section: Section) -> str:
    """What the curves and their bands are, or why there are no bands."""
    text = "The share of networks whose error is at most so much: the higher, the better."
    if not section.kinds.variants:
        text += " Of each generator its best setting, as above."
    if not section.group.tested:
        return f"{text} Without bands: these networks are no sample of what a setting makes."
    weights = " Settings of a variant weigh the same." * section.kinds.variants
    return (
        f"{text}{weights} Bands: bootstrap over the graphs of each setting; with {LEVEL:.0%} the whole curve lies "
        "inside. Where a setting has a single graph there is none."
    )


def _populations(section: Section) -> list[_Population]:
    group, kinds = section.group, section.kinds
    if not kinds.variants:
        return [
            _Population(
                leader.generator,
                f"{leader.setting}, {many(len(leader.values), 'network')}",
                style(leader.generator),
                [_errors(group.replicates[leader.setting])],
            )
            for leader in section.leaders
        ]
    found = []
    for name in kinds.names:
        settings = [setting for setting, same in group.by_setting.items() if kinds.of(same[0]) == name]
        errors = [_errors(group.replicates[setting]) for setting in settings]
        text = f"{name}, {many(sum(map(len, errors)), 'network')} of {many(len(errors), 'setting')}"
        found.append(_Population(name, text, style(name, kinds.number(name)), errors))
    return found


def _errors(replicates: Sequence[Sequence[Trial]]) -> list[list[float]]:
    return [[100 - trial.score for trial in same] for same in replicates]


def _traces(population: _Population, ends: tuple[float, float], banded: bool) -> list[Figure]:
    """The function of one population between the ends of the axis, above its band."""
    colour, _ = population.style
    function = distribution(population.errors)
    xs = [ends[0], *function.values, ends[1]]
    ys = [0.0, *function.shares, 1.0]
    half = function.half_width if banded else None
    text = population.text
    shape = {"type": "scatter", "x": xs, "legendgroup": population.name, "text": text, "line": {"shape": "hv"}}
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
