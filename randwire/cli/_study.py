"""`studies/NAME.py`: the verbs of a study."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from randwire import config as configuration
from randwire.cli._train import train_one
from randwire.cli._words import Parser, guarded, key_help, positive, split
from randwire.config import ConfigError

if TYPE_CHECKING:
    from randwire.study.design import Design


def study(name: str, description: str | None, arguments: Sequence[str] | None = None) -> int:
    """`studies/NAME.py`: plan, sweep, status, trial, report."""
    common = Parser(add_help=False, allow_abbrev=False)
    common.add_argument("--base", default="digits", metavar="CONFIG", help="preset or YAML of all trials [digits]")
    common.add_argument("--name", default=name, help=f"name of the study, and of its folder below runs [{name}]")
    common.add_argument("--search", choices=("tpe", "random", "grid"), default="tpe", help="grid: the paper's Figure 4")
    common.add_argument("--settings", type=positive, default=6, help="settings to try, in tpe and random [6]")
    common.add_argument("--seeds", type=positive, default=2, help="graph seeds of each setting [2]")
    common.add_argument("--train-seeds", type=positive, default=1, help="training seeds of each graph [1]")
    common.add_argument("--generators", default="er,ba,ws", help="generators to compare [er,ba,ws]")
    common.add_argument("--seed", type=int, default=0, help="seed of the search [0]")
    common.add_argument("--early-stopping", action="store_true", help="successive halving over the trials' top-1")

    parser = Parser(
        prog=f"studies/{name}.py",
        description=description,
        epilog=key_help(),
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="plan|sweep|status|trial|report")
    add = {verb: verbs.add_parser(verb, parents=[common], help=text, allow_abbrev=False) for verb, text in (
        ("plan", "list the trials with their graphs and sizes; nothing runs"),
        ("sweep", "run what is left of the study"),
        ("status", "count trials by state"),
        ("trial", "run one trial of the plan in this process"),
        ("report", "write report.html from the records"),
    )}  # fmt: skip
    for verb in ("plan", "status"):
        add[verb].add_argument("--json", action="store_true", help="JSON on stdout")
    add["plan"].add_argument(
        "--images-per-s", type=positive, metavar="R", help="training images/s of one GPU: tells the GPU-hours"
    )
    add["sweep"].add_argument("--address", help="Ray cluster to use, such as auto; without: one on this machine")
    add["sweep"].add_argument("--workers", type=positive, default=2, help="DDP ranks of a trial, one GPU each [2]")
    add["sweep"].add_argument("--cpus-per-worker", type=positive, default=1, help="CPUs of a rank [1]")
    add["sweep"].add_argument("--concurrent", type=positive, help="settings at a time [as many as fit]")
    add["sweep"].add_argument("--no-open", action="store_true", help="do not open the report in a browser")
    add["trial"].add_argument("trial", help="number or digest of a trial, as `plan` lists it")

    def main() -> int:
        plain, keys = split(sys.argv[1:] if arguments is None else arguments)
        options = parser.parse_args(plain)
        return _VERBS[options.verb](_design(options, keys), options)

    return guarded(main)


def _design(options: argparse.Namespace, keys: Mapping[str, object]) -> Design:
    from randwire import registry
    from randwire.study.design import Design

    for key in ("graph.generator", "graph.path"):
        if key in keys:
            raise ConfigError(f"{key}: graphs are what the study varies; choose with --generators")
    generators = tuple(filter(None, options.generators.split(",")))
    known = registry.names("randwire.graphs")
    if not generators or any(generator not in known for generator in generators):
        raise ConfigError(f"--generators: must name some of {','.join(known)}, is {options.generators!r}")
    base = configuration.load(options.base, {**keys, "runtime.study": options.name})
    if base.train.pretrained is not None:
        raise ConfigError("train.pretrained: weights belong to one graph, and graphs are what the study varies")
    if base.graph.path is not None:
        raise ConfigError(f"--base: {options.base} has saved graphs, and graphs are what the study varies")
    return Design(
        base=base,
        search=options.search,
        settings=options.settings,
        seeds=options.seeds,
        train_seeds=options.train_seeds,
        generators=generators,
        seed=options.seed,
        early_stopping=options.early_stopping,
    )


def _plan(design: Design, options: argparse.Namespace) -> int:
    from randwire.study.plan import gpu_hours, plan, training_images

    trials, later = plan(design)
    images = training_images(trials)
    hours = gpu_hours(images, options.images_per_s) if options.images_per_s else None
    if options.json:
        rows = [trial.to_row() for trial in trials]
        print(json.dumps({"trials": rows, "later_settings": later, "training_images": images, "gpu_hours": hours}))
        return 0
    print(f"{'#':>4}  {'digest':<12}  {'setting':<14}{'graph':>6}{'train':>6}{'params':>12}{'mult-adds':>15}"
          f"{'sources':>8}{'depth':>6}  state")  # fmt: skip
    for trial in trials:
        config = trial.config
        print(
            f"{trial.number:>4}  {config.digest:<12}  {config.label:<14}{config.graph.seed:>6}"
            f"{config.train.seed:>6}{trial.params:>12,}{trial.mult_adds:>15,}{trial.sources:>8}{trial.depth:>6}"
            f"  {trial.state}"
        )
    each = design.seeds * design.train_seeds
    print(f"\n{len(trials)} trials of {design.base.train.epochs} epochs in {design.folder}, {each} a setting")
    cost = "" if hours is None else f": {hours:,.1f} GPU-hours at {options.images_per_s:,} images/s a GPU"
    print(f"their trainings see {images:,} images{cost}")
    if later > 0:
        print(f"{later} further settings ({later * each} trials) will depend on the results of these")
    return 0


def _sweep(design: Design, options: argparse.Namespace) -> int:
    from randwire.records import find
    from randwire.run import tracker_of
    from randwire.study.launch import Cluster, check, sweep
    from randwire.study.report import write_report

    cluster = Cluster(options.address, options.workers, options.cpus_per_worker, options.concurrent)
    check(design, cluster)
    tracker = tracker_of(design.base)
    try:
        failures = sweep(design, cluster, tracker)
    finally:
        tracker.close()
        if find(design.folder):
            page = write_report(design.folder)
            print(f"report: {page}", file=sys.stderr)
    _open(page, wanted=not options.no_open)
    print(page)
    return 1 if failures else 0


def _open(page: Path, wanted: bool) -> None:
    """Show a page where a person is likely to see it: on a terminal of a desktop."""
    desktop = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if wanted and desktop and sys.stderr.isatty():
        import webbrowser

        webbrowser.open(page.absolute().as_uri())


def _status(design: Design, options: argparse.Namespace) -> int:
    from randwire.study.plan import status, stored

    counts, rows = status(stored(design))
    if options.json:
        print(json.dumps({"counts": dict(counts), "trials": rows}))
        return 0
    for row in rows:
        top1 = "-" if row["val_top1"] is None else f"{row['val_top1']:.2f}%"
        print(
            f"{row['digest']}  {row['setting']:<16} g{row['graph_seed']} t{row['train_seed']}  {row['state']:<10} "
            f"{row['epochs']:>3}/{row['of']} epochs  top-1 {top1:>7}  {row['cause'] or ''}".rstrip()
        )
    print(", ".join(f"{number} {name}" for name, number in counts.items()) or f"{design.folder}: nothing started yet")
    return 0


def _trial(design: Design, options: argparse.Namespace) -> int:
    from randwire.study.plan import plan, stored

    design = stored(design)
    trials, _ = plan(design)
    for trial in trials:
        if options.trial in (str(trial.number), trial.config.digest):
            return train_one(trial.config)
    raise ConfigError(f"trial {options.trial}: not among the {len(trials)} trials that `plan` lists")


def _report(design: Design, options: argparse.Namespace) -> int:
    from randwire.study.report import write_report

    print(write_report(design.folder))
    return 0


_VERBS: Mapping[str, Callable[[Design, argparse.Namespace], int]] = {
    "plan": _plan,
    "sweep": _sweep,
    "status": _status,
    "trial": _trial,
    "report": _report,
}
