"""The command line of a study: its verbs and their options."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Literal, get_args

from randwire.arguments import Parser, file, folder, gpu_part, positive_float, positive_int
from randwire.cli.text import key_help
from randwire.config.runtime import STUDY_NAME
from randwire.study.fixed import PAPER, Family, SearchMethod

VERBS = {
    "plan": "list the trials with their graphs, sizes and cost; nothing runs",
    "sweep": "run what is left of the study",
    "status": "where the study stands, while a sweep runs too; exits 1 if a trial failed or cannot be read",
    "trial": "run one trial of the plan in this process; the first one begins the study",
    "report": "write report.html, and a table, from the records",
}


DESIGNING = ("plan", "sweep", "trial")
"""The verbs that begin a study, or extend it: they take the options of a design, and all keys."""
FINDING_KEYS = ("runtime.output",)
"""The keys that the other verbs take, which read the study as it is stored."""

Kind = Literal["search", "variants", "list"]
"""What a file in `studies` is for: a search or any other design, a fixed grid of variants, a list of its own."""


def study_parser(name: str, description: str | None, kind: Kind) -> Parser:
    """The parser of `studies/NAME.py`.

    Options of the design have no default here: what is not given comes from the study's folder.
    """
    parser = Parser(
        prog=f"studies/{name}.py",
        description=description,
        epilog=key_help(),
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="|".join(VERBS))
    place, design = _place(name), _design_options(kind)
    add = {
        verb: verbs.add_parser(
            verb,
            parents=[place, design] if verb in DESIGNING else [place],
            help=text,
            description=text,
            epilog=None if verb in DESIGNING else f"Of the keys, only {' and '.join(FINDING_KEYS)} can follow.",
            allow_abbrev=False,
        )
        for verb, text in VERBS.items()
    }
    for verb in ("plan", "status"):
        shown = add[verb].add_mutually_exclusive_group()
        shown.add_argument("--json", action="store_true", help="JSON on stdout, of every trial")
        shown.add_argument("--all", action="store_true", help="every trial, however many there are")
    for verb in ("plan", "sweep"):
        text = "DDP ranks of a trial, one GPU each [2; 1 where no machine holds 2, or they do not divide the batch]"
        add[verb].add_argument("--workers", type=positive_int, help=text)
        text = "a part of a GPU, for trials of one rank: 0.25 trains four at a time on each [1]"
        add[verb].add_argument("--gpus-per-worker", type=gpu_part, metavar="PART", help=text)
    for verb, what in (("sweep", "trials"), ("trial", "the trial")):
        text = f"begin {what} again that failed, from the first epoch; the record keeps what the failed one has left"
        add[verb].add_argument("--retry", action="store_true", help=text)
    _plan_options(add["plan"])
    _sweep_options(add["sweep"])
    add["status"].add_argument(
        "--watch",
        type=positive_float,
        nargs="?",
        const=5.0,
        metavar="SECONDS",
        help="show it again, until all has ended [5]",
    )
    text = "number or digest of a trial, as `plan` lists it with the same options and keys"
    add["trial"].add_argument("trial", help=text)
    _report_options(add["report"])
    return parser


def _place(name: str) -> Parser:
    place = Parser(add_help=False, allow_abbrev=False)
    text = f"name of the study, and of its folder below runs [{name}]"
    place.add_argument("--name", default=name, type=_study, help=text)
    return place


def _study(text: str) -> str:
    if not re.fullmatch(STUDY_NAME, text):
        raise argparse.ArgumentTypeError(
            f"must be letters, digits and . _ -, and begin with a letter or digit, is {text!r}"
        )
    return text


def _design_options(kind: Kind) -> Parser:
    common = Parser(add_help=False, allow_abbrev=False)
    group = common.add_argument_group("design", "What is not given is that of the study in the folder.")
    group.add_argument("--base", metavar="CONFIG", help="preset or YAML of all trials [digits]")
    if kind != "search":
        common.set_defaults(search=None, settings=1 if kind == "variants" else None)
        if kind == "variants":
            text = "variants to compare, such as conv,avgpool; also to add some to a study that has fewer [all]"
            group.add_argument("--variants", metavar="NAMES", help=text)
    else:
        methods = get_args(SearchMethod)
        text = "grid: the paper's Figure 4; list: those of --only; race: rounds that add seeds to the better half [tpe]"
        group.add_argument("--search", choices=methods, help=text)
        group.add_argument("--settings", type=positive_int, help="settings to try, in tpe and random [6]")
        _search_options(group)
    text = f"a setting that is compared, such as ws:k=4,p=0.75, fixed beforehand; {PAPER}: all 29 of Figure 4"
    group.add_argument("--only", action="append", metavar="SETTING", help=text)
    text = "graph seeds of each setting [2; with --confirm 10; of a race: in its first round, 1]"
    group.add_argument("--seeds", type=positive_int, help=text)
    group.add_argument(
        "--match-mult-adds",
        type=positive_float,
        metavar="N",
        help="give each network the channels whose multiply-adds are nearest N, on its own graphs",
    )
    group.add_argument("--train-seeds", type=positive_int, help="training seeds of each graph [1]")
    text = "generators, each in its best setting" if kind == "variants" else "generators to compare"
    group.add_argument("--generators", metavar="NAMES", help=f"{text}, such as er,ws [all of the default study]")
    group.add_argument("--seed", type=int, help="seed of the search [0]")
    group.add_argument(
        "--require", action="append", metavar="BOUND", help='train nothing else: "mult_adds<=600e6", "depth>=8"'
    )
    group.add_argument(
        "--early-stopping",
        action="store_true",
        default=None,
        help="successive halving over the first trial of each setting",
    )
    return common


def _search_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--confirm",
        metavar="STUDY",
        help="a list of the winner of each generator of an earlier study (name or folder), on seeds that it has not "
        "used; its configuration, unless --base names one",
    )
    group.add_argument(
        "--longer",
        metavar="STUDY",
        help="the same winners on the graphs and seeds that chose them, trained for more epochs (--train.epochs)",
    )
    text = "with --confirm or --longer: the N best settings instead"
    group.add_argument("--top", type=positive_int, metavar="N", help=text)
    group.add_argument(
        "--space",
        action="append",
        metavar="RANGE",
        help='of a search: values of a parameter, "ws.k=4:8:2" (low:high:step), or of a further key, '
        '"network.channels=48,64,78"; with "graph.seed=0:99" a suggestion is one network: sensible to find a good one, '
        "noise where settings are compared",
    )
    group.add_argument(
        "--objective",
        metavar="NAMES",
        help="of a search: what to maximise, or with a minus minimise, of top1 and what --require knows, such as "
        "top1,-mult_adds [top1]",
    )


def _plan_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--images-per-s",
        type=positive_float,
        metavar="R",
        help="training images/s of one GPU [measured, if any was trained]",
    )
    parser.add_argument("--gpus", type=positive_int, metavar="N", help="GPUs to train on: shows the time it takes")
    parser.add_argument("--price", type=positive_float, metavar="USD", help="dollars per GPU-hour: shows the dollars")
    text = "a true difference of top-1: shows the chance that the tests of the report find it, and n for 80 %%"
    parser.add_argument("--detect", type=positive_float, metavar="POINTS", help=text)
    text = "with --detect: standard deviation between graphs; of variants, of their difference [records, or Figure 4]"
    parser.add_argument("--std", type=positive_float, metavar="POINTS", help=text)
    text = "with --detect: what is tested: all pairs, those of the best of each generator, or one pair [all]"
    parser.add_argument("--family", choices=get_args(Family), help=text)


def _sweep_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--address",
        help="head of a Ray cluster, HOST:PORT, or auto for that of this machine; without: one is started here",
    )
    text = "CPUs of a rank [1; on GPUs all of a machine, divided by the ranks that fit its GPUs]"
    parser.add_argument("--cpus-per-worker", type=positive_int, help=text)
    parser.add_argument("--concurrent", type=positive_int, help="settings at a time [as many as fit]")
    parser.add_argument(
        "--stall-minutes",
        type=positive_float,
        default=10.0,
        metavar="M",
        help="a training without a step for so long is ended, and started again [10]",
    )
    parser.add_argument(
        "--losses", type=positive_int, default=4, metavar="N", help="give up what is lost N times without an epoch [4]"
    )
    parser.add_argument("--no-open", action="store_true", help="do not open the report in a browser")


def _report_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--table", type=_table, metavar="FILE", help="also write all trials and epochs as a table (.parquet or .csv)"
    )
    text = "also write the settings as a new file for Optuna's own tools: optuna-dashboard FILE"
    parser.add_argument("--optuna", type=file, metavar="FILE", help=text)
    text = "a further study (name, or folder) whose records the page is to hold, too; can be given several times"
    parser.add_argument("--with", dest="others", action="append", default=[], metavar="STUDY", help=text)
    text = "write the page there, and not into the study's folder: a file that ends in .html, or a folder"
    parser.add_argument("--output", type=folder, metavar="PATH", help=text)
    parser.add_argument("--publish", action="store_true", help="make or update a W&B report too; prints its link")


def _table(text: str) -> Path:
    path = Path(text)
    if path.suffix not in (".parquet", ".csv"):
        raise argparse.ArgumentTypeError("must end in .parquet or .csv")
    return path
