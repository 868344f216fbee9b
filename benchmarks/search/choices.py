"""How a study chooses its settings, at about the cost of a race: what the choice is worth, and what its mean says.

A study recommends the setting that it ranks first: by its mean, or by the smooth fit over all settings that reports and
confirmations of a search rank by (`randwire.study.winners`). The mean that made it the first is too high, the more so
the more settings were looked at over the fewer graphs; how much too high is its bias, which a fit or shrinkage takes
off. Confirmed are the best setting of each
generator, on fresh graphs: the recommendation is then the best of these by the fresh mean.
"""

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from benchmarks.search.cases import interval
from benchmarks.search.landscape import GENERATORS
from benchmarks.search.simulation import Case, Floats, simulate
from benchmarks.table import print_table
from randwire import graphs
from randwire.statistics.shrunken import shrunken, variances_of_means
from randwire.statistics.smooth import smooth
from randwire.study import race, space
from randwire.study.axes import coordinates
from randwire.study.setting import Setting

CONFIRMED_SEEDS = 10
"""Fresh graphs of each setting that is confirmed."""
FRESH = 1_000
"""The number of the first of these."""
GRID = space.paper(GENERATORS)
CASE = Case("random", 1)
"""The noise of trials is that of the other cases."""


class Ranked(NamedTuple):
    """Settings, best first, with what they are said to have, and what it cost."""

    specs: Sequence[str]
    means: Sequence[float]
    trainings: int


def mean(spec: str, first: int, seeds: int, repetition: int) -> float:
    """The mean top-1 of graphs of a setting."""
    return sum(CASE.top1(spec, number, repetition) for number in range(first, first + seeds)) / seeds


def search(method: str, seeds: int, repetition: int) -> Ranked:
    """A search that starts without hints."""
    assert method in ("random", "tpe")
    tried = simulate(Case("tpe" if method == "tpe" else "random", seeds), repetition, raced().trainings)
    best = sorted(tried, key=lambda one: -one.mean)
    return Ranked([one.spec for one in best], [one.mean for one in best], len(tried) * seeds)


def grid(seeds: int, repetition: int) -> Ranked:
    """The paper's grid."""
    means = {spec: mean(spec, 0, seeds, repetition) for spec in GRID}
    best = sorted(means, key=lambda spec: -means[spec])
    return Ranked(best, [means[spec] for spec in best], len(GRID) * seeds)


def raced(repetition: int = 0, seeds: int = 1) -> Ranked:
    """A race of the paper's grid: settings by their last round, and then by their mean in it."""
    played = list(race.play(GRID, seeds, lambda specs, n: {spec: mean(spec, 0, n, repetition) for spec in specs}))
    last = {spec: one for one in played for spec in one.specs}
    means = {spec: one.means[spec] or 0.0 for spec, one in last.items()}
    best = sorted(GRID, key=lambda spec: (-last[spec].number, -means[spec]))
    return Ranked(best, [means[spec] for spec in best], sum(one.seeds for one in last.values()))


def fitted(study: Callable[[int], Ranked], seeds: int, repetition: int) -> Ranked:
    """A study whose settings are ranked by the smooth fit of their means, where there is one."""
    seen = study(repetition)
    families = [graphs.parse(spec).name() for spec in seen.specs]
    points = coordinates([Setting(spec) for spec in seen.specs], {})
    assert points is not None
    found = smooth(families, points, seen.means, variances_of_means(_values(seen, seeds, repetition)))
    if found is None:
        return seen
    order = np.argsort(-found, kind="stable")
    return Ranked([seen.specs[place] for place in order], found[order].tolist(), seen.trainings)


def drawn_together(study: Callable[[int], Ranked], seeds: int, repetition: int) -> Ranked:
    """A study that ranks by means, and says what is left of them by shrinkage."""
    seen = study(repetition)
    variances = variances_of_means(_values(seen, seeds, repetition))
    found = None if variances is None else shrunken(seen.means, variances)
    return seen if found is None else seen._replace(means=found.tolist())


def _values(ranked: Ranked, seeds: int, repetition: int) -> list[list[float]]:
    return [[CASE.top1(spec, number, repetition) for number in range(seeds)] for spec in ranked.specs]


