"""Parallel coordinates: one line a trial, from its setting over its graph and size to its top-1."""

from collections.abc import Sequence

from randwire.pages.style import MAX_POINTS, MAX_SETTINGS, Figure, evenly, layout_of, style, text_width, title_of
from randwire.report.facts.kinds import Kinds
from randwire.report.facts.study import Section
from randwire.report.plots.axes import NONE, further, named, numbers, parameters, whole
from randwire.report.plots.study_figure import study_figure
from randwire.study.groups import TrialGroup
from randwire.study.results import Trial, number

AXES = {"depth": "depth", "clustering": "clustering", "path_length": "mean path", "edges": "edges"}
COUNTED = ("depth", "edges")
"""The measures that are counts, and have ticks at whole numbers."""
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
    named_by = (budget.by_setting[name][0] for name in section.settings if _measured(budget, name))
    settings = list(dict.fromkeys(map(_setting, named_by)))
    dimensions = _dimensions(trials, generators, settings)
    if any(NONE in axis.get("ticktext", ()) for axis in dimensions):
        note += f" At {NONE} run the lines of trials without that parameter."
    by_kind, by_top1 = _by_kind(trials, section.kinds), _by_top1(trials)
    colours = {f"coloured by {section.kinds.noun}": by_kind, "coloured by top-1": by_top1}
    first = {key.removeprefix("line."): value for key, value in by_kind.items()}
    line = {**first, "color": first["color"][0], "colorscale": first["colorscale"][0], "showscale": True}
    data: Figure = {
        "type": "parcoords",
        "line": line,
        "dimensions": dimensions,
        "customdata": [trial.folder for trial in trials],
        "labelfont": {"size": 12},
        "tickfont": {"size": 11},
        "rangefont": {"size": 10, "color": "#8892a0"},
    }
    layout = layout_of("", "", max(460, 150 + 19 * len(settings) * (len(settings) <= MAX_SETTINGS)))
    del layout["xaxis"], layout["yaxis"]
    longest = max(map(text_width, settings)) if len(settings) <= MAX_SETTINGS else 0
    layout["margin"] = {"l": max(90, 20 + round(longest)), "r": 30, "t": 88, "b": 30}
    return {
        "data": [data],
        "layout": layout,
        "choices": [{"label": label, "data": restyle, "layout": {}} for label, restyle in colours.items()],
        "label": "Parallel coordinates",
        "note": note,
        "wide": True,
    }


def _measured(budget: TrialGroup, setting: str) -> bool:
    return any(trial.measures for trial in budget.by_setting[setting])


def _dimensions(trials: Sequence[Trial], generators: Sequence[str], settings: Sequence[str]) -> list[Figure]:
    """The axes: the setting, or the generator where there are many settings; parameters; measures; size; top-1."""
    if len(settings) > MAX_SETTINGS:
        titles = [title_of(name) for name in generators]
        dimensions = [named("generator", titles, [title_of(trial.generator) for trial in trials])]
    else:
        dimensions = [named("setting", settings, [_setting(trial) for trial in trials])]
    dimensions += parameters(trials, ["setting", "generator", *AXES.values(), "parameters"])
    for key, label in AXES.items():
        values = [trial.measures.get(key) for trial in trials]
        dimensions += whole(label, values) if key in COUNTED else numbers(label, values)
    dimensions += numbers("parameters", [number(trial.complexity, "params") for trial in trials], ".4~s")
    return dimensions + numbers("top-1 (%)", [trial.score for trial in trials], ".2f")


def _setting(trial: Trial) -> str:
    """What the axis of settings calls that of a trial: without the keys that have axes of their own."""
    return trial.config.label if further(trial) else trial.setting


def _by_kind(trials: Sequence[Trial], kinds: Kinds) -> Figure:
    """Lines in the colours of their generators, or of their variants in a study of variants."""
    drawn = dict.fromkeys(map(kinds.of, trials))
    names = [*(name for name in kinds.names if name in drawn), *(name for name in drawn if name not in kinds.names)]
    return {
        "line.color": [[names.index(kinds.of(trial)) for trial in trials]],
        "line.colorscale": [_steps([style(name, kinds.number(name))[0] for name in names])],
        "line.cmin": -0.5,
        "line.cmax": len(names) - 0.5,
        "line.colorbar": _bar("", list(range(len(names))), [title_of(name) for name in names]),
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
