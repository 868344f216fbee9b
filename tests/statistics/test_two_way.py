"""Tables of graphs and images: their arithmetic by hand, and what intervals cover where graphs and images are drawn."""

import math
from collections.abc import Callable
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from randwire.statistics.intervals import Interval, logit_interval
from randwire.statistics.two_way import (
    Estimate,
    Margins,
    difference_of,
    disagreement,
    disagreement_between,
    mean_of,
)

TABLE = np.array([[1, 1, 0, 1, 0], [1, 0, 0, 1, 1], [1, 1, 0, 0, 0]], dtype=bool)
TABLES = 2_000
"""Simulated for each rate; four standard errors of a rate of 0.95 are 0.02."""
Table = np.ndarray[Any, np.dtype[np.float32]]


def test_the_parts_of_a_small_table_are_those_of_its_analysis_of_variance() -> None:
    margins = Margins.of(TABLE)
    assert margins.rows == pytest.approx([0.6, 0.6, 0.4])
    assert margins.columns == pytest.approx([1, 2 / 3, 0, 2 / 3, 1 / 3])
    cells = [{"graph": g, "image": i, "right": float(TABLE[g, i])} for g, i in product(range(3), range(5))]
    squares = anova_lm(ols("right ~ C(graph) + C(image)", pd.DataFrame(cells)).fit())["mean_sq"]
    found = mean_of(margins)
    assert found.value == pytest.approx(8 / 15)
    assert found.graph_error == pytest.approx(math.sqrt(squares["C(graph)"] / 15))
    assert found.image_error == pytest.approx(math.sqrt(squares["C(image)"] / 15))
    assert margins.rest == pytest.approx(squares["Residual"] / 15)


def test_widths_by_hand() -> None:
    found = mean_of(Margins.of(TABLE))
    graphs, images, rest = 0.04 / 9, (1 + 4 / 9 + 4 / 9 + 1 / 9 - 64 / 45) / 4 / 5, Margins.of(TABLE).rest
    new = images - rest
    assert found.graph_half == pytest.approx(stats.t.isf(0.025, 2) * math.sqrt(graphs))
    expected = (stats.t.isf(0.025, 2) * graphs + stats.t.isf(0.025, 4) * new) / math.sqrt(graphs + new)
    assert found.half == pytest.approx(expected)
    assert expected > found.graph_half


def test_a_difference_has_the_graphs_of_both_and_the_images_in_common() -> None:
    rng = np.random.default_rng(0)
    one, two = (  # what is hard for one is not for the other
        (rng.random((graphs, 30)) < np.roll(np.repeat([0.3, 0.9], 15), shift)).astype(float)
        for graphs, shift in ((3, 0), (4, 10))
    )
    margins = Margins.of(one), Margins.of(two)
    found = difference_of(*margins)
    assert found.value == pytest.approx(one.mean() - two.mean())
    samples = one.mean(axis=1), two.mean(axis=1)
    welch = stats.ttest_ind(*samples, equal_var=False)
    assert found.graph_error is not None
    assert found.graph_half is not None
    assert found.graph_error == pytest.approx(found.value / welch.statistic)
    low, high = welch.confidence_interval()
    assert found.graph_half == pytest.approx((high - low) / 2)
    assert found.image_error == pytest.approx(np.std(one.mean(axis=0) - two.mean(axis=0), ddof=1) / math.sqrt(30))
    new = found.image_error**2 - margins[0].rest - margins[1].rest
    weighted = found.graph_half * found.graph_error + new * stats.t.isf(0.025, 29)
    assert found.half == pytest.approx(weighted / math.sqrt(found.graph_error**2 + new))


def test_images_that_are_hard_for_both_cancel_in_a_difference() -> None:
    table = np.tile(np.arange(100) % 5 > 0, (4, 1))
    table[np.arange(4), [0, 5, 10, 15]] = True  # an image more, another one for each graph
    margins = Margins.of(table)
    assert mean_of(margins).image_error > 0.03
    same = difference_of(margins, margins)
    assert (same.value, same.image_error, same.half) == (0, 0, None)


def test_disagreement_is_the_mean_over_all_pairs() -> None:
    pairs = [float(np.mean(TABLE[one] != TABLE[two])) for one, two in combinations(range(3), 2)]
    assert disagreement(Margins.of(TABLE)) == pytest.approx(np.mean(pairs))
    other = ~TABLE[:2]
    crossed = [float(np.mean(one != two)) for one, two in product(TABLE, other)]
    assert disagreement_between(Margins.of(TABLE), Margins.of(other)) == pytest.approx(np.mean(crossed))
    assert disagreement(Margins.of(TABLE[:1])) is None
    assert disagreement(Margins.of(TABLE[[0, 0, 0]])) == pytest.approx(0, abs=1e-12)


def test_networks_of_one_graph_disagree_with_those_of_another_seed_by_seed() -> None:
    seeds = np.random.default_rng(0).random((3, 2, 50)) < 0.8  # graphs, training seeds, images
    across = [
        float(np.mean(one != two)) for g, h in combinations(range(3), 2) for one, two in product(seeds[g], seeds[h])
    ]
    assert disagreement(Margins.of(seeds.mean(axis=1))) == pytest.approx(np.mean(across))


