"""The answer of a study, in a few sentences: what its page and its W&B report open with."""

from __future__ import annotations

from collections.abc import Sequence

from randwire.pages.text import first_of, many, p_text
from randwire.report.facts import race
from randwire.report.facts.confirmed import confirmation_of
from randwire.report.facts.families import Family, excluded
from randwire.report.facts.leaders import Leader, unfinished
from randwire.report.facts.leading import leading
from randwire.report.facts.looks import looks_text
from randwire.report.facts.paired import Paired
from randwire.report.facts.settings import best_pairs, why_untested
from randwire.report.facts.study import Section, StudyFacts
from randwire.report.facts.warnings import warnings
from randwire.statistics.pairs import MIN_REPLICATES, Pair, testable
from randwire.study.results import mean

NONE_FINISHED = "No answer yet: no setting has finished all trials that were begun of it."
MAX_NAMED = 4
"""Settings that a sentence names one by one."""


def answer(facts: StudyFacts) -> list[str]:
    """What came out, and how sure that is, in a sentence each; what is missing where nothing has come out."""
    if not facts.counted:
        return [f"No answer yet: no trial has finished ({facts.statuses})."]
    section = facts.sections[0]
    if section.group.origin == "outside" or not section.group.counted:
        return ["No answer yet: no trial of the study's design has finished."]
    if section.variants is not None:
        told = _of_variants(section, section.variants)
    elif section.rounds:
        told = _of_race(section)
    elif section.group.tested:
        told = _of_settings(facts, section)
    else:
        told = _of_search(section)
    return [*told, *filter(None, [looks_text(facts)]), *_reservations(facts)]


def _of_settings(facts: StudyFacts, section: Section) -> list[str]:
    """The best setting of each generator, and what the tests say of them."""
    leaders = section.leaders
    if not leaders:
        return [NONE_FINISHED]
    told = [f"{_headline(facts, section)}: {_named(leaders)}."]
    by_key = {family.key: family for family in section.families}
    if "generators" in by_key:
        told.append(_separated(by_key["generators"], leaders))
    elif section.pairs and not by_key:
        told += _of_pairs(section)
    told += [_hand_made(by_key["hand_made"])] if "hand_made" in by_key else []
    told += [_randomness(by_key["randomness"])] if "randomness" in by_key else []
    return [*told, *_untested(section), *unfinished(section.group, section.ranking, section.design, MAX_NAMED)]


def _headline(facts: StudyFacts, section: Section) -> str:
    """What the leaders are, and over how many graphs."""
    leaders = section.leaders
    counts = sorted({leader.ranked.n for leader in leaders})
    n = f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"
    test = bool(section.group.holdout)  # of other images than those that chose
    confirmation = confirmation_of(facts.design)
    several = any(leader.of > 1 for leader in leaders)
    best = "Best setting" + " of each generator" * (len(leaders) > 1)
    if confirmation is None:
        if not several:
            return f"{'Test top-1' if test else 'Top-1'} ({n})"
        return f"{best}{', test top-1' * test} ({n})"
    if several:  # these results chose among those that were confirmed
        chosen = (
            f"the {many(len(section.ranking), 'setting')} of {confirmation.study} that are confirmed on fresh seeds"
        )
        return f"{best} among {chosen} ({n})"
    return f"{best} in {confirmation.study}, confirmed on fresh seeds ({n})"


def _named(leaders: Sequence[Leader]) -> str:
    """The leaders with their means, as they are told."""
    return first_of([f"{leader.setting} {mean(leader.values):.2f}%" for leader in leaders], 2 * MAX_NAMED)


def _separated(family: Family, leaders: Sequence[Leader]) -> str:
    """Which pairs of the best settings of generators are separated, and which difference is excluded."""
    asked = {name for pair in family.pairs for name in pair.names}
    beside = any(leader.setting not in asked for leader in leaders)  # networks made by hand are another question
    apart = [pair for pair in family.pairs if pair.separated]
    rest = len(family.pairs) - len(apart)
    if len(family.pairs) == 1 and rest:
        pair = " and ".join(family.pairs[0].names) if beside else "They"
        return f"{pair} are not separated; a difference above {family.excluded:.2f} points is excluded."
    if not apart:
        of = f" of {_names([one.setting for one in leaders if one.setting in asked])}" if beside else ""
        return f"No two{of} are separated; a difference above {family.excluded:.2f} points between any two is excluded."
    others = f" {many(rest, 'other pair').capitalize()} {'is' if rest == 1 else 'are'} not separated." if rest else ""
    return f"{_listed(apart)}.{others}"


def _of_pairs(section: Section) -> list[str]:
    """The best against all others, where there is no other question."""
    against = best_pairs(section)
    apart = [pair for pair in against if pair.separated]
    near = [pair.names[1] for pair in against if not pair.separated]
    told = [f"{_listed(apart)}."] * bool(apart)
    return told + [f"{against[0].names[0]} is not separated from {_names(near)}{_limit(section.pairs)}."] * bool(near)


def _listed(apart: Sequence[Pair]) -> str:
    shown = "; ".join(
        f"{pair.names[0]} is {pair.difference:.2f} points above {pair.names[1]} (corrected p {p_text(pair.adjusted)})"
        for pair in apart[:MAX_NAMED]
    )
    return shown + (f"; {len(apart) - MAX_NAMED} more pairs are separated" if len(apart) > MAX_NAMED else "")


