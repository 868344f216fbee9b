"""Equivalence: which difference is excluded."""

from collections.abc import Sequence

from randwire.statistics.pairs import Pair


def excluded(pairs: Sequence[Pair]) -> float:
    """The size of a difference that no pair exceeds, as two one-sided tests (TOST) of each at the level ALPHA show.

    It is the farthest end of their intervals of level 1 - 2 ALPHA. No correction is for the number of pairs: the claim
    is about all of them, and false only if the pair that differs most exceeds it (intersection-union). So the pairs
    must not be chosen by their results, such as those that are not separated. Raises ValueError without pairs.
    """
    return max(abs(end) for pair in pairs for end in pair.alone)
