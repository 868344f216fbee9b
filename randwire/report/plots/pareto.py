"""Top-1 against what else a search was after, with the settings that no other one beats."""

from collections.abc import Sequence

from randwire.pages.style import INK, MAX_POINTS, Figure, evenly, layout_of, style
from randwire.pages.text import many, short
from randwire.report.facts.pareto import Candidate, Pareto, word
from randwire.report.facts.study import Section
from randwire.report.plots.study_figure import study_figure
from randwire.statistics.describe import group
from randwire.study.objectives import TOP1


@study_figure("a search for other objectives than top-1 alone, and a setting that has finished")
def pareto(section: Section) -> Figure | None:
    """Top-1 (%) of each setting against another objective, to be selected; the Pareto set stands out, and is joined."""
    found = section.pareto
    if found is None:
        return None
    faint = evenly([one for one in found.candidates if not one.best], MAX_POINTS)
    parts = [
        (generator, own, opacity)
        for opacity, shown in ((0.35, faint), (1.0, found.best))
        for generator, own in sorted(group(shown, lambda one: one.generator).items())
    ]
    named = {generator for generator, _, opacity in parts if opacity == 1}
    data = [_line()]
    for generator, own, opacity in parts:
        data.append(_marks(found, generator, own, opacity, legend=opacity == 1 or generator not in named))
    choices: list[Figure] = []
    for name in found.others:
        shown = [found.leading(name), *(own for _, own, _ in parts)]
        xs, ys = ([[one.values[key] for one in own] for own in shown] for key in (name, TOP1))
        layout = {"xaxis.title.text": word(name), "xaxis.autorange": True}
        choices.append({"label": word(name), "data": {"x": xs, "y": ys}, "layout": layout})
    for trace, xs, ys in zip(data, choices[0]["data"]["x"], choices[0]["data"]["y"], strict=True):
        trace |= {"x": xs, "y": ys}
    note = found.note
    if len(faint) + len(found.best) < len(found.candidates):
        note += f" {len(faint):,} of the others are drawn, evenly from best to worst."
    layout = layout_of(word(found.others[0]), word(TOP1), 420)
    return {"data": data, "layout": layout, "choices": choices, "label": "Pareto set", "note": note}


def _line() -> Figure:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "Pareto set",
        "line": {"color": INK, "width": 1.5},
        "hoverinfo": "skip",
    }


def _marks(found: Pareto, generator: str, candidates: Sequence[Candidate], opacity: float, legend: bool) -> Figure:
    colour, symbol = style(generator)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": generator.upper(),
        "legendgroup": generator,
        "showlegend": legend,
        "text": [_text(found, one) for one in candidates],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"color": colour, "symbol": symbol, "size": 10 if opacity == 1 else 7, "opacity": opacity},
    }


def _text(found: Pareto, one: Candidate) -> str:
    others = "".join(f"<br>{word(name)} {short(one.values[name])}" for name in found.others)
    return f"{one.setting}<br>top-1 {one.values[TOP1]:.2f}%, {many(one.n, 'trial')}{others}"
