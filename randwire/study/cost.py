"""What a study costs: GPU-hours, and the time until its end."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from statistics import harmonic_mean
from typing import NamedTuple

from randwire import data
from randwire.config import DataConfig, RunConfig
from randwire.statistics.describe import group
from randwire.study.planning import Listing, Planned
from randwire.study.rates import Rates


class Work(NamedTuple):
    """What training takes: of one trial, or of those that one group of workers trains in a row."""

    trials: int
    images: float
    gpu_s: float | None
    """GPU-seconds; None where no rate is known."""


@dataclass(frozen=True)
class Cost:
    """What training takes; evaluation and start-up come on top.

    `trials` see `images` in all; `images_per_s` is the rate of one GPU with the configuration of the study, before
    variants, at its full resolution.
    """

    trials: int
    images: int
    images_per_s: float | None = None
    gpu_hours: float | None = None
    wall_hours: float | None = None
    """On the given number of GPUs."""
    busy: float | None = None
    """Share of those GPUs' time that trains."""
    dollars: float | None = None


def cost(
    jobs: Iterable[Work],
    images_per_s: float | None,
    workers: int,
    gpus: int | None,
    price: float | None,
    waves: Sequence[int] = (),
    per_gpu: int = 1,
) -> Cost:
    """The cost of a study from its jobs, in the order in which they start.

    All trials of a job are trained one after the other by `workers` ranks, of which `per_gpu` share a GPU, and nothing
    is divided further: a job that starts last is waited for, also by the next of `waves`, see `makespan`. `price` is
    dollars per GPU-hour of training.
    """
    works = list(jobs)
    trials, images = sum(work.trials for work in works), round(sum(work.images for work in works))
    seconds = [work.gpu_s for work in works if work.gpu_s is not None]
    if images_per_s is None or len(seconds) < len(works):
        return Cost(trials, images)
    hours = sum(seconds) / 3600
    wall = makespan((one * per_gpu / workers for one in seconds), gpus * per_gpu // workers, waves) if gpus else None
    return Cost(
        trials,
        images,
        images_per_s,
        hours,
        wall and wall / 3600,
        hours * 3600 / (gpus * wall) if gpus and wall else None,
        None if price is None else hours * price,
    )


def work(trials: Sequence[Planned], rates: Rates | None) -> list[Work]:
    """What each trial takes. Raises DataError if less than a batch is left to train on."""

    @cache
    def images(config: DataConfig, epochs: int, batch_size: int) -> tuple[int, float]:
        """Images that a training sees, and the same counted by their pixels."""
        per_epoch = data.train_images(config, batch_size)
        return epochs * per_epoch, config.cost_of_epochs(epochs) * per_epoch

    def of(config: RunConfig, mult_adds: float) -> Work:
        seen, weighted = images(config.data, config.train.epochs, config.train.batch_size)
        return Work(1, seen, None if rates is None else weighted / rates.of(config, mult_adds).images_per_s)

    return [of(trial.config, trial.quantities["mult_adds"]) for trial in trials]


def jobs(listed: Listing, works: Sequence[Work]) -> list[Work]:
    """The jobs of a listing, from its trials in order; those that depend on results cost what trials do on average."""
    each, done = iter(works), []
    for _, trials in listed.jobs:
        done.append(together([next(each) for _ in trials]))
    whole = together(works)
    for trials_ahead in listed.ahead:
        share = trials_ahead / whole.trials if whole.trials else 0.0
        done.append(Work(trials_ahead, share * whole.images, None if whole.gpu_s is None else share * whole.gpu_s))
    return done


def together(works: Sequence[Work]) -> Work:
    """The sum of some work."""
    seconds = [work.gpu_s for work in works if work.gpu_s is not None]
    gpu_s = sum(seconds) if len(seconds) == len(works) else None
    return Work(sum(work.trials for work in works), sum(work.images for work in works), gpu_s)


@dataclass(frozen=True)
class Priced:
    """The listed trials of one rate: those of a variant, or of a published network, in a study that has some."""

    what: str
    trials: int
    images_per_s: float
    """Over all its trials."""
    gpu_hours: float
    records: int
    """That it was measured in."""
    scaled: bool
    """Whether it was neither measured nor given."""
    shares: tuple[float, ...] = ()
    """Of a GPU that ranks had where it was measured."""


def priced(trials: Sequence[Planned], works: Sequence[Work], rates: Rates) -> list[Priced]:
    """What trials cost by variant or published network."""
    rows = []
    for what, same in group(zip(trials, works, strict=True), lambda row: _what(row[0])).items():
        known = [rates.of(trial.config, trial.quantities["mult_adds"]) for trial, _ in same]
        distinct, whole = set(known), together([one for _, one in same])
        # harmonic: the rate at which all of them together are trained
        rate = known[0].images_per_s if len(distinct) == 1 else harmonic_mean([one.images_per_s for one in known])
        scaled = any(not (one.records or one.given) for one in distinct)
        records = sum(one.records for one in distinct)
        shares = tuple(sorted({one.share for one in distinct if one.records}))
        rows.append(Priced(what, whole.trials, rate, (whole.gpu_s or 0.0) / 3600, records, scaled, shares))
    return rows


def _what(trial: Planned) -> str:
    """The variant, or the published network; without the graph seed that a search may have chosen too."""
    variant = " ".join(word for word in trial.setting.variant.split() if not word.startswith("graph.seed="))
    return variant or ("randomly wired" if trial.config.network.reference is None else trial.label)


def makespan(seconds: Iterable[float], slots: int, waves: Sequence[int] = ()) -> float:
    """When the last of some jobs ends, if each starts, in order, where one of `slots` is free first.

    With `waves`, so many jobs each: none of a wave starts before all of the wave before have ended.
    """
    if waves:
        each = iter(seconds)
        return sum(makespan(islice(each, number), slots) for number in waves)
    jobs = list(seconds)
    ends = [0.0] * max(1, min(slots, len(jobs)))
    for job in jobs:
        heapq.heapreplace(ends, ends[0] + job)
    return max(ends)
