"""Which design of a study finds the paper's differences, and at which cost?

python -m benchmarks.designs [--repetitions 10000] [--json FILE]

Nothing is trained. The truth is the paper's Figure 4 as `benchmarks.search.landscape` has it: the means of its 29
settings, and normal noise with its standard deviations. Tests are those of the report: Welch's, with Holm's correction
over all pairs that a study tests. Differences are also shrunk, for the best of 29 printed means is in part luck.

    power         how often the study finds that WS(4,0.75) is above ER(0.2), and above BA(5), the best of their
                  generators; where it looks for these itself, that the one of WS that it confirms is above that of ER
    false         how often it separates any pair where all means are equal, with the standard deviations of the figure
    wrong sign    how often it separates any pair the wrong way round (type S)

A race is that of `--search race`: one graph first, and twice as many for the better half, until two are left. What is
confirmed are, as by `--confirm`, the best of each generator, by graphs and then by mean, on fresh graphs.
"""

import argparse
import json
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from benchmarks.search.landscape import FIGURE_4, RUN_STD
from benchmarks.table import print_table
from randwire import data
from randwire.config import load
from randwire.statistics.intervals import Interval
from randwire.statistics.pairs import ALPHA, pairs_of, welch_pairs
from randwire.study.race import Round

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]

IMAGES_PER_S = 2_500
"""Of one GPU: assumed."""
SCALES = (1.0, 0.7, 0.5)
"""Parts of Figure 4's differences that are true."""
ROUND = 1e6
"""By which the rank of a setting rises with each round of a race: more than any top-1."""
CHUNK = 1_000
"""Studies that are simulated at once."""
SETTINGS = [
    (curve[0], (*curve[1:], at), mean, RUN_STD if std is None else std)
    for curve, points in FIGURE_4.items()
    for at, (mean, std) in points.items()
]
"""Generator, parameters, mean and standard deviation. Without a standard deviation there is one graph."""
FAMILIES = np.array([name for name, *_ in SETTINGS])
MEANS, STDS = (np.array([setting[column] for setting in SETTINGS]) for column in (2, 3))
BEST = tuple(
    next(k for k, (name, values, *_) in enumerate(SETTINGS) if (name, values) == best)
    for best in (("ws", (4, 0.75)), ("er", (0.2,)), ("ba", (5,)))
)
"""The best setting of WS, ER and BA."""


class Tested(NamedTuple):
    """What studies have tested, a row for each: settings, their means and the corrected p of all their pairs."""

    settings: Integers
    means: Floats
    adjusted: Floats


@dataclass(frozen=True)
class Design:
    """A design: `best` are the places, among what it tests, of its best setting of WS, ER and BA."""

    name: str
    trainings: int
    run: Callable[[np.random.Generator, Floats, int], Tested]
    best: tuple[int, ...] = (0, 1, 2)

    @property
    def gpu_hours(self) -> float:
        return self.trainings * hours_of_training()


def hours_of_training() -> float:
    """GPU-hours of a training of `small-100` on ImageNet."""
    base = load("small-100")
    return base.data.cost_of_epochs(base.train.epochs) * data.train_images(base.data) / IMAGES_PER_S / 3600


def draw(random: np.random.Generator, means: Floats, settings: Integers, n: int) -> Floats:
    """Top-1 of n graphs of each setting: the last axis is that of the graphs."""
    return means[settings, None] + STDS[settings, None] * random.normal(size=(*settings.shape, n))


def compared(random: np.random.Generator, means: Floats, settings: Integers, n: int) -> Tested:
    """The tests of n graphs of each setting."""
    top1 = draw(random, means, settings, n)
    mean = top1.mean(axis=-1)
    return Tested(settings, mean, welch_pairs(mean, top1.std(axis=-1, ddof=1), np.array(n))[1])


def fixed(chosen: tuple[int, ...], n: int) -> Callable[[np.random.Generator, Floats, int], Tested]:
    """Settings fixed beforehand, with n graphs each."""
    return lambda random, means, studies: compared(random, means, np.tile(chosen, (studies, 1)), n)


def confirmed(
    search: Callable[[Floats], Floats], graphs: int, n: int
) -> Callable[[np.random.Generator, Floats, int], Tested]:
    """The best of each generator by the ranks that a search gives to all settings, with n fresh graphs each."""

    def run(random: np.random.Generator, means: Floats, studies: int) -> Tested:
        everything = np.tile(np.arange(len(SETTINGS)), (studies, 1))
        ranks = search(draw(random, means, everything, graphs))
        order = (np.where(name == FAMILIES, ranks, -np.inf).argmax(axis=1) for name in ("ws", "er", "ba"))
        return compared(random, means, np.stack(list(order), axis=1), n)

    return run


def grid(top1: Floats) -> Floats:
    """A grid ranks by the mean of all graphs."""
    return np.asarray(top1.mean(axis=-1))


def rounds() -> list[tuple[int, int]]:
    """The rounds of a race: how many settings, with how many graphs each by its end."""
    first = Round(1, tuple(map(str, range(len(SETTINGS)))), 1, {})
    return [(len(first.specs), first.seeds), *first.ahead]


