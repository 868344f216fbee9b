"""The tables of rank correlations: of early epochs and of graph measures with the final top-1."""

from html import escape
from statistics import mode

from randwire.pages.html import table, without_dashes
from randwire.pages.text import many
from randwire.report.facts.correlations import (
    MIN_NETWORKS,
    SCOPES,
    columns,
    correlate,
    correlation_text,
    networks,
    paired_with_score,
    scopes_text,
)
from randwire.report.facts.epochs import EarlyEpochs
from randwire.statistics.intervals import LEVEL
from randwire.statistics.pairs import ALPHA
from randwire.study.groups import TrialGroup
from randwire.study.pruner import REDUCTION_FACTOR


def early_table(early: EarlyEpochs) -> str:
    """What successive halving would have seen where it decides."""
    if not early.rungs:
        return ""
    best = early.final.index(max(early.final))
    rows = []
    for epoch in early.rungs:
        scores = early.top1[epoch]
        rank = 1 + sum(score > scores[best] for score in scores)
        kept = "kept" if rank <= -(-len(scores) // REDUCTION_FACTOR) else "stopped"
        cells = [correlation_text(early.correlation(epoch, within)) for within in SCOPES]
        rows.append([str(epoch), *cells, f"{rank} of {len(scores)}", kept])
    heads = ["after epoch", *SCOPES.values(), "rank of the finally best", f"if the best 1/{REDUCTION_FACTOR} go on"]
    return table(*without_dashes(heads, rows))


def measure_table(budget: TrialGroup) -> str:
    """Rank correlation of each graph measure with top-1 over graphs, those that have it.

    Measures that fewer than MIN_NETWORKS graphs have are left out; empty where that is all of them.
    """
    graphs = [network for network in networks(budget) if not network.first.reference]
    measures = {label: paired_with_score(graphs, column) for label, column in columns(graphs).items()}
    measures = {label: pairs for label, pairs in measures.items() if len(pairs) >= MIN_NETWORKS}
    if not measures:
        return ""
    level = 1 - ALPHA / len(measures)
    rows = []
    for label, pairs in measures.items():
        found = (correlate(pairs, within, level) for within in SCOPES)
        rows.append([escape(label), *map(correlation_text, found)])
    told = [row for row in rows if any(cell != "-" for cell in row[1:])]
    if not told:
        return ""
    counts = {label: len(pairs) for label, pairs in measures.items()}
    usual = mode(counts.values())
    others = "".join(f", of {label} over {n}" for label, n in counts.items() if n != usual)
    settings = len({graph.setting for graph in graphs})
    note = (
        f"Rank correlation with top-1 over {many(usual, 'graph')} of {many(settings, 'setting')}{others}. "
        + scopes_text(settings)
        + f" Each column's intervals hold for all {len(rows)} measures at once ({LEVEL:.0%})."
        + " Measures without a correlation are left out." * (len(told) < len(rows))
        + " A graph under several variants is one graph, with its mean over them." * (len(graphs[0].trials) > 1)
    )
    return f'<p class="note">{note}</p>' + table(*without_dashes(["graph measure", *SCOPES.values()], told))