RANDOM_1, RANDOM_2 = (functools.partial(search, "random", seeds) for seeds in (1, 2))
TPE_2 = functools.partial(search, "tpe", 2)
GRID_3, GRID_5 = (functools.partial(grid, seeds) for seeds in (3, 5))
WAYS: dict[str, Callable[[int], Ranked]] = {
    "random, 1 seed": RANDOM_1,
    "random, 1 seed, smooth fit": functools.partial(fitted, RANDOM_1, 1),
    "random, 2 seeds": RANDOM_2,
    "random, 2 seeds, smooth fit": functools.partial(fitted, RANDOM_2, 2),
    "tpe, 2 seeds": TPE_2,
    "tpe, 2 seeds, smooth fit": functools.partial(fitted, TPE_2, 2),
    "grid of 29, 3 seeds": GRID_3,
    "grid of 29, 3 seeds, smooth fit": functools.partial(fitted, GRID_3, 3),
    "grid of 29, 3 seeds, shrunken means": functools.partial(drawn_together, GRID_3, 3),
    "grid of 29, 5 seeds": GRID_5,
    "grid of 29, 5 seeds, smooth fit": functools.partial(fitted, GRID_5, 5),
    "grid of 29, 5 seeds, shrunken means": functools.partial(drawn_together, GRID_5, 5),
    "race": raced,
}


class Choice(NamedTuple):
    """Of one repetition: regret of what is recommended, and how much its mean is above the truth."""

    trainings: int
    regret: float
    bias: float
    confirmed_trainings: int
    confirmed_regret: float
    confirmed_bias: float


def choose(way: str, repetition: int) -> Choice:
    """A study, and its confirmation."""
    ranked = WAYS[way](repetition)
    winners: dict[str, str] = {}
    for spec in ranked.specs:
        winners.setdefault(graphs.parse(spec).name(), spec)
    fresh = {spec: mean(spec, FRESH, CONFIRMED_SEEDS, repetition) for spec in winners.values()}
    best, confirmed = ranked.specs[0], max(fresh, key=lambda spec: fresh[spec])
    return Choice(
        ranked.trainings,
        CASE.regret(best),
        ranked.means[0] - CASE.expected(best)[0],
        ranked.trainings + CONFIRMED_SEEDS * len(fresh),
        CASE.regret(confirmed),
        fresh[confirmed] - CASE.expected(confirmed)[0],
    )


@dataclass
class Chosen:
    """A way to choose over all repetitions."""

    way: str
    choices: list[Choice]

    def values(self, name: str) -> Floats:
        return np.array([getattr(choice, name) for choice in self.choices])


def measure_choices(repetitions: int, seed: int, processes: int) -> list[Chosen]:
    """All repetitions of all ways; a repetition's numbers depend on the seed and its own number alone."""
    numbers = range(seed * repetitions, (seed + 1) * repetitions)
    with ProcessPoolExecutor(processes) as pool:
        return [
            Chosen(way, list(pool.map(functools.partial(choose, way), numbers, chunksize=4)))
            for way in tqdm(WAYS, desc="choices", disable=None)
        ]


def show_choices(results: Sequence[Chosen]) -> None:
    """Print the table."""
    heads = ["way to choose", "trainings", "regret", "best", "bias", "confirmed", "regret", "best", "bias"]
    rows = []
    for one in results:
        cells = []
        for prefix in ("", "confirmed_"):
            regret, low, high = interval(one.values(f"{prefix}regret"))
            bias = interval(one.values(f"{prefix}bias"))[0]
            cells += [
                f"{one.values(f'{prefix}trainings').mean():.0f}",
                f"{regret:.3f} ({low:.3f} to {high:.3f})",
                f"{np.mean(one.values(f'{prefix}regret') == 0):.0%}",
                f"{bias:+.2f}",
            ]
        rows.append([one.way, *cells])
    print(f"\nchoosing at the cost of a race, and {CONFIRMED_SEEDS} fresh graphs for the best of each generator")
    print_table([heads, *rows])


def report_choices(results: Sequence[Chosen]) -> list[dict[str, Any]]:
    """The means of each way and their 95 % intervals, as JSON."""
    return [{"way": one.way, **{name: interval(one.values(name)) for name in Choice._fields}} for one in results]
