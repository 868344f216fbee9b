"""Does TPE find better settings than random search, and are trainings better spent on settings or on seeds?

python -m benchmarks.search [--repetitions 200] [--json FILE] [--figure docs/search.png]

Nothing is trained. The truth is a landscape over the whole search space that passes through the paper's Figure 4; a
simulated training draws its top-1 around it, with the figure's spread. The code that is asked for settings and told
outcomes is the one that a sweep runs: `randwire.study.search.Search`, and `Pruner` for early stopping. One setting is
trained at a time. Cases of one repetition see the same noise, so differences are taken within repetitions.

Regret is how far the truth of the setting that a study would recommend, that of the highest mean, lies below the best
truth of the space, in points of top-1.

    blind       the study has no idea where to begin
    paper       it begins with the paper's best settings, as sweeps do; on this landscape one of them is the optimum
    mirrored    it begins so, but every parameter axis is reversed: data whose optimum lies elsewhere

Early stopping needs curves: the top-1 after an epoch is the final one plus a deviation that walks at random and ends at
zero, with its size set by the rank correlation between the values after the pruner's first look and the final ones over
the space. A common rise over the epochs is left out: successive halving compares trials at one epoch, so it would
change no decision.
"""

import argparse
import functools
import itertools
import json
import math
import platform
import random
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple
from unittest import mock

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq
from scipy.stats import kendalltau, spearmanr
from tqdm import tqdm

from randwire import graphs
from randwire.config import load
from randwire.study import space
from randwire.study.design import Design
from randwire.study.search import Search
from randwire.sweep.actors import Pruner

Floats = NDArray[np.float64]

FIGURE_4: Mapping[tuple[str, *tuple[float, ...]], Mapping[float, tuple[float, float | None]]] = {
    ("er",): {0.2: (73.36, 0.13), 0.4: (72.83, 0.25), 0.6: (72.74, 0.15), 0.8: (72.57, 0.44)},
    ("ba",): {1: (70.74, 0.15), 2: (72.62, 0.36), 3: (72.93, 0.15), 5: (73.24, 0.10), 7: (73.13, 0.15)},
    ("ws", 2): {0: (0.0, None), 0.25: (72.8, 0.83), 0.5: (73.1, 0.30), 0.75: (72.5, 0.52), 1: (72.1, 0.29)},
    ("ws", 4): {0: (68.8, None), 0.25: (72.6, 0.40), 0.5: (73.4, 0.35), 0.75: (73.76, 0.29), 1: (73.0, 0.18)},
    ("ws", 6): {0: (70.9, 0.21), 0.25: (72.7, 0.36), 0.5: (73.2, 0.37), 0.75: (73.2, 0.12), 1: (73.2, 0.12)},
    ("ws", 8): {0: (71.9, 0.12), 0.25: (72.6, 0.21), 0.5: (73.0, 0.20), 0.75: (72.9, 0.23), 1: (73.1, 0.26)},
}
"""Mean and standard deviation of ImageNet top-1 by the last parameter; a curve is named by what comes before it.

The means are printed in the figure, to one decimal: certain. A second decimal, and all standard deviations, were read
off its bars: about +-0.02. Two bars have no error bar; they have no graph randomness either.
"""
RUN_STD = 0.15
"""Between trainings of one graph: WS(6,0) and WS(8,0), which have one graph, show 0.21 and 0.12."""

NAMES = ("er", "ba", "ws")
SEARCHES: tuple[Literal["random", "tpe"], ...] = ("random", "tpe")
SEEDS = (1, 2, 3, 5)
USUAL = 2
"""Seeds of a setting by default."""
CORRELATIONS = (0.5, 0.7, 0.9)
"""Of the first look with the final values. None is known for this task; the paper prints no curves."""
FIRST_LOOK = 2
"""The epoch after which the pruner may end a trial for the first time."""
BASE = load("small-100", {"runtime.study": "benchmark"})
EPOCHS = BASE.train.epochs
ROUNDING = 1e-9
RESAMPLES = 10_000
COLOURS = {"random": "#0072b2", "tpe": "#d55e00"}
STOPPED = {0.5: "#b0508f", 0.7: "#3d8fc4", 0.9: "#007a5a"}


