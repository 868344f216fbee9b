"""The level of tests that are looked at again while replicates are added."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import combinations

import numpy as np
from scipy import stats

from randwire.statistics.intervals import Numbers
from randwire.statistics.pairs import ALPHA

LOST_REPLICATES = 2
"""Replicates that estimating a standard deviation costs, as far as looks resemble each other.

Looks at tests with a known standard deviation are correlated as the roots of their numbers of replicates; those of
Student's and Welch's test less, as each look estimates it anew. Simulations of both are in the tests.
"""
_NODES_PER_DEVIATION = 2
"""Nodes of the quadrature on a standard deviation of what is added between two looks."""
_MIN_NODES = 128


def level(looks: Sequence[Mapping[str, int]], alpha: float = ALPHA) -> float:
    """The chance of any false difference over all looks at the tests of all pairs, each look corrected by itself.

    A look has the replicates (at least 3) of what it tests, by name: in a look at k names there are m = k (k - 1) / 2
    tests, each at alpha / m, so that one look by itself errs with the chance alpha at most. What is returned is a
    bound: the chances of the pairs (`any_rejection`) are added, and 1 is returned where they are more. Names may be
    added, and their replicates may differ. It also bounds the level of fewer tests with a correction of their own, such
    as one test of the two names that grew most: the tests of a pair at its looks are counted as if all grew like it.

    Measured with Welch's test and Holm's correction for looks at n = 3, 5 and 10, with equal standard deviations and
    with some from 0.1 to 0.8: 0.09 and 0.12 of 3 equal settings (bound: 0.13), 0.06 and 0.08 of 29 (bound: 0.15). With
    Student's test of two variants: 0.12 (bound: 0.12).
    For many pairs the bound is high because it adds up what these have in common. Of two settings alone whose standard
    deviations are as 1 to 8 it is too low by 0.006: Welch's test itself errs with 0.06 there, at n = 3.
    """
    tests = [len(look) * (len(look) - 1) // 2 for look in looks]
    histories = Counter(tuple(look.get(name) for look in looks) for name in {name for look in looks for name in look})
    alike = {(one, one): count * (count - 1) // 2 for one, count in histories.items()}
    differing = {(one, two): histories[one] * histories[two] for one, two in combinations(histories, 2)}
    seen: Counter[tuple[tuple[float, float], ...]] = Counter()
    alone = []
    for (first, second), count in (alike | differing).items():
        seen[_as_seen(first, second, [alpha / max(number, 1) for number in tests])] += count
        present = [number for number, *both in zip(tests, first, second, strict=True) if None not in both]
        if count and present:
            fewest = min(present)
            alone.append(fewest * any_rejection(_as_seen(first, second, [alpha / fewest] * len(looks))))
    return min(1.0, max([sum(count * any_rejection(pair) for pair, count in seen.items() if pair), *alone]))


def any_rejection(looks: Sequence[tuple[float, float]]) -> float:
    """The chance that a two-sided test rejects a true hypothesis at any of its looks.

    Each look has the information in it, in any unit and ascending, and its own level. Statistics of looks are normal,
    and correlated as the root of the ratio of their information, as those of growing samples are. Exact, by recursive
    integration over what is not rejected so far (Armitage, McPherson and Rowe 1969).
    """
    points, density, weights, before = np.zeros(1), np.ones(1), np.ones(1), 0.0
    for information, alpha in looks:
        bound, added = stats.norm.isf(alpha / 2) * np.sqrt(information), np.sqrt(information - before)
        roots, shares = _quadrature(2 * bound / added)
        inner = bound * roots
        density = stats.norm.pdf(np.subtract.outer(inner, points), scale=added) @ (density * weights)
        points, weights, before = inner, bound * shares, information
    return 1 - float(density @ weights)


def _as_seen(
    one: Sequence[int | None], two: Sequence[int | None], alphas: Sequence[float]
) -> tuple[tuple[float, float], ...]:
    """The looks at a pair with these replicates, ascending; of those at one and the same sample the least strict."""
    levels: dict[float, float] = {}
    for first, second, alpha in zip(one, two, alphas, strict=True):
        if first is not None and second is not None:
            information = 2 / (1 / (first - LOST_REPLICATES) + 1 / (second - LOST_REPLICATES))
            levels[information] = max(alpha, levels.get(information, 0.0))
    return tuple(sorted(levels.items()))


def _quadrature(deviations: float) -> tuple[Numbers, Numbers]:
    """Nodes and weights on -1 to 1 that are close enough for so many standard deviations of what a look adds."""
    return _gauss(max(_MIN_NODES, 2 ** math.ceil(math.log2(_NODES_PER_DEVIATION * deviations))))


@cache
def _gauss(nodes: int) -> tuple[Numbers, Numbers]:
    roots, weights = np.polynomial.legendre.leggauss(nodes)
    return roots, weights
