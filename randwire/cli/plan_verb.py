"""The verb `plan` of a study."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from randwire.cli import plan_power
from randwire.cli.text import span
from randwire.errors import ConfigError
from randwire.gpu_share import ranks_of_gpu, share_of

if TYPE_CHECKING:
    from randwire.study.cost import Cost, Priced
    from randwire.study.design import Design
    from randwire.study.planning import Listing, Planned
    from randwire.study.race import Round
    from randwire.study.rates import Rates

MAX_LISTED_TRIALS = 200
"""More trials than this are shown by setting, unless all are asked for."""
MAX_LISTED_RATES = 12
"""Of more rates only the lowest and the highest are told."""
COLUMNS = (
    ("params", 12, ",.0f"), ("mult_adds", 15, ",.0f"), ("edges", 7, ".4g"), ("sources", 9, ".3g"),
    ("sinks", 7, ".3g"), ("depth", 7, ".3g"), ("clustering", 12, ".3f"), ("path_length", 13, ".3f"),
)  # fmt: skip
"""Quantities that the table shows: name, width, format."""


def show_plan(design: Design, options: argparse.Namespace) -> int:
    """Print the trials of a study, their sizes and graphs, and what it costs."""
    from randwire.study.cost import cost, jobs, priced, work
    from randwire.study.planning import listing, plan

    workers, per_gpu = _ranks(design, options)
    listed = listing(design)
    trials = plan(design, listed)
    rates = _rates(design, trials, options)
    works = work(trials, rates)
    planned = jobs(listed, works)
    rate = rates.base.images_per_s if rates else None
    price = cost(planned, rate, workers, options.gpus, options.price, listed.waves, per_gpu)
    groups = priced(trials, works, rates) if rates else []
    found = plan_power.detect(design, trials, options)
    if options.json:
        detection = {} if found is None else {"detection": plan_power.as_json(found, price)}
        print(json.dumps({**_json(trials, listed, price, groups), **detection}))
        return 0
    _table(trials) if len(trials) <= MAX_LISTED_TRIALS or options.all else _summary(trials)
    each = max(map(len, listed.settings.values()), default=0) if listed.rounds else design.seeds * design.train_seeds
    epochs = sorted({trial.config.train.epochs for trial in trials}) or [design.base.train.epochs]
    shown = " to ".join(dict.fromkeys(map(str, (epochs[0], epochs[-1]))))
    print(f"\n{len(trials)} trials of {shown} epochs in {design.folder}, up to {each} a setting")
    for current in listed.rounds:
        print(f"{current}{'' if current.complete else f', {len(current.means)} have ended'}")
    if listed.rejected.number:
        print(listed.rejected)
    if listed.exhausted:
        print(f"the space holds no more than {len(planned)} settings of the {design.settings} asked for")
    if listed.later:
        further = _rounds(listed.rounds[-1]) if listed.rounds else f"{listed.later} further settings"
        print(f"up to {further} ({sum(listed.ahead)} trials) will depend on results")
    _costs(price, groups, options, workers, design.early_stopping)
    if found is not None:
        plan_power.show(found, price)
    return 0


def _ranks(design: Design, options: argparse.Namespace) -> tuple[int, int]:
    """The ranks of a trial, as a sweep on so many GPUs would have them, and how many ranks share a GPU.

    Raises ConfigError for what a sweep would refuse, too, and for GPUs that cannot hold a trial.
    """
    from randwire.sweep import Cluster
    from randwire.sweep.places import RANKS, check, ranks_of_trial

    batch, part = design.base.train.batch_size, options.gpus_per_worker
    check(Cluster(workers=options.workers, gpus_per_worker=part), design.base.runtime.device, batch)
    if part is not None and not options.gpus:
        raise ConfigError("--gpus-per-worker: is for the time on so many GPUs; give --gpus too")
    per_gpu = ranks_of_gpu(part or 1)
    workers = options.workers or ranks_of_trial(batch, part, (options.gpus or RANKS) * per_gpu)
    if options.gpus and options.gpus * per_gpu < workers:
        raise ConfigError(f"--gpus: {options.gpus} cannot hold a trial of {workers} workers (--workers)")
    return workers, per_gpu


def _rounds(current: Round) -> str:
    """The rounds after one, in words."""
    sizes = ", ".join(f"{settings} settings with {seeds} graph seeds" for settings, seeds in current.ahead)
    return f"{len(current.ahead)} further round{'s' * (len(current.ahead) != 1)} of {sizes}"


def _rates(design: Design, trials: Sequence[Planned], options: argparse.Namespace) -> Rates | None:
    """The rates that are given or measured; None if neither. Raises ConfigError if one is needed and missing."""
    from randwire.study.rates import rates

    known = rates(design, trials, options.images_per_s, share_of(options.gpus_per_worker or 1))
    if known is None and (options.gpus or options.price is not None):
        raise ConfigError(
            "--images-per-s: missing, and no trial of this study has been trained to measure it; give it, or train one "
            "with `trial 1`"
        )
    return known


def _json(trials: Sequence[Planned], listed: Listing, price: Cost, groups: Sequence[Priced]) -> dict[str, object]:
    apart = {
        "rates": [
            {
                "what": one.what,
                "trials": one.trials,
                "images_per_s": one.images_per_s,
                "measured_records": one.records,
                "measured_gpu_shares": one.shares,
                "gpu_hours": one.gpu_hours,
            }
            for one in groups
        ]
    }
    return {
        "trials": [trial.to_row() for trial in trials],
        "later_settings": listed.later,
        "rejected": {"what": listed.rejected.what, "number": listed.rejected.number, "by": listed.rejected.by},
        "planned_trials": price.trials,
        "training_images": price.images,
        "images_per_s": price.images_per_s,
        "measured_records": sum(one.records for one in groups),
        "gpu_hours": price.gpu_hours,
        "wall_hours": price.wall_hours,
        "busy": price.busy,
        "dollars": price.dollars,
        **(apart if len(groups) > 1 else {}),
    }


def _table(trials: Sequence[Planned]) -> None:
    wide = _width(trials)
    print(f"{'#':>5}  {'digest':<12}  {'setting':<{wide}}{'graph':>6}{'train':>6}{_heads()}  state")
    for trial in trials:
        graph = "-" if trial.graph_seed is None else trial.graph_seed
        print(
            f"{trial.number:>5}  {trial.digest:<12}  {trial.label:<{wide}}{graph:>6}{trial.config.train.seed:>6}"
            f"{_cells([trial])}  {trial.state}"
        )


def _summary(trials: Sequence[Planned]) -> None:
    """One line a setting: the means of its trials."""
    settings: dict[str, list[Planned]] = {}
    for trial in trials:
        settings.setdefault(trial.label, []).append(trial)
    wide = _width(trials)
    print(f"{'setting':<{wide}}{'trials':>7}{_heads()}  states")
    for label, same in settings.items():
        states = ", ".join(f"{number} {state}" for state, number in Counter(trial.state for trial in same).items())
        print(f"{label:<{wide}}{len(same):>7}{_cells(same)}  {states}")
    print("means of each setting; --all lists every trial")


def _cells(same: Sequence[Planned]) -> str:
    """The means of the quantities of trials; published networks lack those of graphs."""
    cells = []
    for name, width, form in COLUMNS:
        values = [trial.quantities[name] for trial in same if name in trial.quantities]
        cells.append(f"{fmean(values):>{width}{form}}" if values else f"{'-':>{width}}")
    return "".join(cells)


def _width(trials: Sequence[Planned]) -> int:
    return max(14, *(len(trial.label) + 2 for trial in trials)) if trials else 14


def _heads() -> str:
    return "".join(f"{name.replace('_', ' ').replace('mult adds', 'mult-adds'):>{width}}" for name, width, _ in COLUMNS)


def _costs(cost: Cost, groups: Sequence[Priced], options: argparse.Namespace, workers: int, at_most: bool) -> None:
    limit = "at most " if at_most else ""
    if cost.gpu_hours is None:
        print(f"{cost.trials} trainings see {limit}{cost.images:,} images; --images-per-s shows the GPU-hours")
        return
    rates = [one.images_per_s for one in groups] or [options.images_per_s]
    part = options.gpus_per_worker or 1
    source = f", {_measured(groups[0], part)}" if len(groups) == 1 and groups[0].records else ""
    print(
        f"{cost.trials} trainings see {limit}{cost.images:,} images: {cost.gpu_hours:,.1f} GPU-hours "
        f"at {' to '.join(f'{rate:,.6g}' for rate in sorted({min(rates), max(rates)}))} images/s a GPU{source}"
    )
    _rates_apart(groups, part)
    if cost.wall_hours is not None:
        busy = "" if cost.busy is None else f", which train {cost.busy:.0%} of the time"
        print(
            f"that is {limit}{span(cost.wall_hours * 3600)} on {options.gpus} GPUs, "
            f"{workers if part == 1 else f'{part:g} of one'} for each setting{busy}"
        )
    if cost.dollars is not None:
        print(f"{limit}${cost.dollars:,.2f} at ${options.price:g} a GPU-hour")
    print("evaluation and start-up come on top")


def _measured(group: Priced, part: float) -> str:
    """Where a rate comes from, and of which shares of a GPU, if those are a matter of this plan."""
    of = "" if part == 1 and set(group.shares) <= {1.0} else _shares(group.shares)
    return f"measured in {group.records} records{of}"


def _shares(shares: Sequence[float]) -> str:
    of = ("that share no GPU" if share == 1 else f"with {share:.3g} of a GPU" for share in shares)
    return f" of ranks {' and '.join(of)}"


def _rates_apart(groups: Sequence[Priced], part: float) -> None:
    """A line for each of a few rates, and what is assumed."""
    if 1 < len(groups) <= MAX_LISTED_RATES:
        wide = max(len(one.what) for one in groups)
        for one in groups:
            source = f", {_measured(one, part)}" if one.records else " by multiply-adds" * one.scaled
            print(
                f"  {one.what:<{wide}}  {one.trials:>5} trainings {one.gpu_hours:>12,.1f} GPU-hours "
                f"at {one.images_per_s:,.6g} images/s{source}"
            )
    if any(one.scaled for one in groups):
        print("rates without a record are scaled by multiply-adds, from the one that is known of the nearest size")
