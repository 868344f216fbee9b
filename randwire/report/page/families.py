"""The questions of a study, each with its tests."""

from __future__ import annotations

from html import escape

from randwire.pages.html import dot, panel, table
from randwire.pages.text import first_of, many, p_text
from randwire.report.facts.families import Family, may_be_best
from randwire.report.facts.settings import MAX_NAMED, best_pairs, lacking, summary, why_untested
from randwire.report.facts.study import Section
from randwire.report.page.paired import OUTCOME_HEADS, outcome
from randwire.statistics.pairs import ALPHA, Pair

UNTESTED = "Tests between settings"


def families_panel(section: Section) -> str:
    """The families of tests, the settings that may be the best, and which difference is excluded; or why none is."""
    if section.variants is not None:
        return ""
    if why := why_untested(section.group):
        return panel(UNTESTED, f"<p>No tests between settings. {escape(why)}</p>")
    if not section.pairs:
        return panel(UNTESTED, f"<p>Fewer than two settings can be tested. {escape(lacking(section.group))}</p>")
    losses = {family.key: family for family in section.families_by_loss}
    shown = [_family(family, losses.get(family.key), section) for family in section.families]
    return "".join([*(shown or [_best_against_others(section)]), _may_be_best(section)])


def all_pairs(section: Section) -> str:
    """All pairs of settings with one correction, for the appendix; empty where families tell as much, or none is."""
    told = [{frozenset(pair.names) for pair in family.pairs} for family in section.families]
    if not told or {frozenset(pair.names) for pair in section.pairs} in told:
        return ""
    return _best_against_others(section)


def _family(family: Family, by_loss: Family | None, section: Section) -> str:
    """The tests of a family; at its side those of the same pairs by the loss."""
    losses = {frozenset(pair.names): pair for pair in by_loss.pairs} if by_loss is not None else {}
    rows = [
        [
            escape(pair.names[0]),
            escape(pair.names[1]),
            "/".join(map(str, dict.fromkeys(pair.n))),
            *outcome(pair),
            *[_loss(pair, losses.get(frozenset(pair.names)))] * bool(losses),
        ]
        for pair in family.pairs
    ]
    heads = ["higher mean", "against", "n", "difference (points)", *OUTCOME_HEADS]
    heads += ["difference of the loss (corrected p)"] * bool(losses)
    note = (
        f"Welch's test over graphs. The chance of even one false difference here is held at {ALPHA:.0%}. "
        f"{family.note} Not separated does not mean equal."
    )
    if any(pair.separated and pair.interval.low <= 0 for pair in family.pairs):
        note += " Holm's tests are sharper than such intervals: one may reach beyond 0 though its pair is separated."
    if losses:
        note += " The loss is tested by itself, with the same correction; less is better."
    return panel(family.title, f"{_excluded(family)}{table(heads, rows, text=('against', ''))}", note)


def _excluded(family: Family) -> str:
    """Which difference is excluded; empty for a family that does not ask whether things are alike."""
    if family.key != "generators":
        return ""
    between = " between any two" * (len(family.pairs) > 1)
    return (
        f"<p>A difference above {family.excluded:.2f} points{between} is excluded (two one-sided tests, "
        f"{ALPHA:.0%}).</p>"
    )


def _loss(pair: Pair, other: Pair | None) -> str:
    """The loss of the first setting of a pair minus that of the second, with the corrected p."""
    if other is None:
        return "-"
    difference = -other.difference if other.names == pair.names else other.difference
    return f"{difference:+.3f} ({escape(p_text(other.adjusted))})"


def _may_be_best(section: Section) -> str:
    """The settings that may be the best."""
    names = may_be_best(section.group)
    tested = len({name for pair in section.pairs for name in pair.names})
    note = (
        f"Subset selection (Gupta) by one-sided Welch tests: a setting is left out if another one is shown to be above "
        f"it. So the setting with the highest true mean is lost with a chance of at most {ALPHA:.0%}. "
        f"{lacking(section.group)}"
    )
    text = f"{first_of(names, MAX_NAMED)}: {len(names)} of {many(tested, 'tested setting')}."
    return panel("Which settings may be the best", f"<p>{escape(text)}</p>", note)


def _best_against_others(section: Section) -> str:
    """The setting with the highest mean against all others, in a sentence and a table."""
    pairs = best_pairs(section)
    rows = [
        [dot(section.group.generator(other)) + escape(other), str(pair.n[1]), *outcome(pair)]
        for pair in pairs
        for other in [pair.names[1]]
    ]
    heads = [f"{pairs[0].names[0]} against", "n", "difference (points)", *OUTCOME_HEADS]
    note = (
        f"Welch's test over graphs, with Holm's correction for all {many(len(section.pairs), 'pair')}: the chance of "
        f"even one false difference is held at {ALPHA:.0%}, also for pairs that were picked by their means. The "
        f"intervals hold for all pairs at once. Not separated does not mean equal. {lacking(section.group)}"
    )
    # Where families tell more, a table of pairs of which none is separated says no more than the sentence.
    shown = table(heads, rows) if not section.families or any(pair.separated for pair in pairs) else ""
    return panel("The best setting against all others", f"<p>{escape(summary(section))}</p>{shown}", note)
