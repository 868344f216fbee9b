"""Which settings are separated, and which variants."""

from collections.abc import Sequence
from html import escape

from randwire.pages.html import dot, panel, table
from randwire.pages.text import interval_text, many, p_text
from randwire.report.facts.paired import Paired
from randwire.report.facts.settings import best_pairs, between_generators, lacking, summary, why_untested
from randwire.report.facts.study import Section
from randwire.statistics.intervals import LEVEL
from randwire.statistics.pairs import ALPHA, Pair


def settings_comparison(section: Section) -> str:
    """Which settings are separated, in sentences and a table of the best against all others; or why none is tested."""
    title = "Which settings are separated"
    why = why_untested(section.group)
    if why:
        return panel(title, f"<p>No tests between settings. {escape(why)}</p>")
    if not section.pairs:
        return panel(title, f"<p>Fewer than two settings can be tested. {escape(lacking(section.group))}</p>")
    note = (
        f"Welch's test over graphs, with Holm's correction for all {many(len(section.pairs), 'pair')}: the chance of "
        f"even one false difference is held at {ALPHA:.0%}, also for pairs that were picked by their means. The "
        f"intervals hold for all pairs at once. Not separated does not mean equal. {lacking(section.group)}"
    )
    return panel(title, f"<p>{escape(summary(section))}</p>{_leaders(section)}{_best_table(section)}", note)


def variants_comparison(paired: Paired) -> str:
    """The best variant against the others in sentences, and a table of all pairs."""
    title = "Which variants are separated"
    sentences = _list(paired.sentences)
    if not paired.pairs:
        return panel(title, sentences)
    rows = [[escape(" over ".join(pair.names)), str(pair.n[0]), *_outcome(pair)] for pair in paired.pairs]
    heads = ["variants", "n", "mean difference (points)", f"{LEVEL:.0%} interval", "p", "corrected p", ""]
    note = "Paired t-tests over the graphs of all settings. Not separated does not mean equal."
    if len(rows) > 1:
        note += f" Holm's correction is for all {len(rows)} pairs, and the intervals hold for all of them at once."
    if any(pair.separated and pair.interval.low <= 0 for pair in paired.pairs):
        note += " Holm's tests are sharper than such intervals: one may reach beyond 0 though its pair is separated."
    return panel(title, f"{sentences}{table(heads, rows)}", note)


def _leaders(section: Section) -> str:
    sentences = between_generators(section)
    return f"<p>The best setting of each generator against the others:</p>{_list(sentences)}" if sentences else ""


def _best_table(section: Section) -> str:
    """The best setting against all others."""
    pairs = best_pairs(section)
    rows = [
        [dot(section.group.generator(other)) + escape(other), str(pair.n[1]), *_outcome(pair)]
        for pair in pairs
        for other in [pair.names[1]]
    ]
    heads = [
        f"{pairs[0].names[0]} against",
        "n",
        "difference (points)",
        f"{LEVEL:.0%} interval",
        "p",
        "corrected p",
        "",
    ]
    return table(heads, rows)


def _list(sentences: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(sentence)}</li>' for sentence in sentences)}</ul>"


def _outcome(pair: Pair) -> list[str]:
    """The cells of a table that tell the difference of a pair and its test."""
    return [
        f"{pair.difference:.2f}",
        interval_text(pair.interval),
        escape(p_text(pair.p)),
        escape(p_text(pair.adjusted)),
        "separated" if pair.separated else "not separated",
    ]
