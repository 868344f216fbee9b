"""Simulated studies, by the code that suggests settings and takes outcomes in a sweep."""

import math
import random
import tempfile
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal, NamedTuple
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import kendalltau, spearmanr

from benchmarks.search.landscape import RUN_STD, best, mirror, settings, truth
from randwire import graphs
from randwire.config import load
from randwire.study import space
from randwire.study.design import Design
from randwire.study.pruner import Pruner
from randwire.study.search import SettingSearch

Floats = NDArray[np.float64]
FIRST_LOOK = 2
"""The epoch after which the pruner may end a trial for the first time."""
BASE = load("small-100", {"runtime.study": "benchmark"})
EPOCHS = BASE.train.epochs
ROUNDING = 1e-9


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
    spec: str = ""


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
    ended: list[Tried] = []
    cost = 0.0
    pruner = Pruner({})
    with tempfile.TemporaryDirectory() as empty:
        base = BASE.override({"runtime.output": empty})
        design = Design(base, search=case.search, settings=trials, seeds=case.seeds, seed=repetition)
        with mock.patch.object(space, "best", return_value=[]) if case.start == "blind" else nullcontext():
            search = SettingSearch(design)
        while cost < trials - ROUNDING and (setting := search.next()) is not None:
            spec = setting.spec
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
            ended.append(Tried(cost, case.regret(spec), mean, stopped, spec))
    return ended


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
    tau         Kendall's tau-b of the ranking, where stopped settings share the last rank, with that of all means
    lost        whether the setting with the highest mean was stopped
    """

    regret: list[float]
    finished: int
    saved: float
    tau: float
    lost: bool


def run(case: Case, repetition: int, trials: int) -> Run:
    """Simulate, and measure."""
    settings_tried = simulate(case, repetition, trials)
    regret, ended, top = [], iter([*settings_tried, Tried(math.inf, 0, 0, True)]), Tried(0, math.inf, -math.inf, False)
    following = next(ended)
    for cost in range(1, trials + 1):
        while following.cost <= cost + ROUNDING:
            top = top if following.stopped or following.mean <= top.mean else following
            following = next(ended)
        regret.append(top.regret)
    same_budget = settings_tried[: trials // case.seeds]
    means = [tried.mean for tried in same_budget]
    tau = float(kendalltau(means, [-math.inf if tried.stopped else tried.mean for tried in same_budget]).statistic)
    return Run(
        regret,
        finished=sum(not tried.stopped for tried in same_budget),
        saved=1 - same_budget[-1].cost / (len(same_budget) * case.seeds),
        tau=0.0 if math.isnan(tau) else tau,  # a ranking in which all share one rank says nothing
        lost=same_budget[means.index(max(means))].stopped,
    )
