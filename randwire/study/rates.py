"""How fast trainings are: measured by what decides it, and scaled by multiply-adds where nothing was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
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


def rates(design: Design, trials: Sequence[Planned], given: float | None) -> Rates | None:
    """The rates of a study's trials: from the one that is given for its configuration, or from their records.

    None if there is neither. Raises RecordError for a damaged record.
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
        if found := measured(design, (trial.config for trial in begun)):
            known[one] = Rate(found[0], fmean(trial.quantities["mult_adds"] for trial in begun), found[1])
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
    return Rate(nearest.images_per_s * nearest.mult_adds / mult_adds, mult_adds)


def measured(design: Design, trials: Iterable[RunConfig]) -> tuple[float, int] | None:
    """Training images/s of one GPU in the records of trials, and of how many records it is the median; None if none.

    Epochs of lower resolution count by their pixels, as `cost_of_epochs` has them.
    Raises RecordError for a damaged record.
    """
    found = (_rate(design.record(trial), trial.data.resolution) for trial in trials)
    measured_rates = list(islice(filter(None, found), MAX_MEASURED_RECORDS))
    return (median(measured_rates), len(measured_rates)) if measured_rates else None


def _rate(record: Record, resolution: int) -> float | None:
    try:
        parts = parts_of(record)
    except RecordError:  # without the number of ranks there is no rate of one GPU
        return None
    rates = [
        row[IMAGES_PER_S.key] * (row.get("resolution", resolution) / resolution) ** 2 / _ranks(parts, row["epoch"])
        for row in record.metrics()
        if row.get(IMAGES_PER_S.key)
    ]
    return median(rates) if rates else None


def _ranks(parts: Sequence[Row], epoch: int) -> int:
    ranks = part_at(parts, epoch).get("world_size")
    return ranks if isinstance(ranks, int) and ranks > 0 else 1