def settings() -> list[str]:
    """All settings of the search space."""
    found = []
    for name in NAMES:
        domains = space.kind(name).domains
        steps = (range(round((domain.high - domain.low) / domain.step) + 1) for domain in domains.values())
        for place in itertools.product(*steps):
            values = (round(d.low + n * d.step, 10) for n, d in zip(place, domains.values(), strict=True))
            found.append(space.spec(name, dict(zip(domains, values, strict=True))))
    return found


def mirror(spec: str) -> str:
    """The setting at the other end of every parameter's domain."""
    generator = graphs.parse(spec)
    values = generator.params().items()
    domains = generator.domains
    return space.spec(
        generator.name(), {key: round(domains[key].low + domains[key].high - value, 10) for key, value in values}
    )


@functools.cache
def truth(spec: str) -> tuple[float, float]:
    """Expected top-1 of a setting, and its standard deviation between graphs.

    Between the settings of Figure 4 by monotone cubics, which go through them and add no optimum; beyond, constant.
    """
    generator = graphs.parse(spec)
    *fixed, at = generator.params().values()
    known = FIGURE_4[(generator.name(), *fixed)]
    mean = _between({x: mean for x, (mean, _) in known.items()}, at)
    total = _between({x: std for x, (_, std) in known.items() if std is not None}, at)
    return mean, 0.0 if generator.deterministic else math.sqrt(max(0.0, total**2 - RUN_STD**2))


def _between(known: Mapping[float, float], at: float) -> float:
    xs = sorted(known)
    return float(PchipInterpolator(xs, [known[x] for x in xs])(min(max(at, xs[0]), xs[-1])))


@functools.cache
def best() -> float:
    """The highest truth of the space."""
    return max(truth(spec)[0] for spec in settings())


@dataclass(frozen=True)
class Case:
    """A study that is simulated. `deviation` is that of the curves where early stopping is on, `noise` scales noise."""

    search: Literal["tpe", "random"]
    seeds: int
    start: Literal["blind", "paper", "mirrored"] = "blind"
    correlation: float | None = None
    deviation: float = 0.0
    noise: float = 1.0

    @property
    def label(self) -> str:
        curves = "" if self.correlation is None else f", correlation {self.correlation}"
        return f"{self.start}, {self.search}, {self.seeds} seed{'s' * (self.seeds > 1)}{curves}"

    def expected(self, spec: str) -> tuple[float, float]:
        """What `truth` says of the setting, or of the one that takes its place."""
        return truth(mirror(spec) if self.start == "mirrored" else spec)

    def regret(self, spec: str) -> float:
        """How much top-1 one loses by recommending the setting."""
        return best() - self.expected(spec)[0]

    def top1(self, spec: str, number: int, repetition: int) -> float:
        """The final top-1 of a trial: a graph of its own, unless the setting has only one, and a training."""
        stream = random.Random(f"{repetition}/{spec}/{number}")
        mean, std = self.expected(spec)
        if graphs.parse(spec).deterministic:
            std = 0.0
        return mean + self.noise * (stream.gauss(0, std) + stream.gauss(0, RUN_STD))


class Tried(NamedTuple):
    """A setting that has ended: trainings paid so far, its regret, the mean of whole trials, and if it was stopped."""

    cost: float
    regret: float
    mean: float
    stopped: bool


def deviations(key: str, scale: float) -> Floats:
    """How far a trial is from its final top-1 after each epoch: a random walk that ends at zero."""
    steps = np.random.default_rng(list(key.encode())).normal(0, scale / math.sqrt(EPOCHS), EPOCHS)
    return np.asarray(np.cumsum(steps) - steps.sum())


