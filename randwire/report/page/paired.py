"""Which variants are separated."""

from collections.abc import Sequence
from html import escape

from randwire.pages.html import panel, table
from randwire.pages.text import interval_text, p_text
from randwire.report.facts.paired import Paired
from randwire.statistics.intervals import LEVEL
from randwire.statistics.pairs import Pair

OUTCOME_HEADS = (f"{LEVEL:.0%} interval", "p", "corrected p", "")


def variants_comparison(paired: Paired) -> str:
    """The best variant against the others in sentences, and a table of all pairs."""
    title = "Which variants are separated"
    sentences = _list(paired.sentences)
    if not paired.pairs:
        return panel(title, sentences)
    rows = [[escape(" over ".join(pair.names)), str(pair.n[0]), *outcome(pair)] for pair in paired.pairs]
    heads = ["variants", "n", "mean difference (points)", *OUTCOME_HEADS]
    note = "Paired t-tests over the graphs of all settings. Not separated does not mean equal."
    if len(rows) > 1:
        note += f" Holm's correction is for all {len(rows)} pairs, and the intervals hold for all of them at once."
    if any(pair.separated and pair.interval.low <= 0 for pair in paired.pairs):
        note += " Holm's tests are sharper than such intervals: one may reach beyond 0 though its pair is separated."
    return panel(title, f"{sentences}{table(heads, rows)}", note)


def outcome(pair: Pair) -> list[str]:
    """The cells of a table that tell the difference of a pair, and below OUTCOME_HEADS its test."""
    return [
        f"{pair.difference:.2f}",
        interval_text(pair.interval),
        escape(p_text(pair.p)),
        escape(p_text(pair.adjusted)),
        "separated" if pair.separated else '<span class="whole">not separated</span>',
    ]


def _list(sentences: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(sentence)}</li>' for sentence in sentences)}</ul>"
