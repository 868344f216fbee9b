"""The tables of rank correlations: of early epochs and of graph measures with the final top-1."""

from html import escape

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
    """Rank correlation of each graph measure with top-1 over graphs; empty below MIN_NETWORKS graphs with measures."""
    graphs = [(name, same) for name, by_graph in budget.graphs.items() for same in by_graph]
    settings, scores = [name for name, _ in graphs], [mean([trial.score for trial in same]) for _, same in graphs]
    measures = columns([same[0] for _, same in graphs])
    if len(scores) < MIN_NETWORKS or not measures:
        return ""
    level = 1 - ALPHA / len(measures)
    rows = [
        [escape(label), *(str(correlate(settings, column, scores, within, level)) for within in SCOPES)]
        for label, column in measures.items()
    ]
    note = (
        f"Rank correlation with top-1 over {len(scores)} graphs; the intervals hold for all {len(rows)} measures at "
        f"once ({LEVEL:.0%}). Within settings: after the means of each setting are taken away."
    )
    return f'<p class="note">{note}</p>' + table(["graph measure", "all graphs", "within settings"], rows)