def deviation(correlation: float) -> float:
    """The scale of deviations that gives a rank correlation of early and final values over the space."""
    finals = np.array([Case("random", 1).top1(spec, n, -1) for spec in settings() for n in range(20)])
    early = np.array([deviations(str(number), 1.0)[FIRST_LOOK - 1] for number in range(len(finals))])
    return float(brentq(lambda scale: spearmanr(finals, finals + scale * early)[0] - correlation, 0, 50, xtol=1e-3))


def simulate(case: Case, repetition: int, trials: int) -> list[Tried]:
    """A study until as many trainings were paid for, of no more settings than that."""
    found: list[Tried] = []
    cost = 0.0
    pruner = Pruner({})
    with tempfile.TemporaryDirectory() as empty:
        base = BASE.override({"runtime.output": empty})
        design = Design(base, search=case.search, settings=trials, seeds=case.seeds, seed=repetition)
        with mock.patch.object(space, "best", return_value=[]) if case.start == "blind" else nullcontext():
            search = Search(design)
        while cost < trials - ROUNDING and (setting := search.next()) is not None:
            spec = setting.generator
            finals = [case.top1(spec, number, repetition) for number in range(case.seeds)]
            mean, stopped = sum(finals) / len(finals), False
            for number, final in enumerate(finals):
                epochs = EPOCHS
                if case.correlation is not None and number == 0:  # the first trial speaks for its setting
                    key = f"{repetition}/{spec}/{number}"
                    epochs = _epochs(pruner, key, final + deviations(key, case.deviation))
                cost += epochs / EPOCHS
                if stopped := epochs < EPOCHS:
                    break
            search.tell(setting, "pruned" if stopped else "finished", None if stopped else mean)
            found.append(Tried(cost, case.regret(spec), mean, stopped))
    return found


def _epochs(pruner: Pruner, key: str, curve: Iterable[float]) -> int:
    """How many epochs of a trial are trained, with its top-1 after each."""
    for epoch, top1 in enumerate(curve, start=1):
        if pruner.should_stop(key, epoch, top1):
            return epoch
    return EPOCHS


@dataclass(frozen=True)
class Run:
    """What one repetition of a case comes to.

    regret      after each training; infinite while no setting has finished
    finished    settings with a result, of as many as could be tried without early stopping; so the following:
    saved       share of the training cost that was saved
    tau         Kendall's tau-b of the ranking, where stopped settings share the last place, with that of all means
    lost        whether the setting with the highest mean was stopped
    """

    regret: list[float]
    finished: int
    saved: float
    tau: float
    lost: bool


