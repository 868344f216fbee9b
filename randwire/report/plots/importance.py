"""How much each parameter of a search decides."""

from randwire.pages.style import INK, Figure, layout_of, style, title_of
from randwire.pages.text import many
from randwire.report.facts.study import Section
from randwire.report.plots.study_figure import study_figure
from randwire.study.objectives import TOP1
from randwire.study.tried import Tried

NOTE = (
    "How much of being among the best (a quarter of the settings, at least {least}) a parameter explains by itself "
    "(PED-ANOVA), relative to what was tried: 0% nothing, 100% all. The generator {further}is judged among all "
    "settings, the parameters of a generator among its own; the bars do not add up. The black line is what chance "
    "exceeds in 5% of cases (top-1 shuffled over the settings): a pale bar does not reach beyond it, and shows nothing."
)
ALL = "#64748b"
"""The colour of what all settings have."""


@study_figure("a search of which ten settings have finished")
def importance(section: Section) -> Figure | None:
    """The share (%) of being among the best of a search that each of its parameters explains."""
    tried = section.tried
    finished = [one for one in tried if one.value(TOP1) is not None]
    if not finished or TOP1 not in (objective.name for objective in section.objectives):
        return None
    from randwire.study.importance import MIN_BEST, importances  # here: it imports Optuna

    found = importances(tried, section.design)
    if not found:
        return None
    rows = [f"{one.parameter}  (n={one.n})" for one in found]
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "x": [100 * one.share for one in found],
            "y": rows,
            "text": [f"{100 * one.share:.0f}%" for one in found],
            "textposition": "outside",
            "cliponaxis": False,
            "customdata": [_words(one.generator, one.n, one.best) for one in found],
            "hovertemplate": "%{y}<br>explains %{x:.1f}%<br>%{customdata}<extra></extra>",
            "marker": {
                "color": [style(one.generator)[0] if one.generator else ALL for one in found],
                "opacity": [0.9 if one.told else 0.3 for one in found],
            },
        },
        {
            "type": "scatter",
            "mode": "markers",
            "x": [100 * one.chance for one in found],
            "y": rows,
            "text": [f"{one.parameter}: chance alone exceeds {100 * one.chance:.1f}% in 5% of cases" for one in found],
            "hovertemplate": "%{text}<extra></extra>",
            "marker": {"symbol": "line-ns-open", "size": 22, "color": INK, "line": {"width": 2}},
        },
    ]
    layout = layout_of("explains of being among the best (%)", "", 110 + 34 * len(rows))
    layout |= {"showlegend": False, "bargap": 0.35}
    layout["xaxis"] |= {"range": [0, _end([*(one.share for one in found), *(one.chance for one in found)])]}
    layout["yaxis"] |= {"autorange": "reversed", "type": "category", "ticks": ""}
    further = "(and each further key) " if any("." in one.parameter and not one.generator for one in found) else ""
    note = NOTE.format(least=MIN_BEST, further=further) + _left_out(finished, {one.generator for one in found})
    return {"data": data, "layout": layout, "label": "What decides, by parameter", "note": note}


def _words(generator: str, n: int, best: int) -> str:
    """What an importance is relative to."""
    return f"best {best} of {many(n, f'{title_of(generator)} setting' if generator else 'setting')}"


def _end(shares: list[float]) -> float:
    """The end of the axis (%), with room for the text of the longest bar."""
    return min(112.0, max(10.0, 115 * max(shares)))


def _left_out(finished: list[Tried], told: set[str]) -> str:
    """The generators of which too few settings have finished, in a sentence."""
    from randwire.study.importance import MIN_SETTINGS

    counts: dict[str, int] = {}
    for one in finished:
        if len(one.parameters) > 1:
            counts[one.generator] = counts.get(one.generator, 0) + 1
    few = [f"{title_of(name)} {count}" for name, count in sorted(counts.items()) if count < MIN_SETTINGS]
    return f" Fewer than {MIN_SETTINGS} settings are left out: {', '.join(few)}." if few else ""
