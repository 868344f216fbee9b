"""Parallel coordinates: one line a trial, from its setting over its graph and size to its top-1."""

from collections.abc import Sequence

from randwire.report.style import MOST_POINTS, MOST_SETTINGS, Figure, evenly, layout_of, style
from randwire.study.results import Group, Trial, number

AXES = {"depth": "depth", "clustering": "clustering", "path_length": "mean path", "edges": "edges"}
NOTE = (
    "One line a trial, from its setting over its graph and size to its top-1. Drag along an axis to keep a part of it: "
    "the table of all trials then shows the same trials. A click on the axis takes that back."
)


def parallel(budget: Group) -> Figure | None:
    """Parallel coordinates of the counted trials with measures; None below three.

    `customdata` names the trials, so that what is selected can be found in a table.
    """
    known = [trial for trial in reversed(budget.counted) if trial.measures]
    if len(known) < 3:
        return None
    trials, note = evenly(known, MOST_POINTS), NOTE  # the best are drawn last, on top
    if len(trials) < len(known):
        note += f" {len(trials):,} of {len(known):,} trials are drawn, evenly from best to worst."
    generators = sorted({trial.generator for trial in trials})
    settings = [name for name, same in budget.by_setting.items() if any(trial.measures for trial in same)]
    if len(settings) > MOST_SETTINGS:
        dimensions = [_named("generator", generators, [trial.generator for trial in trials])]
    else:
        dimensions = [_named("setting", settings, [trial.setting for trial in trials])]
    for key, label in AXES.items():
        dimensions += _numbers(label, [trial.measures.get(key) for trial in trials])
    dimensions += _numbers("parameters", [number(trial.complexity, "params") for trial in trials], ".4~s")
    dimensions += _numbers("top-1 (%)", [trial.score for trial in trials], ".2f")
    colours: list[Figure] = [
        {
            "line.color": [[generators.index(trial.generator) for trial in trials]],
            "line.colorscale": [_steps([style(name)[0] for name in generators])],
            "line.cmin": -0.5,
            "line.cmax": len(generators) - 0.5,
            "line.colorbar": _bar("", list(range(len(generators))), [name.upper() for name in generators]),
        },
        {
            "line.color": [[trial.score for trial in trials]],
            "line.colorscale": "Viridis",
            "line.cmin": trials[0].score,
            "line.cmax": trials[-1].score,
            "line.colorbar": _bar("top-1 (%)", None, None),
        },
    ]
    labels = ("coloured by generator", "coloured by top-1")
    first = {key.removeprefix("line."): value for key, value in colours[0].items()}
    line = {**first, "color": first["color"][0], "colorscale": first["colorscale"][0], "showscale": True}
    data: Figure = {"type": "parcoords", "line": line, "dimensions": dimensions, "customdata": _names(trials)}
    data |= {"labelfont": {"size": 12}, "tickfont": {"size": 11}, "rangefont": {"size": 10, "color": "#8892a0"}}
    layout = layout_of("", "", max(460, 150 + 19 * len(settings) * (len(settings) <= MOST_SETTINGS)))
    del layout["xaxis"], layout["yaxis"]
    layout["margin"] = {"l": 90, "r": 30, "t": 88, "b": 30}
    choices = [{"label": name, "data": restyle, "layout": {}} for name, restyle in zip(labels, colours, strict=True)]
    return {
        "data": [data],
        "layout": layout,
        "choices": choices,
        "label": "Parallel coordinates",
        "note": note,
        "wide": True,
    }


def _named(label: str, names: Sequence[str], values: Sequence[str]) -> Figure:
    """An axis of names, the first on top."""
    place = {name: -k for k, name in enumerate(names)}
    axis: Figure = {"label": label, "values": [place[value] for value in values]}
    if len(names) > 1:
        axis["range"] = [1 - len(names), 0]
    return axis | {"tickvals": list(place.values()), "ticktext": list(names)}


def _numbers(label: str, values: Sequence[float | None], form: str = "") -> list[Figure]:
    """An axis of numbers, or none if a trial lacks its own."""
    if None in values:
        return []
    return [{"label": label, "values": list(values), **({"tickformat": form} if form else {})}]


def _names(trials: Sequence[Trial]) -> list[str]:
    return [trial.folder for trial in trials]


def _steps(colours: Sequence[str]) -> list[list[float | str]]:
    """A scale with a step for each colour."""
    return [[(k + end) / len(colours), colour] for k, colour in enumerate(colours) for end in (0, 1)]


def _bar(title: str, places: list[int] | None, texts: list[str] | None) -> Figure:
    mode = "auto" if places is None else "array"
    return {
        "title": {"text": title, "side": "top"},
        "thickness": 12,
        "tickmode": mode,
        "tickvals": places,
        "ticktext": texts,
    }
