"""Comparisons with chance in them, for tests of distributions.

Such tests use fixed seeds, so they always give the same result. Each comparison is of at least SAMPLES samples and
allows SIGMA standard errors. A file makes fewer than COMPARISONS = 1,500 of them (`counted`), and the tail of a normal
variable beyond SIGMA = 6.5 is FALSE_ALARMS / COMPARISONS = 1e-7 / 1,500 = 7e-11. Means of so many samples are only
nearly normal: a file says what that means for the most skewed ones.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import NormalDist, fmean, pstdev

SAMPLES = 2_000
COMPARISONS = 1_500
FALSE_ALARMS = 1e-7
SIGMA = -NormalDist().inv_cdf(FALSE_ALARMS / COMPARISONS / 2)

_compared: list[float] = []


@contextmanager
def counted() -> Iterator[None]:
    """Counts the comparisons of a file."""
    before = len(_compared)
    yield
    assert len(_compared) - before <= COMPARISONS, "SIGMA is too small for so many comparisons"


def assert_near(observed: float, expected: float, error: float, rounding: float = 0.0) -> None:
    """`observed`, of standard error `error`, is `expected`, which is exact but for `rounding`."""
    _compared.append(observed)
    assert abs(observed - expected) <= SIGMA * error + rounding, f"{observed} is not {expected:.4f} +- {error:.4f}"


def assert_share(hits: int, of: int, share: float, rounding: float = 0.0) -> None:
    """`hits` of `of` is what a probability of `share` gives."""
    assert_near(hits / of, share, math.sqrt(share * (1 - share) / of), rounding)


def assert_mean(values: Sequence[float], mean: float) -> None:
    """The mean of `values` is `mean`; their own deviation tells the error."""
    assert_near(fmean(values), mean, pstdev(values) / math.sqrt(len(values)))


def assert_counts(values: Sequence[int], shares: Sequence[float]) -> None:
    """Mean and variance of `values` are those of a count of independent events that have these probabilities."""
    variances = [share * (1 - share) for share in shares]
    variance, kurtosis = sum(variances), sum(value * (1 - 6 * value) for value in variances)
    assert_near(fmean(values), sum(shares), math.sqrt(variance / len(values)))
    assert_near(pstdev(values) ** 2, variance, math.sqrt((kurtosis + 2 * variance**2) / len(values)))


def assert_alike(ours: Sequence[float], theirs: Sequence[float]) -> None:
    """Two samples have the same mean and the same variance."""
    centre = fmean(theirs)
    for power in (1, 2):
        a, b = ([(value - centre) ** power for value in values] for values in (ours, theirs))
        error = math.sqrt(pstdev(a) ** 2 / len(a) + pstdev(b) ** 2 / len(b))
        assert_near(fmean(a), fmean(b), error)
