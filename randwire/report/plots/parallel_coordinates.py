"""Parallel coordinates: one line a trial, from its setting over its graph and size to its top-1."""

from collections.abc import Sequence

from randwire.pages.style import MAX_POINTS, MAX_SETTINGS, Figure, evenly, layout_of, style, title_of
from randwire.report.facts.study import Section
from randwire.report.plots.study_figure import study_figure
from randwire.study.results import Trial, number

AXES = {"depth": "depth", "clustering": "clustering", "path_length": "mean path", "edges": "edges"}
NOTE = (
    "One line a trial, from its setting over its graph and size to its top-1. Drag along an axis to keep a part of it: "
    "the table of all trials then shows the same trials. A click on the axis takes that back."
)


@study_figure("three finished trials with graph measures")
def parallel_coordinates(section: Section) -> Figure | None:
    """One line a trial, from its setting over its graph's measures and its parameters to its top-1 (%).

    `customdata` names the trials, so that what is selected can be found in a table.
    """
    budget = section.group
    measured = [trial for trial in reversed(budget.counted) if trial.measures]
    if len(measured) < 3:
        return None
    trials, note = evenly(measured, MAX_POINTS), NOTE  # the best are drawn last, on top
    if any(trial.reference for trial in budget.counted):
        note += " Published networks have no graph, and are not drawn."
    if len(trials) < len(measured):
        note += f" {len(trials):,} of {len(measured):,} trials are drawn, evenly from best to worst."
    generators = sorted({trial.generator for trial in trials})
    settings = [name for name, same in budget.by_setting.items() if any(trial.measures for trial in same)]
    colours = {"coloured by generator": _by_generator(trials, generators), "coloured by top-1": _by_top1(trials)}
    first = {key.removeprefix("line."): value for key, value in colours["coloured by generator"].items()}
    line = {**first, "color": first["color"][0], "colorscale": first["colorscale"][0], "showscale": True}
    data: Figure = {
        "type": "parcoords",
        "line": line,
        "dimensions": _dimensions(trials, generators, settings),
        "customdata": [trial.folder for trial in trials],
        "labelfont": {"size": 12},
        "tickfont": {"size": 11},
        "rangefont": {"size": 10, "color": "#8892a0"},
    }
    layout = layout_of("", "", max(460, 150 + 19 * len(settings) * (len(settings) <= MAX_SETTINGS)))
    del layout["xaxis"], layout["yaxis"]
    layout["margin"] = {"l": 90, "r": 30, "t": 88, "b": 30}
    return {
        "data": [data],
        "layout": layout,
        "choices": [{"label": label, "data": restyle, "layout": {}} for label, restyle in colours.items()],
        "label": "Parallel coordinates",
        "note": note,
        "wide": True,
    }


def _dimensions(trials: Sequence[Trial], generators: Sequence[str], settings: Sequence[str]) -> list[Figure]:
    """The axes: the setting, or the generator where there are many settings, measures of the graph, size, top-1."""
    if len(settings) > MAX_SETTINGS:
        dimensions = [_named("generator", generators, [trial.generator for trial in trials])]
    else:
        dimensions = [_named("setting", settings, [trial.setting for trial in trials])]
    for key, label in AXES.items():
        dimensions += _numbers(label, [trial.measures.get(key) for trial in trials])
    dimensions += _numbers("parameters", [number(trial.complexity, "params") for trial in trials], ".4~s")
    return dimensions + _numbers("top-1 (%)", [trial.score for trial in trials], ".2f")


def _named(label: str, names: Sequence[str], values: Sequence[str]) -> Figure:
    """An axis of names, the first on top."""
    heights = {name: -k for k, name in enumerate(names)}
    axis: Figure = {"label": label, "values": [heights[value] for value in values]}
    if len(names) > 1:
        axis["range"] = [1 - len(names), 0]
    return axis | {"tickvals": list(heights.values()), "ticktext": list(names)}


def _numbers(label: str, values: Sequence[float | None], form: str = "") -> list[Figure]:
    """An axis of numbers, or none if a trial lacks its own."""
    if None in values:
        return []
    return [{"label": label, "values": list(values), **({"tickformat": form} if form else {})}]


def _by_generator(trials: Sequence[Trial], generators: Sequence[str]) -> Figure:
    """Lines in the colours of their generators."""
    return {
        "line.color": [[generators.index(trial.generator) for trial in trials]],
        "line.colorscale": [_steps([style(name)[0] for name in generators])],
        "line.cmin": -0.5,
        "line.cmax": len(generators) - 0.5,
        "line.colorbar": _bar("", list(range(len(generators))), [title_of(name) for name in generators]),
    }


def _by_top1(trials: Sequence[Trial]) -> Figure:
    """Lines coloured by top-1."""
    scores = [trial.score for trial in trials]
    return {
        "line.color": [scores],
        "line.colorscale": "Viridis",
        "line.cmin": min(scores),
        "line.cmax": max(scores),
        "line.colorbar": _bar("top-1 (%)", None, None),
    }


def _steps(colours: Sequence[str]) -> list[list[float | str]]:
    """A scale with a step for each colour."""
    return [[(k + end) / len(colours), colour] for k, colour in enumerate(colours) for end in (0, 1)]


def _bar(title: str, values: list[int] | None, texts: list[str] | None) -> Figure:
    return {
        "title": {"text": title, "side": "top"},
        "thickness": 12,
        "tickmode": "auto" if values is None else "array",
        "tickvals": values,
        "ticktext": texts,
    }
