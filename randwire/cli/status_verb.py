"""The verb `status` of a study."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from randwire.cli import screen
from randwire.cli.plan_verb import MAX_LISTED_TRIALS
from randwire.cli.text import span
from randwire.stdio import delivered, is_screen

if TYPE_CHECKING:
    from randwire.config import RunConfig
    from randwire.study.design import Design
    from randwire.study.progress import Status
    from randwire.study.state import State

NOTABLE_STATES = ("running", "stalled", "failed", "unreadable")
WRONG_STATES = ("failed", "unreadable")
"""States of trials that make the exit status 1; those of a setting that could not be run are failed."""


def show_status(load: Callable[[], Design], options: argparse.Namespace) -> int:
    """Print where the study stands; returns 1 if a trial has failed or cannot be read.

    With --watch it is printed again and again, until all has ended, it is interrupted, or nobody reads any more. `load`
    gives the design as it is now: a study that is watched may grow.
    """
    if options.watch is None:
        status, design = _look(load)
        print(json.dumps(_json(status)) if options.json else "\n".join(_lines(status, design, options.all)))
        delivered()
        return _code(status)
    code = 0
    try:
        while True:
            status, design = _look(load)
            code = _code(status)
            drawn_at = _draw(status, design, options)
            if not delivered() or status.ended:
                return code
            while screen.wait(options.watch, drawn_at) and not options.json:
                drawn_at = _draw(status, design, options)
    except KeyboardInterrupt:
        return code


def _code(status: Status) -> int:
    return 1 if any(state.name in WRONG_STATES for _, state in status.trials) else 0


def _look(load: Callable[[], Design]) -> tuple[Status, Design]:
    from randwire.study import progress

    design = load()
    return progress.status(design), design


def _draw(status: Status, design: Design, options: argparse.Namespace) -> os.terminal_size:
    """The page again on a terminal; a line where no terminal is. Returns the size of the screen before that."""
    size = screen.size()
    if options.json:
        print(json.dumps(_json(status)), flush=True)
    elif is_screen(sys.stdout):
        height = max(1, size.lines - 2)
        lines = list(_lines(status, design, options.all, height))
        hidden = len(lines) - 1 - height
        if hidden > 0:
            lines = [*lines[: height - 1], f"... and {hidden + 1} more", lines[-1]]
        screen.draw(lines)
    else:
        print(f"{time.strftime('%F %T')}  {_total(status, design)}", flush=True)
    return size


def _json(status: Status) -> dict[str, object]:
    from randwire.study.progress import iso

    finish = None if status.finish is None else iso(status.finish)
    rounds = {"round": status.rounds[-1].number, "rounds": status.rounds[-1].of} if status.rounds else {}
    return {
        "counts": status.counts,
        "later": status.later,
        **rounds,
        "expected_finish": finish,
        "trials": status.rows(),
    }


def _lines(status: Status, design: Design, every: bool, limit: int = MAX_LISTED_TRIALS) -> Iterator[str]:
    """A line for each trial that has begun, of more than `limit` for the notable ones, and the total."""
    begun = [pair for pair in status.trials if every or pair[1].name not in ("pending", "skipped")]
    for trial, state in begun:
        if every or len(begun) <= limit or state.name in NOTABLE_STATES:
            yield _line(trial, state)
    yield _total(status, design)


def _line(trial: RunConfig, state: State) -> str:
    from randwire.study.setting import Setting

    top1 = "-" if state.top1 is None else f"{state.top1:.2f}%"
    note = state.cause or ""
    if state.sign is not None and state.name == "running":
        unseen = "" if state.locked else "; its process cannot be seen from here"
        note = f"last sign {span(time.time() - state.sign)} ago{unseen}"
    elif state.sign is not None and state.name == "stalled":
        note = f"since {time.strftime('%F %T', time.localtime(state.sign))}"
    label = Setting.of(trial).label
    seeds = f"t{trial.train.seed}" if trial.network.reference else f"g{trial.graph.seed} t{trial.train.seed}"
    return (
        f"{state.digest}  {label:<16} {seeds}  {state.name:<10} "
        f"{state.epochs:>3}/{trial.train.epochs} epochs  top-1 {top1:>7}  {note}".rstrip()
    )


def _total(status: Status, design: Design) -> str:
    counts = ", ".join(f"{number} {name}" for name, number in status.counts.items())
    if status.rounds:
        counts = f"round {status.rounds[-1].number} of {status.rounds[-1].of}: {counts}"
    if set(status.counts) <= {"pending"}:
        return f"{design.folder}: nothing started yet, {counts}"
    later = f", up to {status.later} later" if status.later else ""
    if status.ended:
        return f"{counts}; all has ended"
    if status.finish is None:
        return f"{counts}{later}; " + ("no epoch has ended yet" if status.counts["running"] else "nothing is running")
    latest = "at the latest " if design.early_stopping else ""
    when = time.strftime("%F %H:%M", time.localtime(status.finish))
    return f"{counts}{later}; expected to finish {latest}in {span(status.finish - time.time())}, at {when}"
