"""`studies/damage.py`: what trained networks lose with a node or an edge."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path

from randwire import config as configuration
from randwire.arguments import Parser, folder, guarded, non_negative_int, positive_int, split
from randwire.errors import ConfigError
from randwire.stdio import delivered

TRAINING_KEYS = ("graph.generator", "graph.path", "train.pretrained", "runtime.output", "runtime.study")
"""Keys that the training of the networks sets itself."""
MEASURING_KEYS = ("runtime.device", "runtime.loader_workers")
"""Keys of a training that the measurement after it takes, too."""


def damage_parser(description: str | None) -> Parser:
    """The parser of `studies/damage.py`."""
    common = Parser(add_help=False, allow_abbrev=False)
    common.add_argument(
        "--output", type=folder, default=Path("runs/damage"), metavar="FOLDER", help="of the results [runs/damage]"
    )
    parser = Parser(
        prog="studies/damage.py",
        description=description,
        epilog="Keys of train.py can follow `run`: those of an evaluation, or without a RECORD those of a training.",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="run|report")
    run = verbs.add_parser("run", parents=[common], help="measure what is left, and report", allow_abbrev=False)
    run.add_argument(
        "records",
        nargs="*",
        metavar="RECORD",
        help="folders of trained networks, or checkpoint files; without: the best setting of each generator, on digits",
    )
    run.add_argument("--nodes", type=_count, metavar="all|N", help="nodes to remove of each network [all]")
    run.add_argument("--edges", type=_count, metavar="all|N", help="edges to remove of each network [all]")
    run.add_argument(
        "--recalibrate",
        type=non_negative_int,
        default=8,
        metavar="BATCHES",
        help="evaluate also with BN statistics of so many [8]",
    )
    run.add_argument(
        "--images", type=positive_int, metavar="N", help="validation images, a random sample; kept in memory [all]"
    )
    run.add_argument("--seed", type=non_negative_int, help="seed of what is sampled [0]")
    verbs.add_parser("report", parents=[common], help="write report.html from the results", allow_abbrev=False)
    return parser


def damage(description: str | None, arguments: Sequence[str] | None = None) -> int:
    """`studies/damage.py`: run, report."""
    parser = damage_parser(description)

    def main() -> int:
        plain, texts = split(sys.argv[1:] if arguments is None else arguments)
        options = parser.options_of(plain)
        keys = configuration.parse_all(texts)
        if options.verb == "report":
            if keys:
                raise ConfigError(f"{next(iter(keys))}: is not for report, which takes the results as they are")
        elif status := _run(options, keys):
            return status
        from randwire.damage.page import write_report

        print(write_report(options.output))
        if options.verb == "report":
            delivered()
        return 0

    return guarded(main)


def _run(options: argparse.Namespace, keys: Mapping[str, object]) -> int:
    from randwire.damage.measure import Options, run

    if options.seed is not None and not (options.nodes or options.edges or options.images):
        raise ConfigError("--seed: draws samples, and there are none; give --nodes N, --edges N or --images N, too")
    damage_options = Options(options.nodes, options.edges, options.images, options.recalibrate, options.seed or 0)
    if options.records:
        for record in options.records:
            if not Path(record).exists():
                raise ConfigError(f"{record}: no such record; name folders of records, or checkpoint files")
        run(options.records, damage_options, options.output, keys)
        return 0
    trained = _train(options.output, keys)
    if trained:
        again = {key: value for key, value in keys.items() if key in MEASURING_KEYS}
        run(trained, damage_options, options.output, again)
    return 0 if trained else 1


def _train(folder: Path, keys: Mapping[str, object]) -> list[str]:
    """The records of small networks on the digits, one of each generator of the default study.

    They are trained where they are not; the list is empty if a training failed.
    """
    from randwire import run
    from randwire.cli.train_command import train_one
    from randwire.ending import ending_of
    from randwire.study import space

    if wrong := [key for key in keys if key in TRAINING_KEYS]:
        raise ConfigError(f"{wrong[0]}: without a RECORD, the networks are trained in the folder of --output")
    output_keys = {"runtime.output": str(folder.parent), "runtime.study": folder.absolute().name}
    specs = space.best(space.default())
    configs = [configuration.load("digits", {**keys, **output_keys, "graph.generator": spec}) for spec in specs]
    for config in configs:
        if ending_of(run.record_of(config)) is None:
            print(f"training {config.title}", file=sys.stderr)
            with redirect_stdout(sys.stderr):
                status = train_one(config)
            if status:
                return []
    return [str(run.record_of(config)) for config in configs]


def _count(text: str) -> int | None:
    return None if text == "all" else non_negative_int(text)


_count.__name__ = "whole number or all"  # argparse names the type in its message
