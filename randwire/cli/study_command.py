"""`studies/NAME.py`: the verbs of a study."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from randwire import config as configuration
from randwire.arguments import Parser, guarded, positive_float, positive_int, split
from randwire.cli.plan_verb import show_plan
from randwire.cli.status_verb import show_status
from randwire.cli.text import key_help
from randwire.cli.train_command import train_one
from randwire.errors import ConfigError

if TYPE_CHECKING:
    from randwire.config import RunConfig
    from randwire.study.design import Design


Variants = Callable[["RunConfig"], Mapping[str, Mapping[str, object]]]
"""The variants that a study compares: dotted keys by name, from the configuration of all trials."""


def study(
    name: str, description: str | None, arguments: Sequence[str] | None = None, variants: Variants | None = None
) -> int:
    """`studies/NAME.py`: plan, sweep, status, trial, report. With `variants` it is a fixed grid of them."""
    common = Parser(add_help=False, allow_abbrev=False)
    common.add_argument("--base", default="digits", metavar="CONFIG", help="preset or YAML of all trials [digits]")
    common.add_argument("--name", default=name, help=f"name of the study, and of its folder below runs [{name}]")
    if variants is None:
        help = "grid: the paper's Figure 4"
        common.add_argument("--search", choices=("tpe", "random", "grid"), default="tpe", help=help)
        common.add_argument("--settings", type=positive_int, default=6, help="settings to try, in tpe and random [6]")
    else:
        common.set_defaults(search="grid", settings=1)
    common.add_argument("--seeds", type=positive_int, default=2, help="graph seeds of each setting [2]")
    common.add_argument("--train-seeds", type=positive_int, default=1, help="training seeds of each graph [1]")
    text = "generators to compare" if variants is None else "generators, each in its best setting"
    common.add_argument("--generators", metavar="NAMES", help=f"{text}, such as er,ws [all that studies compare]")
    common.add_argument("--seed", type=int, default=0, help="seed of the search [0]")
    common.add_argument(
        "--require",
        action="append",
        default=[],
        metavar="BOUND",
        help='train nothing else: "mult_adds<=600e6", "depth>=8"',
    )
    help = "successive halving over the first trial of each setting"
    common.add_argument("--early-stopping", action="store_true", help=help)

    parser = Parser(
        prog=f"studies/{name}.py",
        description=description,
        epilog=key_help(),
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="plan|sweep|status|trial|report")
    add = {verb: verbs.add_parser(verb, parents=[common], help=text, allow_abbrev=False) for verb, text in (
        ("plan", "list the trials with their graphs, sizes and cost; nothing runs"),
        ("sweep", "run what is left of the study"),
        ("status", "where the study stands; works while a sweep runs"),
        ("trial", "run one trial of the plan in this process"),
        ("report", "write report.html, and a table, from the records"),
    )}  # fmt: skip
    for verb in ("plan", "status"):
        add[verb].add_argument("--json", action="store_true", help="JSON on stdout")
        add[verb].add_argument("--all", action="store_true", help="every trial, however many there are")
    for verb in ("plan", "sweep"):
        add[verb].add_argument("--workers", type=positive_int, default=2, help="DDP ranks of a trial, one GPU each [2]")
    add["plan"].add_argument(
        "--images-per-s",
        type=positive_float,
        metavar="R",
        help="training images/s of one GPU [measured, if any was trained]",
    )
    add["plan"].add_argument("--gpus", type=positive_int, metavar="N", help="GPUs to train on: tells the time it takes")
    add["plan"].add_argument(
        "--price", type=positive_float, metavar="USD", help="dollars per GPU-hour: tells the dollars"
    )
    add["status"].add_argument(
        "--watch",
        type=positive_float,
        nargs="?",
        const=5.0,
        metavar="SECONDS",
        help="show it again, until all has ended [5]",
    )
    add["sweep"].add_argument("--address", help="Ray cluster to use, such as auto; without: one on this machine")
    add["sweep"].add_argument("--cpus-per-worker", type=positive_int, default=1, help="CPUs of a rank [1]")
    add["sweep"].add_argument("--concurrent", type=positive_int, help="settings at a time [as many as fit]")
    add["sweep"].add_argument(
        "--stall-minutes",
        type=positive_float,
        default=10.0,
        metavar="M",
        help="a training without a step for so long is ended, and started again [10]",
    )
    add["sweep"].add_argument(
        "--losses", type=positive_int, default=4, metavar="N", help="give up what is lost N times without an epoch [4]"
    )
    add["sweep"].add_argument("--no-open", action="store_true", help="do not open the report in a browser")
    add["report"].add_argument(
        "--table", type=_table, metavar="FILE", help="also write all trials and epochs as a table (.parquet or .csv)"
    )
    add["report"].add_argument(
        "--publish", action="store_true", help="make or update a W&B report too; prints its link"
    )
    add["trial"].add_argument("trial", help="number or digest of a trial, as `plan` lists it")

    def main() -> int:
        plain, keys = split(sys.argv[1:] if arguments is None else arguments)
        options = parser.parse_args(plain)
        return _VERBS[options.verb](_design(options, keys, variants), options)

    return guarded(main)


def _design(options: argparse.Namespace, keys: Mapping[str, object], variants: Variants | None) -> Design:
    from randwire.study.design import Design
    from randwire.study.requirements import Requirement

    for key in ("graph.generator", "graph.path"):
        if key in keys:
            raise ConfigError(f"{key}: graphs are what the study varies; choose with --generators")
    generators = _generators(options.generators)
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
        require=tuple(sorted({Requirement.parse(text) for text in options.require})),
        variants=variants(base) if variants else {},
    )


def _generators(text: str | None) -> tuple[str, ...]:
    """The generators that an option names; without it, those of the default study."""
    from randwire.study import space

    if text is None:
        return space.default()
    names = tuple(filter(None, text.split(",")))
    if not names or any(name not in space.names() for name in names):
        raise ConfigError(f"--generators: must name some of {','.join(space.names())}, is {text!r}")
    return names


def _sweep(design: Design, options: argparse.Namespace) -> int:
    from randwire.records import find_records
    from randwire.report.page.study_page import write_report
    from randwire.sweep import Cluster, Timeouts
    from randwire.sweep.launch import check, sweep

    cluster = Cluster(
        options.address,
        options.workers,
        options.cpus_per_worker,
        options.concurrent,
        options.losses,
        Timeouts(stall_s=60 * options.stall_minutes),
    )
    check(design, cluster)
    try:
        failures = sweep(design, cluster)
    finally:
        page = write_report(design.folder) if find_records(design.folder) else None
        if page:
            print(f"report: {page}", file=sys.stderr)
    if page:
        _open(page, wanted=not options.no_open)
        print(page)
    return 1 if failures else 0


def _open(page: Path, wanted: bool) -> None:
    """Show a page where a person is likely to see it: on a terminal of a desktop."""
    desktop = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if wanted and desktop and sys.stderr.isatty():
        import webbrowser

        webbrowser.open(page.absolute().as_uri())


def _trial(design: Design, options: argparse.Namespace) -> int:
    from randwire.study.plan import listing, stored

    trials = listing(stored(design)).trials
    for number, trial in enumerate(trials, 1):
        if options.trial in (str(number), trial.digest):
            return train_one(trial)
    raise ConfigError(f"trial {options.trial}: not among the {len(trials)} trials that `plan` lists")


def _report(design: Design, options: argparse.Namespace) -> int:
    from randwire.report.page.study_page import write_report

    print(write_report(design.folder), flush=True)
    if options.table:
        from randwire.report.table import write_table

        broken = write_table(design.folder, options.table)
        if broken:
            print(
                f"{len(broken)} records cannot be read and are not in the table; the report lists them", file=sys.stderr
            )
        print(options.table)
    if options.publish:
        from randwire.report.publishing.publisher import publish

        print(publish(design.folder))
    return 0


def _table(text: str) -> Path:
    path = Path(text)
    if path.suffix not in (".parquet", ".csv"):
        raise argparse.ArgumentTypeError("must end in .parquet or .csv")
    return path


_VERBS: Mapping[str, Callable[[Design, argparse.Namespace], int]] = {
    "plan": show_plan,
    "sweep": _sweep,
    "status": show_status,
    "trial": _trial,
    "report": _report,
}
