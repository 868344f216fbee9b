"""The means of a race, round by round."""

from randwire.pages.style import Figure, layout_of, style
from randwire.report.facts.race import standings
from randwire.report.facts.study import Section
from randwire.report.plots.study_figure import study_figure

MARGIN = 0.08
"""Of the means that are shown, beyond the lowest and the highest."""


@study_figure("a race whose first round has ended")
def rounds(section: Section) -> Figure | None:
    """Mean top-1 (%) that chose in each round of a race, a line for each setting, which ends where it fell out."""
    played = section.rounds
    if len(played) < 2:
        return None
    generators = {trial.setting: trial.generator for trial in section.group.trials}
    ticks = [f"round {each.number}<br>n = {each.seeds}" for each in played]
    data: list[Figure] = []
    for standing in standings(played):
        generator = generators.get(standing.setting, "")
        colour, symbol = style(generator)
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": generator.upper(),
                "legendgroup": generator,
                "showlegend": all(trace["legendgroup"] != generator for trace in data),
                "x": [each.number for each in played[: len(standing.means)]],
                "y": list(standing.means),
                "text": f"{standing.setting}: {standing.end}",
                "hovertemplate": "%{text}<br>round %{x}: %{y:.2f}%<extra></extra>",
                "line": {"color": colour, "width": 2.5 if len(standing.means) > 1 else 1},
                "marker": {"symbol": symbol, "size": 8, "opacity": 1.0 if len(standing.means) > 1 else 0.5},
            }
        )
    layout = layout_of("", "mean top-1 (%)", 420)
    layout["xaxis"] |= {
        "tickvals": [each.number for each in played],
        "ticktext": ticks,
        "range": [0.8, played[-1].number + 0.2],
    }
    means = [mean for trace in data if len(trace["y"]) > 1 for mean in trace["y"] if mean is not None]
    margin = MARGIN * (max(means) - min(means)) or 0.1
    layout["yaxis"]["range"] = [min(means) - 2 * margin, max(means) + margin]
    note = "A mark in a first round alone is a setting that did not go on; those far below are left out."
    return {"data": data, "layout": layout, "label": "Means by round", "note": note}
