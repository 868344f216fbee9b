"""Shrunken means: exact where the formula is, and without the luck of the best where the truth is planted."""

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.search.choices import GRID
from benchmarks.search.landscape import RUN_STD, truth
from randwire.statistics.intervals import Numbers
from randwire.statistics.shrunken import shrunken, variances_of_means, winsorised

FIGURE_4 = np.array([truth(spec)[0] for spec in GRID])
STDS = np.array([np.hypot(truth(spec)[1], RUN_STD) for spec in GRID])


def test_equal_noise_takes_off_its_share_of_the_variance() -> None:
    means = [70.0, 71.0, 72.0, 73.0, 74.0]  # their variance is 2.5
    expected = [72 + (1 - 0.5 / 2.5) * (mean - 72) for mean in means]
    assert shrunken(means, np.full(5, 0.5)) == pytest.approx(expected)


def test_what_is_measured_worse_is_drawn_further() -> None:
    found = shrunken([70.0, 74.0, 70.0, 74.0], [0.1, 0.1, 2.0, 2.0])
    assert found is not None
    assert 70 < found[0] < found[2] < found[3] < found[1] < 74


def test_means_without_noise_stay_and_means_without_a_difference_become_one() -> None:
    means = [70.0, 71.0, 73.0, 70.5]
    assert shrunken(means, np.zeros(4)) == pytest.approx(means)
    variances = [1.0, 2.0, 4.0, 50.0]
    common = np.average(means, weights=1 / np.array(variances))
    assert shrunken(means, variances) == pytest.approx(np.full(4, common))
    assert shrunken([70.0] * 4, np.zeros(4)) == pytest.approx([70.0] * 4)


def test_few_settings_are_left_alone() -> None:
    assert shrunken([70.0, 71.0, 72.0], [1.0, 1.0, 1.0]) is None


def test_a_setting_that_hardly_trains_stays_and_moves_no_other() -> None:
    rest = [72.0, 72.5, 73.0, 73.2, 72.8, 72.9]
    one, other = (shrunken([low, *rest], np.full(7, 0.1)) for low in (0.0, 50.0))
    assert one is not None
    assert other is not None
    assert (one[0], other[0]) == (0.0, 50.0)
    assert one[1:] == pytest.approx(other[1:])
    assert one[1:] != pytest.approx(rest, abs=0.01)


def test_low_outliers_are_raised_and_high_ones_are_not() -> None:
    means = [70.0, 71.0, 72.0, 73.0, 74.0, 0.0, 99.0]
    deviation = 1 / 0.6744897501960817  # the deviations from 72 are 2, 1, 0, 1, 2, 72 and 27: their median is 2
    assert winsorised(means) == pytest.approx([70, 71, 72, 73, 74, 72 - 3 * 2 * deviation, 99])
    assert winsorised([1.0, 5.0, 5.0, 5.0]) == pytest.approx([1, 5, 5, 5]), "nothing says what is far"


def test_variances_are_between_the_own_one_and_that_of_all() -> None:
    found = variances_of_means([[1.0, 3.0], [1.0, 1.0, 1.0], [7.0]])
    pooled = 2 / 3  # squares of 2 over 1 + 2 degrees of freedom
    assert found == pytest.approx([(4 * pooled + 2) / 5 / 2, 4 * pooled / 6 / 3, pooled])
    assert variances_of_means([[1.0], [2.0]]) is None
    assert variances_of_means([[1.0, 1.0], [2.0, 2.0]]) is None


def test_variances_of_equal_ones_are_right_on_average() -> None:
    drawn = np.random.default_rng(0).normal(70, 0.3, (400, 20, 3))
    found = [variances_of_means(study.tolist()) for study in drawn]
    assert np.mean([one for one in found if one is not None]) == pytest.approx(0.3**2 / 3, rel=0.03)


def _bias(truths: Callable[[np.random.Generator], Numbers], stds: Numbers, n: int) -> tuple[float, float]:
    """How much too high the highest mean of a study is (points, over 600 studies), and the same of its shrunken one."""
    random = np.random.default_rng(n)
    errors = []
    for _ in range(600):
        true = truths(random)
        values = true[:, None] + stds[:, None] * random.normal(size=(len(true), n))
        means, variances = values.mean(axis=1), variances_of_means(values.tolist())
        assert variances is not None
        found, best = shrunken(means.tolist(), variances), int(means.argmax())
        assert found is not None
        errors.append((means[best] - true[best], found[best] - true[best]))
    return tuple(np.mean(errors, axis=0).tolist())


EQUAL = np.full(29, 0.3)


@pytest.mark.parametrize(
    ("truths", "stds", "n", "before", "after"),
    [
        pytest.param(lambda random: random.normal(73, 0.3, 29), EQUAL, 3, 0.13, 0.03, id="normal truths"),
        pytest.param(lambda random: random.normal(73, 0.3, 29), STDS, 3, 0.18, 0.05, id="unequal deviations"),
        pytest.param(lambda _: np.full(29, 73.0), EQUAL, 3, 0.3, 0.08, id="no difference"),
        pytest.param(lambda _: FIGURE_4, STDS, 3, 0.04, 0.035, id="Figure 4"),
    ],
)
def test_the_luck_of_the_best_is_taken_off(
    truths: Callable[[np.random.Generator], Numbers], stds: Numbers, n: int, before: float, after: float
) -> None:
    """Standard errors are up to 0.014 (unequal deviations): the bounds are four of them from what was measured."""
    mean, fitted = _bias(truths, stds, n)
    assert mean > before
    assert abs(fitted) < after
