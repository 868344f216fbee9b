"""The tables of rank correlations: of early epochs and of graph measures with the final top-1."""

from html import escape

from randwire.report.facts.correlations import MIN_NETWORKS, columns, correlate
from randwire.report.facts.epochs import Course
from randwire.report.page.html import table
from randwire.report.plots.early_epochs import LINES
from randwire.statistics.intervals import LEVEL
from randwire.statistics.pairs import ALPHA
from randwire.study.design import KEPT
from randwire.study.results import Group, mean


def early_table(course: Course) -> str:
    """What successive halving would have seen where it decides."""
    best = course.final.index(max(course.final))
    rows = []
    for epoch in course.rungs:
        scores = course.top1[epoch]
        rank = 1 + sum(score > scores[best] for score in scores)
        kept = "kept" if rank <= -(-len(scores) // KEPT) else "stopped"
        cells = [str(course.correlation(epoch, within)) for *_, within in LINES]
        rows.append([str(epoch), *cells, f"{rank} of {len(scores)}", kept])
    heads = ["after epoch", *(label for label, *_ in LINES), "rank of the finally best", f"if the best 1/{KEPT} go on"]
    return table(heads, rows) if rows else ""


def measure_table(found: Group) -> str:
    """Rank correlation of each graph measure with top-1 over graphs; empty below MIN_NETWORKS graphs with measures."""
    graphs = [(name, same) for name, found_graphs in found.graphs.items() for same in found_graphs]
    settings, scores = [name for name, _ in graphs], [mean([trial.score for trial in same]) for _, same in graphs]
    known = columns([same[0] for _, same in graphs])
    if len(scores) < MIN_NETWORKS or not known:
        return ""
    level = 1 - ALPHA / len(known)
    rows = [
        [escape(label), *(str(correlate(settings, column, scores, within, level)) for *_, within in LINES)]
        for label, column in known.items()
    ]
    note = (
        f"Rank correlation with top-1 over {len(scores)} graphs; the intervals hold for all {len(rows)} measures at "
        f"once ({LEVEL:.0%}). Within settings: after the means of each setting are taken away."
    )
    return f'<p class="note">{note}</p>' + table(["graph measure", "all graphs", "within settings"], rows)
