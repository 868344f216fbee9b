"""What a study costs: GPU-hours, and the time until its end."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from statistics import median

from randwire import data
from randwire.metrics import IMAGES_PER_S
from randwire.records import Record
from randwire.study.design import Design

MAX_MEASURED_RECORDS = 50
"""Records from which the rate of training is measured, at most."""


@dataclass(frozen=True)
class Cost:
    """What training takes; evaluation and start-up come on top.

    `trials` see `images` in all, at `images_per_s` of one GPU at the full resolution.
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
    design: Design,
    settings: Iterable[int],
    images_per_s: float | None,
    workers: int,
    gpus: int | None,
    price: float | None,
) -> Cost:
    """The cost of a study whose settings have so many trials each, in the order in which they start.

    All trials of a setting are trained one after the other on `workers` GPUs, and nothing is divided further: a
    setting that starts last is waited for. `price` is dollars per GPU-hour of training. Raises DataError if less than a
    batch is left to train on.
    """
    trials = list(settings)
    base, epochs = design.base.data, design.base.train.epochs
    per_epoch = data.train_images(base, design.base.train.batch_size)
    images = sum(trials) * epochs * per_epoch
    per_trial = base.cost_of_epochs(epochs) * per_epoch
    if images_per_s is None:
        return Cost(sum(trials), images)
    hours = sum(trials) * per_trial / images_per_s / 3600
    wall = makespan((count * per_trial / images_per_s / workers for count in trials), gpus // workers) if gpus else None
    return Cost(
        sum(trials),
        images,
        images_per_s,
        hours,
        wall and wall / 3600,
        hours * 3600 / (gpus * wall) if gpus and wall else None,
        None if price is None else hours * price,
    )


def makespan(seconds: Iterable[float], slots: int) -> float:
    """When the last of some jobs ends, if each starts, in order, where one of `slots` is free first."""
    jobs = list(seconds)
    ends = [0.0] * max(1, min(slots, len(jobs)))
    for job in jobs:
        heapq.heapreplace(ends, ends[0] + job)
    return max(ends)


def measured(design: Design, digests: Iterable[str]) -> tuple[float, int] | None:
    """Training images/s of one GPU in the records of trials, and of how many records it is the median; None if none.

    Epochs of lower resolution count by their pixels, as `cost_of_epochs` has them.
    Raises RecordError for a damaged record.
    """
    rates = (_rate(Record(design.folder / digest), design.base.data.resolution) for digest in digests)
    measured_rates = list(islice(filter(None, rates), MAX_MEASURED_RECORDS))
    return (median(measured_rates), len(measured_rates)) if measured_rates else None


def _rate(record: Record, resolution: int) -> float | None:
    rates = [
        row[IMAGES_PER_S.key] * (row.get("resolution", resolution) / resolution) ** 2
        for row in record.metrics()
        if row.get(IMAGES_PER_S.key)
    ]
    ranks = (record.read_json("environment.json") or {}).get("world_size", 1)
    return median(rates) / ranks if rates else None
