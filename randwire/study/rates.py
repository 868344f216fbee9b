"""How fast trainings are: measured by what decides it, and scaled by multiply-adds where nothing was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import log
from statistics import fmean, median
from typing import NamedTuple

from randwire.config import GraphConfig, RunConfig, RuntimeConfig, TrainConfig
from randwire.errors import RecordError
from randwire.metrics import IMAGES_PER_S
from randwire.parts import part_at, parts_of
from randwire.records import Record, Row
from randwire.statistics.describe import group
from randwire.study.design import Design
from randwire.study.planning import Planned
from randwire.study.requirements import quantities

MAX_MEASURED_RECORDS = 50
"""Records from which one rate is measured, at most."""
UNTRAINED = ("pending", "skipped", "unreadable")
"""States of trials whose records tell no rate."""


class Rate(NamedTuple):
    """Training images/s of one GPU, at the full resolution, and multiply-adds of an image there.

    `records`: the rate is the median over so many of them. Without any it is `given`, or else scaled.
    """

    images_per_s: float
    mult_adds: float
    records: int = 0
    given: bool = False
    share: float = 1.0
    """Of a GPU that each rank had, where it was measured."""


@dataclass(frozen=True)
class Rates:
    """The rates that are known, at least one, by `kind`; another one is scaled from that of the nearest size.

    What is scaled does as many multiply-adds a second. That is an assumption: wider networks are faster than it says,
    and networks of many small operations slower.
    """

    known: Mapping[RunConfig, Rate]
    base: Rate
    """Of the configuration of the study, before variants."""

    def of(self, config: RunConfig, mult_adds: float) -> Rate:
        """The rate of a trial whose network does so many multiply-adds for an image."""
        return self.known.get(kind(config)) or _scaled(self.known.values(), mult_adds)


def kind(config: RunConfig) -> RunConfig:
    """What decides how fast a trial is: all but the generator, the seeds and what changes no step of a training.

    Generators are taken as alike, since the sizes of their networks differ by a few percent.
    """
    train = config.train
    return config.model_copy(
        update={
            "graph": config.graph.model_copy(update={"generator": GraphConfig().generator, "seed": 0}),
            "train": _TRAIN.model_copy(update={"batch_size": train.batch_size, "precision": train.precision}),
            "runtime": _RUNTIME,
        }
    )


_TRAIN, _RUNTIME = TrainConfig(), RuntimeConfig()


class Measured(NamedTuple):
    """Training images/s of one GPU, the median over some records, and the share of a GPU that each rank of them had."""

    images_per_s: float
    records: int
    share: float


def rates(design: Design, trials: Sequence[Planned], given: float | None, share: float = 1.0) -> Rates | None:
    """The rates of a study's trials: from the one that is given for its configuration, or from their records.

    None if there is neither. A GPU that ranks share is faster or slower than one that each has for itself: where both
    were measured, what counts is the `share` of a GPU that ranks will have. Raises RecordError for a damaged record.
    """
    kinds = group(trials, lambda trial: kind(trial.config))
    base = kind(design.base)
    size = _size(design, kinds.get(base, []), trials)
    if given is not None:
        rate = Rate(given, size, given=True)
        return Rates({base: rate}, rate)
    known = {}
    for one, same in kinds.items():
        begun = [trial for trial in same if trial.state not in UNTRAINED]
        if found := measured(design, (trial.config for trial in begun), share):
            size_of_kind = fmean(trial.quantities["mult_adds"] for trial in begun)
            known[one] = Rate(found.images_per_s, size_of_kind, found.records, share=found.share)
    return Rates(known, known.get(base) or _scaled(known.values(), size)) if known else None


def _size(design: Design, same: Sequence[Planned], trials: Sequence[Planned]) -> float:
    """Multiply-adds of the configuration of the study: of its trials, else with the generator of the first of all."""
    if design.match_mult_adds is not None:
        return design.match_mult_adds
    if same:
        return fmean(trial.quantities["mult_adds"] for trial in same)
    random = (trial.config.graph.generator for trial in trials if trial.config.network.reference is None)
    graph = design.base.graph.model_copy(update={"generator": next(random, design.base.graph.generator)})
    return quantities(design.base.model_copy(update={"graph": graph}))["mult_adds"]


def _scaled(known: Iterable[Rate], mult_adds: float) -> Rate:
    nearest = min(known, key=lambda rate: max(rate.mult_adds, mult_adds) / min(rate.mult_adds, mult_adds))
    return Rate(nearest.images_per_s * nearest.mult_adds / mult_adds, mult_adds, share=nearest.share)


def measured(design: Design, trials: Iterable[RunConfig], share: float = 1.0) -> Measured | None:
    """The rate in the records of trials, of those whose ranks had the share of a GPU that is nearest; None if none has.

    Epochs of lower resolution count by their pixels, as `cost_of_epochs` has them. Of a quarter of a GPU, four are one.
    Raises RecordError for a damaged record.
    """
    found = (_rates(design.record(trial), trial.data.resolution) for trial in trials)
    by_share: dict[float, list[float]] = {}
    for of_record in islice(filter(None, found), MAX_MEASURED_RECORDS):
        for one, rate in of_record.items():
            by_share.setdefault(one, []).append(rate)
    if not by_share:
        return None
    nearest = min(by_share, key=lambda one: (abs(log(one / share)), one))
    return Measured(median(by_share[nearest]), len(by_share[nearest]), nearest)


def _rates(record: Record, resolution: int) -> dict[float, float]:
    """The images/s of one GPU in a record, by the share of it that a rank had."""
    try:
        parts = parts_of(record)
    except RecordError:  # without the number of ranks there is no rate of one GPU
        return {}
    rates: dict[float, list[float]] = {}
    for row in record.metrics():
        if row.get(IMAGES_PER_S.key):
            part = part_at(parts, row["epoch"])
            share = _share(part)
            pixels = (row.get("resolution", resolution) / resolution) ** 2
            rates.setdefault(share, []).append(row[IMAGES_PER_S.key] * pixels / (_ranks(part) * share))
    return {share: median(some) for share, some in rates.items()}


def _ranks(part: Row) -> int:
    ranks = part.get("world_size")
    return ranks if isinstance(ranks, int) and ranks > 0 else 1


def _share(part: Row) -> float:
    share = (part.get("hardware") or {}).get("gpu_share")
    return float(share) if isinstance(share, int | float) and 0 < share <= 1 else 1.0
