"""The error distribution function of the networks of each generator."""

import numpy as np

from randwire.report.style import Figure, layout_of, shade, style
from randwire.report.text import many
from randwire.statistics.describe import group
from randwire.statistics.distribution import distribution
from randwire.statistics.intervals import LEVEL
from randwire.study.results import Group


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