def run(case: Case, repetition: int, trials: int) -> Run:
    """Simulate, and measure."""
    found = simulate(case, repetition, trials)
    regret, ended, top = [], iter([*found, Tried(math.inf, 0, 0, True)]), Tried(0, math.inf, -math.inf, False)
    following = next(ended)
    for cost in range(1, trials + 1):
        while following.cost <= cost + ROUNDING:
            top = top if following.stopped or following.mean <= top.mean else following
            following = next(ended)
        regret.append(top.regret)
    first = found[: trials // case.seeds]
    means = [tried.mean for tried in first]
    tau = float(kendalltau(means, [-math.inf if tried.stopped else tried.mean for tried in first]).statistic)
    return Run(
        regret,
        finished=sum(not tried.stopped for tried in first),
        saved=1 - first[-1].cost / (len(first) * case.seeds),
        tau=0.0 if math.isnan(tau) else tau,  # a ranking in which all share one place says nothing
        lost=first[means.index(max(means))].stopped,
    )


def cases() -> list[Case]:
    """All that is simulated."""
    found = [Case(search, seeds) for seeds in SEEDS for search in SEARCHES]
    found += [Case(search, USUAL, start) for start in ("paper", "mirrored") for search in SEARCHES]
    return found + [
        Case("random", seeds, correlation=correlation, deviation=deviation(correlation))
        for seeds in (1, USUAL)
        for correlation in CORRELATIONS
    ]


@dataclass
class Result:
    """A case over all repetitions."""

    case: Case
    runs: list[Run]

    @property
    def ends(self) -> Floats:
        return np.array([run.regret[-1] for run in self.runs])

    def quartiles(self) -> Floats:
        """Quartiles of the regret after each training: of three rows the second is the median."""
        # a method without interpolation, because values may be infinite
        return np.quantile([run.regret for run in self.runs], (0.25, 0.5, 0.75), axis=0, method="inverted_cdf")

    def mean(self, name: str) -> float:
        return float(np.mean([getattr(run, name) for run in self.runs]))


def interval(values: Floats) -> tuple[float, float, float]:
    """The mean, and its 95 % bootstrap interval."""
    picked = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(values[picked].mean(axis=1), (0.025, 0.975))
    return float(values.mean()), float(low), float(high)


def measure(chosen: Sequence[Case], repetitions: int, trials: int, seed: int, processes: int) -> list[Result]:
    """All repetitions of all cases; a repetition's numbers depend on the seed and its own number alone."""
    numbers = range(seed * repetitions, (seed + 1) * repetitions)
    results = []
    with ProcessPoolExecutor(processes) as pool:
        for case in tqdm(chosen, desc="cases", disable=None):
            runs = pool.map(functools.partial(run, case, trials=trials), numbers, chunksize=4)
            results.append(Result(case, list(runs)))
    return results


def differences(results: Sequence[Result]) -> list[dict[str, Any]]:
    """TPE less random search, and each number of seeds less the usual one; below 0 means better."""
    ends = {result.case: result.ends for result in results if result.case.correlation is None}
    pairs = [(case, replace(case, search="random")) for case in ends if case.search == "tpe"]
    pairs += [(case, replace(case, seeds=USUAL)) for case in ends if case.start == "blind" and case.seeds != USUAL]
    found = []
    for case, other in pairs:
        mean, low, high = interval(ends[case] - ends[other])
        found.append({"case": case.label, "against": other.label, "mean": mean, "low": low, "high": high})
    return found


def show(results: Sequence[Result], repetitions: int, trials: int) -> None:
    """Print the tables."""
    print(f"n = {repetitions} simulated studies, regret in points of top-1 after the cost of {trials} trainings\n")
    print(f"{'case':28}{'mean':>7}{'  95 % interval':16}{'median':>8}{'quartiles':>14}")
    for result in results:
        if result.case.correlation is None:
            mean, low, high = interval(result.ends)
            first, median, third = result.quartiles()[:, -1]
            print(f"{result.case.label:28}{mean:7.3f}  {low:.3f} to {high:.3f}{median:8.2f}{first:8.2f}{third:6.2f}")
    print(f"\n{'difference of regret':60}{'mean':>7}  95 % interval")
    for row in differences(results):
        what = f"{row['case']} - {row['against']}"
        print(f"{what:60}{row['mean']:+7.3f}  {row['low']:+.3f} to {row['high']:+.3f}")
    print(f"\n{'early stopping':36}{'saved':>7}{'tau':>6}{'best lost':>11}{'finished':>10}{'none':>6}{'median':>8}")
    for result in results:
        if result.case.correlation is not None:
            none = np.mean([run.finished == 0 for run in result.runs])
            print(
                f"{result.case.label:36}{result.mean('saved'):7.0%}{result.mean('tau'):6.2f}{result.mean('lost'):11.0%}"
                f"{result.mean('finished'):10.1f}{none:6.0%}{result.quartiles()[1, -1]:8.2f}"
            )


def draw(results: Sequence[Result], repetitions: int, trials: int) -> Figure:
    """Regret against trainings, at the end by seeds, and with early stopping."""
    by_case = {result.case: result for result in results}
    figure = Figure(figsize=(12, 4), layout="constrained")
    FigureCanvasAgg(figure)
    left, middle, right = figure.subplots(1, 3)
    cost = np.arange(1, trials + 1)
    for search, side in zip(SEARCHES, (-0.08, 0.08), strict=True):
        low, median, high = by_case[Case(search, USUAL)].quartiles()
        left.step(cost, median, where="post", color=COLOURS[search], linewidth=2, label=f"{search}, median")
        for row in (low, high):
            left.step(cost, row, ":", where="post", color=COLOURS[search])
        ends = np.array([interval(by_case[Case(search, seeds)].ends) for seeds in SEEDS])
        middle.errorbar(
            np.arange(len(SEEDS)) + side,
            ends[:, 0],
            np.abs(ends[:, 1:] - ends[:, :1]).T,
            fmt="o",
            color=COLOURS[search],
            capsize=4,
            label=f"{search}, mean and 95 % interval",
        )
    left.plot([], [], ":", color="grey", label="quartiles")
    right.step(cost, by_case[Case("random", 1)].quartiles()[1], where="post", color="#1f2937", label="without")
    for result in results:
        correlation = result.case.correlation
        if correlation is not None and result.case.seeds == 1:
            label = f"rank correlation {correlation}"
            right.step(cost, result.quartiles()[1], where="post", color=STOPPED[correlation], label=label)
    left.set_title(f"TPE or random? ({USUAL} seeds a setting)")
    middle.set_title(f"More settings or more seeds? ({trials} trainings)")
    right.set_title("Early stopping? (random, 1 seed, median)")
    middle.set_xticks(range(len(SEEDS)), [f"{trials // seeds} x {seeds}" for seeds in SEEDS])
    middle.set_xlabel("settings x seeds")
    left.set_ylabel("regret, points of top-1")
    for axes in (left, right):
        axes.set_xlabel("cost in trainings")
        axes.set_xlim(0, trials)
        axes.set_ylim(0, 1.05)
    middle.set_ylim(0, 1.2 * middle.get_ylim()[1])
    for axes in (left, middle, right):
        axes.grid(color="#e3e7ed")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="upper left" if axes is middle else "upper right")
        axes.title.set_fontsize(11)
    figure.suptitle(f"Simulated studies on a landscape through Figure 4: n = {repetitions}, start without hints")
    return figure