def test_what_too_little_tells_is_none() -> None:
    single = mean_of(Margins.of(TABLE[:1]))
    assert (single.graph_error, single.graph_half, single.half) == (None, None, None)
    assert single.image_error == pytest.approx(math.sqrt(0.24 / 4))
    two = mean_of(Margins.of(TABLE[:2]))
    assert two.graph_error == 0
    assert (two.graph_half, two.half) == (None, None)
    assert difference_of(Margins.of(TABLE), Margins.of(TABLE[:2])).half is None
    alike = mean_of(Margins.of(TABLE[[0, 0, 0]]))
    assert alike.graph_half is None
    assert alike.half == pytest.approx(stats.t.isf(0.025, 4) * alike.image_error)  # the images vary, and only they
    assert mean_of(Margins.of(np.ones((3, 5)))).half is None
    assert mean_of(Margins.of(np.ones((3, 1)))) == Estimate(1, 0, None, None, None)
    with pytest.raises(ValueError, match="without rows"):
        Margins.of([])


def test_an_interval_of_a_share_stays_within_0_and_1() -> None:
    low, high = logit_interval(0.99, 0.02) or Interval(0, 1)
    assert special.logit([low, high]) == pytest.approx(special.logit(0.99) + np.array([-1, 1]) * 0.02 / 0.0099)
    assert 0 < low < 0.97 < 0.995 < high < 1
    assert logit_interval(0.9, None) is None
    assert logit_interval(1.0, 0.01) is None


def test_the_estimated_variance_is_that_planted_in_graphs_images_and_rest() -> None:
    rng = np.random.default_rng(0)
    graphs, images, stds = 4, 50, (0.5, 2.0, 3.0)
    found = []
    for _ in range(TABLES):
        a, b, e = (
            rng.normal(0, std, shape)
            for std, shape in zip(stds, ((graphs, 1), (1, images), (graphs, images)), strict=True)
        )
        margins = Margins.of(a + b + e)
        found.append((margins.rows.var(ddof=1) / graphs, margins.columns.var(ddof=1) / images, margins.rest))
    by_graphs, by_images, rest = np.array(found).T
    one, two, both = 0.25 / graphs, 4 / images, 9 / graphs / images
    for estimates, truth in (
        (by_graphs, one + both),
        (by_images, two + both),
        (rest, both),
        (by_graphs + by_images - rest, one + two + both),
    ):
        assert np.mean(estimates) == pytest.approx(truth, abs=4 * np.std(estimates) / math.sqrt(TABLES))


def networks(top1: float, graph: float, n: int, images: int, seed: int) -> Callable[[], tuple[Table, Table]]:
    """Draws the tables of two settings of equal true top-1: normal effects of n graphs each and of the same images.

    A network gets an image right where its graph, the image (for all, and for the setting) and chance add up to more
    than a threshold. Standard deviations: `graph`, 1.5 and 0.4, and 1.
    """
    rng = np.random.default_rng(seed)
    threshold = stats.norm.isf(top1) * math.sqrt(graph**2 + 1.5**2 + 0.4**2 + 1)

    def normal(*shape: int) -> Table:
        return rng.standard_normal(shape, dtype=np.float32)

    def setting(easy: Table) -> Table:
        score = graph * normal(n, 1) + easy + 0.4 * normal(1, images) + normal(n, images)
        return np.asarray(score > threshold, dtype=np.float32)

    def draw() -> tuple[Table, Table]:
        easy = 1.5 * normal(1, images)
        return setting(easy), setting(easy)

    return draw


def rates(draw: Callable[[], tuple[Table, Table]], top1: float) -> dict[str, float]:
    """How often intervals hold the truth: of a mean, of a difference, and of one graph by graph."""
    held: dict[str, list[bool]] = {}
    for _ in range(TABLES):
        one, two = draw()
        margins = [Margins.of(table) for table in (one, two)]
        mean, difference, paired = mean_of(margins[0]), difference_of(*margins), mean_of(Margins.of(one - two))
        for name, hit in (
            ("mean", _holds(logit_interval(mean.value, mean.half), top1)),
            ("mean, graphs alone", _holds(logit_interval(mean.value, mean.graph_half), top1)),
            ("difference", _near(difference, difference.half)),
            ("difference, graphs alone", _near(difference, difference.graph_half)),
            ("paired", _near(paired, paired.half)),
            ("paired, graphs alone", _near(paired, paired.graph_half)),
        ):
            held.setdefault(name, []).append(hit)
    return {name: float(np.mean(hits)) for name, hits in held.items()}


@pytest.mark.parametrize("images", [360, 2_000])
@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize(("top1", "graph"), [(0.75, 0.1), (0.97, 0.5)], ids=["images decide", "graphs decide"])
def test_intervals_cover_new_graphs_and_new_images(n: int, images: int, top1: float, graph: float) -> None:
    found = rates(networks(top1, graph, n, images, seed=n), top1)
    assert all(0.93 <= found[name] <= 0.98 for name in ("mean", "difference", "paired")), found
    assert found["mean, graphs alone"] < found["mean"], found
    if graph == 0.1:  # the images, which are taken as given, leave more uncertain than the graphs
        highest = {(3, 360): 0.91, (5, 360): 0.83, (10, 360): 0.66, (3, 2_000): 0.95, (5, 2_000): 0.92}
        assert found["mean, graphs alone"] < highest.get((n, images), 0.84), found
    if (
        graph == 0.1 and n == 10 and images == 360
    ):  # also of a difference, for what is hard for one is not for the other
        assert found["difference, graphs alone"] < 0.92, found
        assert found["paired, graphs alone"] < 0.92, found


def test_two_wrong_images_are_too_few_for_an_interval_to_hold_its_rate() -> None:
    found = rates(networks(0.995, 0.1, 10, 360, seed=0), 0.995)
    assert 0.88 < found["mean"] < 0.94, found


def _holds(interval: Interval | None, truth: float) -> bool:
    return interval is not None and interval.low <= truth <= interval.high


def _near(found: Estimate, half: float | None) -> bool:
    return half is not None and abs(found.value) <= half
