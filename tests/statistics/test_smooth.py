"""The smooth fit: a planted surface is found, and without one nothing is."""

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor

from randwire.statistics import smooth as module
from randwire.statistics.intervals import Numbers
from randwire.statistics.smooth import MAX_FITTED, MIN_FITTED, smooth

FAMILIES = ["ba"] * 15 + ["ws"] * 25
"""One with a parameter, one with two."""
NOISE = 0.3


def _points() -> Numbers:
    one = np.column_stack([np.linspace(0, 1, 15), np.zeros((15, 2))])
    k, p = np.meshgrid(np.linspace(0, 1, 5), np.linspace(0, 1, 5))
    return np.vstack([one, np.column_stack([np.zeros(25), k.ravel(), p.ravel()])])


POINTS = _points()
SURFACE = np.where(np.array(FAMILIES) == "ba", 40 + np.sin(3 * POINTS[:, 0]), 73 + POINTS[:, 1] - POINTS[:, 2] ** 2)
VARIANCES = np.full(40, NOISE**2)


def _measured(study: int) -> Numbers:
    return SURFACE + np.random.default_rng(study).normal(0, NOISE, 40)


def _fit(means: Numbers, variances: Numbers | None = None) -> Numbers:
    found = smooth(FAMILIES, POINTS, means.tolist(), variances)
    assert found is not None
    return found


@pytest.mark.parametrize("variances", [None, VARIANCES], ids=["estimated", "known"])
def test_a_planted_surface_is_found_with_less_noise_and_without_the_luck_of_the_best(
    variances: Numbers | None,
) -> None:
    """Families lie 33 points apart, and that is no difference which a fit would smooth over."""
    errors, lucks = [], []
    for study in range(30):
        means = _measured(study)
        fitted = _fit(means, variances)
        errors.append(np.sqrt(np.mean((fitted - SURFACE) ** 2)))
        highest, best = int(means.argmax()), int(fitted.argmax())
        lucks.append((means[highest] - SURFACE[highest], fitted[best] - SURFACE[best]))
    assert np.mean(errors) < NOISE * 2 / 3
    of_mean, of_fit = np.mean(lucks, axis=0)
    assert of_mean > 0.25
    assert abs(of_fit) < 0.12, "four standard errors of 0.03"


def test_the_same_means_give_the_same_fit_in_any_order_and_unit() -> None:
    means, order = _measured(0), np.random.default_rng(1).permutation(40)
    fitted = _fit(means)
    assert _fit(means).tolist() == fitted.tolist()
    shuffled = smooth([FAMILIES[k] for k in order], POINTS[order], means[order].tolist())
    assert shuffled == pytest.approx(fitted[order], abs=1e-3)
    assert _fit(10 * means + 5) == pytest.approx(10 * fitted + 5, abs=1e-2)


def test_a_setting_that_hardly_trains_does_not_bend_the_surface() -> None:
    """All that is far below the others of its family counts as equally far, and stays what it is."""
    means = _measured(2)
    fits = []
    for low in (0.0, 60.0):
        means[15] = low
        fits.append(_fit(means))
        assert fits[-1][15] == low
    assert fits[0][16:].tolist() == fits[1][16:].tolist()
    assert fits[0][16:] == pytest.approx(SURFACE[16:], abs=3 * NOISE)


def test_a_known_noise_decides_how_far_a_mean_is_believed() -> None:
    means = _measured(3)
    sure = means.copy()
    sure[20] += 2
    exact = np.where(np.arange(40) == 20, 1e-6, VARIANCES)
    assert _fit(sure, exact)[20] == pytest.approx(sure[20], abs=0.05)
    assert _fit(sure, VARIANCES)[20] < sure[20] - 0.5


@pytest.mark.parametrize("variances", [None, VARIANCES], ids=["estimated", "known"])
@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_settings_that_say_nothing_of_each_other_are_not_fitted(variances: Numbers | None, spread: float) -> None:
    """Differences that are all noise, or true, but of no order."""
    fits = []
    for study in range(40):
        random = np.random.default_rng(study)
        means = 73 + spread * random.normal(size=40) + NOISE * random.normal(size=40)
        fits.append(smooth(FAMILIES, POINTS, means.tolist(), variances))
    assert sum(found is not None for found in fits) <= 4


def test_what_cannot_be_fitted_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    means = _measured(0)
    few = MIN_FITTED - 1
    assert smooth(FAMILIES[:few], POINTS[:few], SURFACE[:few].tolist()) is None
    many = MAX_FITTED + 1
    assert smooth(["er"] * many, np.linspace(0, 1, many)[:, None], np.linspace(0, 1, many).tolist()) is None
    assert smooth(FAMILIES, np.zeros((40, 3)), means.tolist()) is None, "no axis"
    assert smooth(FAMILIES, POINTS, [73.0] * 40) is None, "no difference"
    monkeypatch.setattr(GaussianProcessRegressor, "fit", lambda *_: np.linalg.inv(np.zeros((2, 2))))
    assert smooth(FAMILIES, POINTS, means.tolist()) is None


def test_the_likelihood_without_smoothness_is_that_of_independent_values() -> None:
    values = np.array([1.0, -1.0, 2.0, -2.0])
    variance = 2.5
    expected = -(4 * np.log(2 * np.pi * variance) + 4) / 2
    assert module._without(values, np.zeros(4)) == pytest.approx(expected)
    assert module._without(values, np.full(4, 1.5)) == pytest.approx(expected), "it makes up for what is missing"
