"""What `plan --detect` shows."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from randwire.errors import ConfigError

if TYPE_CHECKING:
    from randwire.study.cost import Cost
    from randwire.study.design import Design
    from randwire.study.detection import Detection
    from randwire.study.planning import Planned


def detect(design: Design, trials: Sequence[Planned], options: argparse.Namespace) -> Detection | str | None:
    """The power of the design; the reason, if nothing of it is tested; None if it was not asked for.

    Raises ConfigError for options that need --detect, and as `detection`.
    """
    if options.detect is None:
        for name in ("std", "family"):
            if getattr(options, name) is not None:
                raise ConfigError(f"--{name}: is of --detect, which is missing")
        return None
    from randwire.study.detection import detection, untested

    why = untested(design)
    return why or detection(design, trials, options.detect, options.std, options.family or "all")


def as_json(found: Detection | str, price: Cost) -> dict[str, object]:
    if isinstance(found, str):
        return {"tested": False, "why": found}
    hours = _gpu_hours(found, price)
    return {
        "tested": True,
        "difference": found.difference,
        "std": found.spread.std,
        "std_source": found.spread.source,
        "std_interval": found.spread.interval,
        "family": found.family,
        "compared": found.compared,
        "tests": found.tests,
        "paired": found.paired,
        "n": found.n,
        "power": found.power,
        "needed": found.needed._asdict(),
        "needed_trainings": found.trainings,
        "needed_gpu_hours": hours,
        "needed_dollars": _dollars(hours, price),
    }


def show(found: Detection | str, price: Cost) -> None:
    """Print the power of the design, and what the needed graphs cost."""
    from randwire.statistics.pairs import MIN_REPLICATES
    from randwire.statistics.power import MAX_REPLICATES, POWER

    if isinstance(found, str):
        print(found)
        return
    what = "variants" if found.paired else "settings"
    tests = f"all {found.tests} pairs of {found.compared} {what}, Holm" if found.tests > 1 else "one pair"
    where = "of differences on one graph, " if found.paired else ""
    least = "at least " if found.tests > 1 else ""
    chance = f"{found.power:.{0 if found.power >= 0.1 else 1}%}"
    print(
        f"\na true difference of {found.difference:g} points is found with a chance of {least}{chance} at "
        f"n = {found.n} ({tests}; std {found.spread.std:.3g} {where}{found.spread.source})"
    )
    if found.n < MIN_REPLICATES:
        print(f"a test takes at least {MIN_REPLICATES} graphs of each")
    hours = _gpu_hours(found, price)
    dollars = _dollars(hours, price)
    costs = ("" if hours is None else f", {hours:,.1f} GPU-hours") + ("" if dollars is None else f", ${dollars:,.2f}")
    n, low, high = (f"{n:,}" if n < MAX_REPLICATES else f"> {MAX_REPLICATES:,}" for n in found.needed)
    ends = f" ({low} to {high})" if low != high else ""
    print(f"a chance of {POWER:.0%} takes n = {n}{ends} graphs of each: {found.trainings:,} trainings{costs}")
    if found.chosen_here:
        print(
            "the best of each generator must not be chosen by the trials that test them: fix them beforehand (--only), "
            "or confirm the winners of this study (--confirm)"
        )


def _gpu_hours(found: Detection, price: Cost) -> float | None:
    """Of the needed trainings, each as long as those of the plan on average."""
    return None if price.gpu_hours is None else found.trainings * price.gpu_hours / price.trials


def _dollars(hours: float | None, price: Cost) -> float | None:
    if hours is None or price.dollars is None or not price.gpu_hours:
        return None
    return hours * price.dollars / price.gpu_hours
