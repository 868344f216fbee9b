"""The level of tests that are looked at again: exact for known spreads, and a bound for the tests of a report."""

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats
from simulated import error

from randwire.statistics.intervals import Numbers
from randwire.statistics.looks import any_rejection, level
from randwire.statistics.pairs import ALPHA, welch_pairs


@pytest.mark.parametrize(
    ("looks", "published"), [(1, 0.05), (2, 0.083), (3, 0.107), (4, 0.126), (5, 0.142), (10, 0.193), (20, 0.248)]
)
def test_looks_at_equal_steps_are_those_of_the_literature(looks: int, published: float) -> None:
    """Table 2 of Armitage, McPherson and Rowe (1969), repeated in most books on sequential trials."""
    assert any_rejection([(k, 0.05) for k in range(1, looks + 1)]) == pytest.approx(published, abs=5.1e-4)


@pytest.mark.parametrize(
    "looks", [[(3, 0.05), (5, 0.01)], [(1, 1e-4), (1.5, 1e-4), (9, 2e-4)], [(50, 0.05), (51, 0.05)]]
)
def test_looks_are_correlated_normals(looks: list[tuple[float, float]]) -> None:
    information = np.array([look[0] for look in looks])
    correlation = np.sqrt(np.minimum.outer(information, information) / np.maximum.outer(information, information))
    bounds = stats.norm.isf(np.array([look[1] for look in looks]) / 2)
    normal = stats.multivariate_normal(cov=correlation, abseps=1e-9, releps=1e-9, maxpts=10**6)
    assert any_rejection(looks) == pytest.approx(1 - normal.cdf(bounds, lower_limit=-bounds), rel=2e-3, abs=1e-7)


def test_one_look_is_at_the_level_of_its_correction() -> None:
    assert level([{"a": 3, "b": 3}]) == pytest.approx(ALPHA)
    assert level([dict.fromkeys(map(str, range(29)), 5)]) == pytest.approx(ALPHA)
    assert level([]) == 0


def test_settings_that_come_later_add_their_tests() -> None:
    """One pair at 0.05 and, of three, the two new ones at a third of it: the first look was the least strict one."""
    assert level([{"a": 5, "b": 5}, {"a": 5, "b": 5, "c": 5}]) == pytest.approx(ALPHA * (1 + 2 / 3))
    both = level([{"a": 5, "b": 5}, {"a": 5, "b": 5, "c": 5}, {"a": 9, "b": 9, "c": 5}])
    assert both > ALPHA * (1 + 2 / 3)
    apart = level([{"a": 5, "b": 5}, {"c": 5, "d": 5}])
    assert apart == pytest.approx(2 * ALPHA), "nothing in common"


def test_looks_at_less_or_the_same_change_nothing() -> None:
    once, grown = {"a": 4, "b": 6}, {"a": 8, "b": 8}
    assert level([once, once]) == pytest.approx(level([once]))
    assert level([once, grown, once]) == pytest.approx(level([once, grown]))


def test_it_bounds_one_test_of_those_that_grew_most() -> None:
    """Two of six settings get further graphs, and a question of its own asks about these two alone."""
    names = "abcdef"
    stated = level([{**dict.fromkeys(names, 3), "a": n, "b": n} for n in (3, 5, 10, 20)])
    assert stated >= level([{"a": n, "b": n} for n in (3, 5, 10, 20)]) > 3 * ALPHA


def test_the_level_of_many_looks_is_at_most_one() -> None:
    names = [str(k) for k in range(29)]
    grown = [dict.fromkeys(names[: k + 2], n) for n in range(3, 6) for k in range(0, 28, 3)]
    assert ALPHA < level(grown) <= 1
    assert level([dict.fromkeys(names, n) for n in range(3, 200)]) == 1


def _rejects(values: Numbers, looks: Sequence[int]) -> Numbers:
    """Whether Welch's test with Holm's correction finds any difference, by look and repetition."""
    found = []
    for n in looks:
        seen = values[..., :n]
        _, adjusted = welch_pairs(seen.mean(-1), seen.std(-1, ddof=1), np.array(n))
        found.append((adjusted <= ALPHA).any(-1))
    return np.array(found)


SIMULATED = {
    "3 alike": (np.ones(3), (3, 5, 10), 20_000, 1.6),
    "3 unequal": (np.linspace(0.1, 0.8, 3), (3, 5, 10), 20_000, 1.3),
    "3 unequal, looked at twice": (np.linspace(0.1, 0.8, 3), (3, 4), 20_000, 1.15),
    "3 at every n": (np.ones(3), tuple(range(3, 11)), 10_000, 1.8),
    "29 alike": (np.ones(29), (3, 5, 10), 2_500, 3.0),
    "29 unequal": (np.linspace(0.1, 0.8, 29), (3, 5, 10), 2_500, 2.3),
}


@pytest.mark.parametrize("name", SIMULATED)
def test_the_stated_level_bounds_that_of_welchs_tests(name: str) -> None:
    """Settings are equal: each difference that is found is false."""
    stds, looks, count, above = SIMULATED[name]
    values = np.random.default_rng(len(stds)).normal(0, stds[:, None], (count, len(stds), max(looks)))
    rejects = _rejects(values, looks)
    measured = float(rejects.any(0).mean())
    assert max(rejects.mean(1)) <= ALPHA + error(ALPHA, count), "each look by itself is held"
    assert measured > ALPHA, "and all of them are not"
    stated = level([dict.fromkeys(map(str, range(len(stds))), n) for n in looks])
    assert measured <= stated + error(stated, count)
    assert stated <= above * measured


@pytest.mark.parametrize("looks", [(3, 5, 10), (3, 4), (5, 10, 20), tuple(range(3, 11))])
def test_it_bounds_that_of_paired_tests_closely(looks: tuple[int, ...]) -> None:
    """Two variants, whose test is Student's of their differences."""
    count = 40_000
    values = np.random.default_rng(len(looks)).normal(size=(count, max(looks)))
    rejects = [stats.ttest_1samp(values[:, :n], 0, axis=1).pvalue <= ALPHA for n in looks]
    measured = float(np.any(rejects, axis=0).mean())
    stated = level([{"conv": n, "sepconv": n} for n in looks])
    assert measured <= stated + error(stated, count)
    assert stated <= 1.1 * measured
    known = any_rejection([(n, ALPHA) for n in looks])
    assert known < measured, "the looks' correlation of known spreads states too little"


def test_looking_at_every_n_makes_four_times_as_many_false_differences() -> None:
    """Three equal settings, looked at from 5 graphs to 20: what a look by itself holds at 0.037 is 0.16 in all."""
    count, looks = 6_000, tuple(range(5, 21))
    values = np.random.default_rng(0).normal(size=(count, 3, max(looks)))
    rejects = _rejects(values, looks)
    assert float(rejects[0].mean()) == pytest.approx(0.037, abs=error(0.037, count))
    assert float(rejects.any(0).mean()) == pytest.approx(0.163, abs=error(0.163, count))
    stated = level([dict.fromkeys("abc", n) for n in looks])
    assert 0.163 < stated < 0.25
