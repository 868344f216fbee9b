"""The tables of rank correlations: of early epochs and of graph measures with the final top-1."""

from html import escape
from statistics import mode

from randwire.pages.html import table
from randwire.report.facts.correlations import MIN_NETWORKS, SCOPES, columns, correlate
from randwire.report.facts.epochs import EarlyEpochs
from randwire.statistics.intervals import LEVEL
from randwire.statistics.pairs import ALPHA
from randwire.study.groups import TrialGroup
from randwire.study.pruner import REDUCTION_FACTOR
from randwire.study.results import mean


def early_table(early: EarlyEpochs) -> str:
    """What successive halving would have seen where it decides."""
    best = early.final.index(max(early.final))
    rows = []
    for epoch in early.rungs:
        scores = early.top1[epoch]
        rank = 1 + sum(score > scores[best] for score in scores)
        kept = "kept" if rank <= -(-len(scores) // REDUCTION_FACTOR) else "stopped"
        cells = [str(early.correlation(epoch, within)) for within in SCOPES]
        rows.append([str(epoch), *cells, f"{rank} of {len(scores)}", kept])
    heads = ["after epoch", *SCOPES.values(), "rank of the finally best", f"if the best 1/{REDUCTION_FACTOR} go on"]
    return table(heads, rows) if rows else ""


def measure_table(budget: TrialGroup) -> str:
    """Rank correlation of each graph measure with top-1 over graphs, those that have it.

    Measures that fewer than MIN_NETWORKS graphs have are left out; empty where that is all of them.
    """
    graphs = [(name, same) for name, by_graph in budget.graphs.items() for same in by_graph if not same[0].reference]
    settings, scores = [name for name, _ in graphs], [mean([trial.score for trial in same]) for _, same in graphs]
    measures = {
        label: [(*pair, value) for *pair, value in zip(settings, scores, column, strict=True) if value is not None]
        for label, column in columns([same[0] for _, same in graphs]).items()
    }
    measures = {label: networks for label, networks in measures.items() if len(networks) >= MIN_NETWORKS}
    if not measures:
        return ""
    level = 1 - ALPHA / len(measures)
    rows = []
    for label, networks in measures.items():
        names, ys, xs = zip(*networks, strict=True)
        rows.append([escape(label), *(str(correlate(names, xs, ys, within, level)) for within in SCOPES)])
    counts = {label: len(networks) for label, networks in measures.items()}
    usual = mode(counts.values())
    others = "".join(f", of {label} over {n}" for label, n in counts.items() if n != usual)
    note = (
        f"Rank correlation with top-1 over {usual} graphs{others}; the intervals hold for all {len(rows)} measures at "
        f"once ({LEVEL:.0%}). Within settings: after the means of each setting are taken away."
    )
    return f'<p class="note">{note}</p>' + table(["graph measure", "all graphs", "within settings"], rows)
