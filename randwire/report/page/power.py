"""What to run next: how many graphs would tell the best settings apart, and the command that confirms them."""

from html import escape

from randwire.pages.html import dot, panel, table
from randwire.pages.text import many
from randwire.report.facts.next_steps import (
    MAX_CONTENDERS,
    POINTS,
    Question,
    contenders,
    lacking_spread,
    pairs_of_contenders,
    proposal,
    proposal_text,
    questions,
)
from randwire.report.facts.study import Section, StudyFacts
from randwire.statistics.intervals import LEVEL
from randwire.statistics.pairs import MIN_REPLICATES
from randwire.statistics.power import MAX_REPLICATES, POWER, SampleSize


def power(section: Section, facts: StudyFacts) -> str:
    """How many graphs would tell, and what a confirmation takes; empty where neither can be said."""
    return _graphs(section) + _confirmation(section, facts)


def _graphs(section: Section) -> str:
    asked = questions(section)
    if not asked:
        return ""
    among = f"one of {many(pairs_of_contenders(section), 'pair')}"
    rows = [
        [
            _named(question, section),
            _stds(question),
            test,
            f'<span class="whole">{question.seen:.2f} at n={question.n}</span>',
            *map(_sizes, sizes),
        ]
        for question in asked
        for test, sizes in (("alone", question.alone), (among, question.among))[
            : 1 + (pairs_of_contenders(section) > 1)
        ]
    ]
    what = "variants" if section.of_variants else "settings"
    heads = [what, "std", "test", "found so far", *(f"n for {points:g}" for points in POINTS)]
    own = "the standard deviation is that of their difference on one graph"
    if not section.of_variants:
        own = "each with the standard deviation of its own graphs"
    note = (
        f"n is how many graphs of each would tell a true difference of so many points with a chance of {POWER:.0%}, "
        f"{own}; in brackets, for the ends of the {LEVEL:.0%} interval of these deviations. A test takes at least "
        f"{MIN_REPLICATES} graphs. Found so far: the difference that the present number tells in a test alone. "
        f"{_chosen(section)}{lacking_spread(section)}"
    )
    shown = table(heads, rows, text=("test",), kind="sizes")
    return panel("How many graphs would tell", shown, note.strip())


def _confirmation(section: Section, facts: StudyFacts) -> str:
    proposed = proposal(section, facts)
    if proposed is None:
        return ""
    content = f"<p><code>{escape(proposed.command)}</code></p><p>{escape(proposal_text(proposed, section))}</p>"
    note = (
        "Fresh seeds have had no part in choosing: what they tell of the best is not biased by its luck. With other "
        "--seeds the cost is in proportion; --workers says how many processes train a network."
    )
    return panel("A confirmation on fresh seeds", content, note)


def _named(question: Question, section: Section) -> str:
    if section.of_variants:
        return " and ".join(f'<span class="whole">{escape(name)}</span>' for name in question.names)
    shown = (f"{dot(section.group.generator(name))}{escape(name)}" for name in question.names)
    return " and ".join(f'<span class="whole">{name}</span>' for name in shown)


def _chosen(section: Section) -> str:
    """Which pairs are asked about, where those are not all."""
    if section.of_variants or len(contenders(section)) <= MAX_CONTENDERS:
        return ""
    return "Asked about is the best setting against each other one. "


def _stds(question: Question) -> str:
    return f'<span class="whole">{" and ".join(f"{std:.2f}" for std in question.stds)}</span>'


def _sizes(sizes: SampleSize) -> str:
    """The number of graphs, in brackets for the ends of the interval of the variances."""
    n, low, high = (f"{size:,}" if size < MAX_REPLICATES else f"> {MAX_REPLICATES:,}" for size in sizes)
    return f'{n} <span class="whole">({low} to {high})</span>' if low != high else n