def _hand_made(family: Family) -> str:
    """How the networks made by hand compare with the best random setting."""
    sides: dict[str, list[str]] = {"above": [], "below": [], "not separated from": []}
    for pair in family.pairs:
        other = next(name for name in pair.names if name != family.against)
        where = "not separated from" if not pair.separated else "above" if pair.names[0] == other else "below"
        sides[where].append(other)
    parts = [
        f"{_names(names)} {'is' if len(names) == 1 else 'are'} {where} it" for where, names in sides.items() if names
    ]
    return f"Of the networks made by hand, against {family.against}: {'; '.join(parts)}."


def _randomness(family: Family) -> str:
    """Whether the rewired ring is above the ring itself."""
    apart = [pair for pair in family.pairs if pair.separated]
    if not apart:
        ring = "The ring is not" if len(family.pairs) == 1 else "No ring is"
        return f"{ring} separated from its random rewirings ({many(len(family.pairs), 'test')})."
    rest = len(family.pairs) - len(apart)
    return f"Rewired at random or not: {_listed(apart)}{f'; {rest} not separated' * bool(rest)}."


def _names(names: Sequence[str]) -> str:
    return first_of(names, MAX_NAMED)


def _untested(section: Section) -> list[str]:
    """The leaders that cannot be tested, and why."""
    values = section.group.values
    names = [one.setting for one in section.leaders if not testable(values[one.setting])]
    if not names:
        return []
    return [f"Not tested, with fewer than {MIN_REPLICATES} graphs or no spread: {_names(names)}."]


def _of_race(section: Section) -> list[str]:
    """How a race stands or has ended; its means are of the images that choose."""
    held = "Its means are those of the images that choose. " * bool(section.group.holdout)
    return [race.sentences(section.rounds)[0], f"{held}Nothing is tested, since a race chooses what it looks at."]


def _of_variants(section: Section, paired: Paired) -> list[str]:
    """The best variant, and which are separated from it; the means are those of the table that leads."""
    shown, best = leading(section).rows, paired.best
    if not shown:
        return ["No answer yet: no graph has been trained with all variants."]
    ordered = sorted(shown, key=lambda row: -row.top1.mean)
    means = ", ".join(f"{row.name} {row.top1.mean:.2f}%" for row in ordered[: 2 * MAX_NAMED])
    where = "On the same graphs" if paired.same_graphs else "On graphs of the same seeds"
    told = [f"{where} (n = {shown[0].top1.n}): {means}."]
    against = [pair for pair in paired.pairs if best in pair.names]
    if not against:
        return [*told, "Nothing can be tested yet: fewer than three graphs that two variants share, or no spread."]
    apart = [pair for pair in against if pair.separated]
    near = [name for pair in against if not pair.separated for name in pair.names if name != best]
    apart += [pair for pair in paired.pairs if pair.separated and best not in pair.names]
    if apart:
        told.append(f"{_listed(apart)}.")
    if near:
        told.append(f"{best} is not separated from {_names(near)}{_limit(paired.pairs)}.")
    tested = {name for pair in against for name in pair.names}
    lacking = [name for name in paired.cells if name not in tested]
    if lacking:
        told.append(f"Not tested against {best}, with fewer than three graphs or no spread: {_names(lacking)}.")
    return told


def _limit(pairs: Sequence[Pair]) -> str:
    """Which difference is excluded between any two of these; empty if some are separated, and the bound is theirs."""
    bound = None if any(pair.separated for pair in pairs) else excluded(pairs)
    between = " between any two" * (len(pairs) > 1)
    return "" if bound is None else f"; a difference above {bound:.2f} points{between} is excluded"


def _of_search(section: Section) -> list[str]:
    """What a search recommends, or what is best where nothing else may be tested."""
    if not section.ranking:
        return [NONE_FINISHED]
    first, group = section.ranking[0], section.group
    raced = (section.design or {}).get("search") == "race"  # whose rounds cannot be told
    what = "is recommended" if first.smooth else "leads the race" if raced else "has the highest mean"
    # A fitted value is of the images that choose, and so is the mean beside it.
    held = " on the images that choose" * bool(group.holdout)
    fitted = first.fitted
    expected = "" if fitted is None else f"; to be expected, with the luck of the best taken off: {fitted:.2f}%"
    told = [
        f"Of {many(len(section.ranking), 'setting')} that have finished, {first.setting} {what}: "
        f"{first.mean:.2f}%{held} over n = {first.n}{expected}."
    ]
    if len(section.leaders) > 1 or group.holdout:
        best = "Best setting of each generator" if len(section.leaders) > 1 else "The same"
        told.append(f"{best}{', with test top-1' * bool(group.holdout)}: {_named(section.leaders)}.")
    if group.origin != "search" or group.early_stopping:
        return [*told, f"Nothing is tested. {why_untested(group)}"]
    return [*told, "Nothing is tested, since a search chooses what it looks at: confirm the best on fresh seeds."]


def _reservations(facts: StudyFacts) -> list[str]:
    """How many warnings there are: a reader must know of them before believing any of this."""
    count, budgets = len(warnings(facts)), sum(group.origin != "outside" for group in facts.groups)
    told = [f"All of this is of one budget of {budgets}, that of most trials."] * (budgets > 1)
    if count:
        told.append(f"There {'is' if count == 1 else 'are'} {many(count, 'warning')}: see Is anything wrong?")
    return told
