"""Top-1 against the measures of the graphs."""

from collections.abc import Mapping, Sequence

from randwire.pages.style import MAX_POINTS, Figure, evenly, layout_of, style, title_of
from randwire.pages.text import many
from randwire.report.facts.correlations import columns
from randwire.report.facts.study import Section
from randwire.report.plots.study_figure import study_figure
from randwire.statistics.correlation import spearman
from randwire.statistics.describe import group
from randwire.study.groups import TrialGroup
from randwire.study.results import Trial, mean


@study_figure("two finished trials with graph measures")
def measures(section: Section) -> Figure | None:
    """Top-1 (%) against a measure of the graph, such as depth or clustering, to be selected."""
    budget = section.group
    trials = evenly(budget.counted, MAX_POINTS)
    values = columns(trials)
    if len(trials) < 2 or not values:
        return None
    note = "Each mark is a trial. A correlation over few graphs shows where to look, and proves nothing."
    if any(trial.reference for trial in trials):
        note += " Published networks have parameters, but no measures of graphs."
    if len(trials) < len(budget.counted):
        note += f" {len(trials):,} of {len(budget.counted):,} trials are drawn, evenly from best to worst."
    by_generator = group(range(len(trials)), lambda index: trials[index].generator)
    generators = sorted(by_generator)
    first = next(iter(values.values()))
    data = [
        _trials(generator, [trials[k] for k in by_generator[generator]], [first[k] for k in by_generator[generator]])
        for generator in generators
    ]
    titles = _titles(budget, values)
    choices: list[Figure] = [
        {
            "label": label,
            "data": {"x": [[column[k] for k in by_generator[name]] for name in generators]},
            "layout": {"xaxis.title.text": titles[label], "xaxis.autorange": True},
        }
        for label, column in values.items()
    ]
    layout = layout_of(choices[0]["layout"]["xaxis.title.text"], "top-1 (%)", 380)
    return {"data": data, "layout": layout, "choices": choices, "label": "Graph measures", "note": note}


def _trials(generator: str, trials: Sequence[Trial], xs: Sequence[float | None]) -> Figure:
    colour, symbol = style(generator)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": title_of(generator),
        "x": xs,
        "y": [trial.score for trial in trials],
        "text": [trial.name for trial in trials],
        "hovertemplate": "%{text}<br>%{x:.4g}<br>top-1 %{y:.2f}%<extra></extra>",
        "marker": {"color": colour, "symbol": symbol, "size": 9, "opacity": 0.8},
    }


def _titles(budget: TrialGroup, labels: Mapping[str, object]) -> dict[str, str]:
    """Each measure with its rank correlation with top-1 over graphs."""
    graphs = [same for by_graph in budget.graphs.values() for same in by_graph if not same[0].reference]
    scores, values = [mean([trial.score for trial in same]) for same in graphs], columns([same[0] for same in graphs])
    titles = {}
    for label in labels:
        pairs = [(x, y) for x, y in zip(values.get(label, ()), scores, strict=label in values) if x is not None]
        n = f"n = {many(len(pairs), 'graph')}"
        rho = spearman([x for x, _ in pairs], [y for _, y in pairs]) if pairs else None
        below = f"Spearman rank correlation {rho:+.2f}, {n}" if rho is not None else n
        titles[label] = f"{label}<br><i>{below}</i>"
    return titles
