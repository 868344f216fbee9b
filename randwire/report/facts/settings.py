"""Which settings of a fixed design are separated, in sentences; or why none is tested."""

from randwire.pages.text import first_of, many
from randwire.report.facts.study import Section
from randwire.statistics.describe import describe
from randwire.statistics.pairs import MIN_REPLICATES, Pair, testable
from randwire.study.groups import TrialGroup
from randwire.study.results import mean

UNTESTED = {
    "search": "A search chooses what it looks at, and the best of many looks better than it is: a p value would not "
    "mean what it says. Read it as a search: it finds settings worth a fixed grid (--search grid) or a confirmation on "
    "fresh seeds (--confirm), which are tested.",
    "longer": "An earlier study chose these settings and their graphs by their results, and a test of them on the same "
    "graphs would not mean what it says; a confirmation on fresh seeds (--confirm) is tested.",
    "unknown": "It is not known how these settings were chosen (no study.json), and a test of settings that were "
    "chosen by their results would not mean what it says.",
    "outside": "These settings are not of the fixed design that this study is; something else chose them.",
}
MAX_NAMED = 30
"""Settings that a sentence names one by one: all that the paper's grid has."""
STOPPED = "Early stopping was on: what is left was chosen by its results, and a test would not mean what it says."


def why_untested(budget: TrialGroup) -> str:
    """Why settings are not tested against each other; empty if they are."""
    return "" if budget.tested else UNTESTED.get(budget.origin, STOPPED)


def lacking(budget: TrialGroup) -> str:
    """The settings that cannot be tested, in a sentence; empty if all can."""
    names = [f"{name} (n={len(values)})" for name, values in budget.values.items() if not testable(values)]
    named = first_of(names, MAX_NAMED)
    return f"Not tested, with fewer than {MIN_REPLICATES} graphs or no spread: {named}." if names else ""


def best_pairs(section: Section) -> list[Pair]:
    """The setting with the highest mean, first in each pair, and each other tested setting, from the best down."""
    best = section.pairs[0].names[0]
    return [pair for pair in section.pairs if pair.names[0] == best]


def summary(section: Section) -> str:
    """From how many settings the best is separated, and from which it is not."""
    against = best_pairs(section)
    best = against[0].names[0]
    top1 = describe(section.group.values[best])
    near = [pair.names[1] for pair in against if not pair.separated]
    others, apart = many(len(against), "other tested setting"), len(against) - len(near)
    text = f"{best} has the highest mean, {top1.mean:.2f}% (n={top1.n}). It is "
    text += f"separated from {apart} of the {others}" if apart else f"not separated from any of the {others}"
    text += f", and not from {first_of(near, MAX_NAMED)}." if near and apart else "."
    if not section.group.holdout:
        return text
    chosen = max(section.group.choosing, key=lambda name: mean(section.group.choosing[name]))
    return f"{text} By the images that choose, {chosen} is the best: {mean(section.group.values[chosen]):.2f}% here."
