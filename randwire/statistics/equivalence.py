"""Equivalence: which difference is excluded."""

from collections.abc import Sequence

from randwire.statistics.pairs import ALPHA, Pair


def excluded(pairs: Sequence[Pair], choices: int = 1) -> float:
    """The smallest size of a difference that, as two one-sided tests (TOST) at the level ALPHA show, no pair exceeds.

    It is the farthest end of the intervals of level 1 - 2 ALPHA. No correction is for the number of pairs: the claim is
    about all of them, and it is false only where the pair that differs most exceeds it (intersection-union test). But
    where results chose which pairs are looked at, `choices` is the number of choices that there were, and ALPHA is
    divided by it. Raises ValueError without pairs.
    """
    ends = [abs(end) for pair in pairs for end in pair.interval_at(1 - 2 * ALPHA / choices)]
    return max(ends)