def race(top1: Floats) -> Floats:
    """A race ranks by the round that a setting was in last, and then by its mean there."""
    ranks = np.full(top1.shape[:2], -np.inf)
    for number, (settings, graphs) in enumerate(rounds()):
        entered = np.argsort(np.argsort(-ranks, axis=1, kind="stable"), axis=1) < settings
        ranks = np.where(entered, ROUND * number + top1[..., :graphs].mean(axis=-1), ranks)
    return ranks


def designs() -> list[Design]:
    every = tuple(range(len(SETTINGS)))
    steps = rounds()
    raced = sum(
        settings * (n - before) for (settings, n), before in zip(steps, [0, *(n for _, n in steps[:-1])], strict=True)
    )
    most = steps[-1][1]
    return [
        *(Design(f"grid of 29, n = {n}, all pairs", 29 * n, fixed(every, n), BEST) for n in (5, 3)),
        *(Design(f"three fixed beforehand, n = {n}", 3 * n, fixed(BEST, n)) for n in (10, 20)),
        *(Design(f"grid, n = 3; winners, n = {n}", 87 + 3 * n, confirmed(grid, 3, n)) for n in (10, 20)),
        *(Design(f"race; winners, n = {n}", raced + 3 * n, confirmed(race, most, n)) for n in (10, 20)),
    ]


@dataclass(frozen=True)
class Outcome:
    """In how many of n simulated studies of a design a thing was found."""

    design: str
    trainings: int
    gpu_hours: float
    scale: float
    """Of the differences; 0: all means are equal."""
    n: int
    above_er: int
    above_ba: int
    any: int
    """Any pair separated."""
    wrong: int
    """Any pair separated the wrong way round."""


def simulate(design: Design, scale: float, repetitions: int, seed: int) -> Outcome:
    """Studies of a design; the same seed gives the same ones."""
    random = np.random.default_rng([seed, round(100 * scale)])
    means = MEANS.max() + scale * (MEANS - MEANS.max())
    counts = np.zeros(4, dtype=int)
    for start in range(0, repetitions, CHUNK):
        tested = design.run(random, means, min(CHUNK, repetitions - start))
        one, two = pairs_of(tested.settings.shape[1])
        separated = tested.adjusted <= ALPHA
        sign = np.sign(tested.means[:, one] - tested.means[:, two])
        true = means[tested.settings[:, one]] - means[tested.settings[:, two]]
        ws, er, ba = design.best
        for place, other in enumerate((er, ba)):
            pair = np.flatnonzero((one == min(ws, other)) & (two == max(ws, other)))[0]
            up = 1 if ws < other else -1
            counts[place] += (separated[:, pair] & (sign[:, pair] == up)).sum()
        counts[2] += separated.any(axis=1).sum()
        counts[3] += (separated & (sign * true < 0)).any(axis=1).sum()
    return Outcome(design.name, design.trainings, design.gpu_hours, scale, repetitions, *map(int, counts))


def interval(count: int, n: int) -> Interval:
    """Wilson's 95 % interval of a rate."""
    low, high = binomtest(count, n).proportion_ci(method="wilson")
    return Interval(float(low), float(high))


def show(outcomes: list[Outcome]) -> None:
    """Print the tables."""
    studies = outcomes[0].n
    print(f"n = {studies:,} simulated studies of each design; in brackets 95 % intervals of the simulation")
    print(f"a training: {hours_of_training():.1f} GPU-hours (small-100 at an assumed {IMAGES_PER_S:,} images/s)\n")
    null = {one.design: one for one in outcomes if one.scale == 0}
    rows = [[one.design, str(one.trainings), f"{one.gpu_hours:,.0f}", _shown(one.any, one.n)] for one in null.values()]
    print_table([["design", "trainings", "GPU-hours", "false, all means equal"], *rows])
    rows = [["design", "differences", "above ER", "above BA", "wrong sign"]]
    for one in outcomes:
        if one.scale:
            cells = (_shown(count, one.n) for count in (one.above_er, one.above_ba, one.wrong))
            rows.append([one.design, f"{one.scale:.0%}", *cells])
    print_table(rows)


def _shown(count: int, n: int) -> str:
    low, high = (100 * end for end in interval(count, n))
    return f"{100 * count / n:.1f} % ({low:.1f} to {high:.1f})"


def report(outcomes: list[Outcome], seed: int) -> dict[str, Any]:
    """All of it as JSON."""
    names = ("above_er", "above_ba", "any", "wrong")
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in ("numpy", "scipy")}},
        "seed": seed,
        "alpha": ALPHA,
        "images_per_s": IMAGES_PER_S,
        "designs": [
            {**asdict(one), "intervals": {name: interval(getattr(one, name), one.n) for name in names}}
            for one in outcomes
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--repetitions", type=int, default=10_000, help="simulated studies of each design [%(default)s]"
    )
    parser.add_argument("--seed", type=int, default=0, help="another one gives other repetitions [%(default)s]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured there")
    arguments = parser.parse_args()
    if arguments.repetitions < 1 or arguments.seed < 0:
        parser.error("--repetitions must be at least 1, --seed 0")
    outcomes = [
        simulate(design, scale, arguments.repetitions, arguments.seed)
        for design in designs()
        for scale in (0.0, *SCALES)
    ]
    show(outcomes)
    if arguments.json:
        arguments.json.write_text(json.dumps(report(outcomes, arguments.seed), indent=1) + "\n")


if __name__ == "__main__":
    main()
