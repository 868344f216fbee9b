"""Top-1 against the measures of the graphs."""

from randwire.report.facts.correlations import columns
from randwire.report.style import MOST_POINTS, Figure, evenly, layout_of, style
from randwire.report.text import many
from randwire.statistics.correlation import spearman
from randwire.statistics.describe import group
from randwire.study.results import Group, mean


def measures(budget: Group) -> Figure | None:
    """Top-1 against a graph measure, to be selected; None below two counted trials with measures."""
    trials = evenly(budget.counted, MOST_POINTS)
    known = columns(trials)
    if len(trials) < 2 or not known:
        return None
    note = "Each mark is a trial. A correlation over few graphs shows where to look, and proves nothing."
    if len(trials) < len(budget.counted):
        note += f" {len(trials):,} of {len(budget.counted):,} trials are drawn, evenly from best to worst."
    graphs = [same for found in budget.graphs.values() for same in found]
    scores, by_graph = [mean([trial.score for trial in same]) for same in graphs], columns([same[0] for same in graphs])
    places = group(range(len(trials)), lambda place: trials[place].generator)
    generators = sorted(places)
    first = next(iter(known))
    data: list[Figure] = []
    choices: list[Figure] = []
    for generator in generators:
        colour, symbol = style(generator)
        found = [trials[place] for place in places[generator]]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": generator.upper(),
                "x": [known[first][place] for place in places[generator]],
                "y": [trial.score for trial in found],
                "text": [trial.name for trial in found],
                "hovertemplate": "%{text}<br>%{x:.4g}<br>top-1 %{y:.2f}%<extra></extra>",
                "marker": {"color": colour, "symbol": symbol, "size": 9, "opacity": 0.8},
            }
        )
    for label, column in known.items():
        rho = spearman(by_graph[label], scores) if label in by_graph else None
        n = f"n = {many(len(scores), 'graph')}"
        below = f"Spearman rank correlation {rho:+.2f}, {n}" if rho is not None else n
        choices.append(
            {
                "label": label,
                "data": {"x": [[column[place] for place in places[name]] for name in generators]},
                "layout": {"xaxis.title.text": f"{label}<br><i>{below}</i>", "xaxis.autorange": True},
            }
        )
    layout = layout_of(choices[0]["layout"]["xaxis.title.text"], "top-1 (%)", 380)
    return {"data": data, "layout": layout, "choices": choices, "label": "Graph measures", "note": note}