def report(results: Sequence[Result], repetitions: int, trials: int, seed: int) -> dict[str, Any]:
    """All of it as JSON: infinite values, where no setting has finished, become null."""
    packages = ("optuna", "numpy", "scipy")
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "repetitions": repetitions,
        "trials": trials,
        "seed": seed,
        "differences": differences(results),
        "cases": [
            {
                **asdict(result.case),
                "quartiles": [[_number(value) for value in row] for row in result.quartiles()],
                "ends": [_number(value) for value in result.ends],
                **{name: result.mean(name) for name in ("finished", "saved", "tau", "lost")},
            }
            for result in results
        ],
    }


def _number(value: float) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=200, help="simulated studies of each case [%(default)s]")
    parser.add_argument("--trials", type=int, default=60, help="trainings that a study may cost [%(default)s]")
    parser.add_argument("--seed", type=int, default=0, help="another one gives other repetitions [%(default)s]")
    parser.add_argument("--processes", type=int, default=2, help="at once [%(default)s]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured there")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw it there, as PNG")
    chosen = parser.parse_args()
    if chosen.repetitions < 1 or chosen.trials < max(SEEDS) or chosen.seed < 0:
        parser.error(f"--repetitions must be at least 1, --trials {max(SEEDS)}, --seed 0")
    results = measure(cases(), chosen.repetitions, chosen.trials, chosen.seed, chosen.processes)
    show(results, chosen.repetitions, chosen.trials)
    if chosen.json:
        content = report(results, chosen.repetitions, chosen.trials, chosen.seed)
        chosen.json.write_text(json.dumps(content, indent=1) + "\n")
    if chosen.figure:
        draw(results, chosen.repetitions, chosen.trials).savefig(chosen.figure, dpi=100)


if __name__ == "__main__":
    main()
