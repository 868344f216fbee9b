"""The command line of the conversion."""

import argparse
import inspect
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from randwire import registry
from randwire.data.codec import Encoding
from randwire.data.convert import convert, default_encoding, show_estimate
from randwire.data.sources import SPLITS, Source, load_source
from randwire.errors import DataError


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise DataError(f"{message}; see --help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 done, 2 wrong usage or unusable data, 130 interrupted."""
    try:
        return _run(sys.argv[1:] if arguments is None else arguments)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("error: interrupted; nothing was written", file=sys.stderr)
        return 130


def _run(arguments: Sequence[str]) -> int:
    known = registry.names("randwire.data.sources")
    outer = _Parser(
        prog="python -m randwire.data.convert",
        description="Convert a set of images to the form that training reads: OUTPUT/train.beton, val.beton, "
        "dataset.json.",
        epilog="SOURCE --help tells what each source needs.",
    )
    outer.add_argument("source", metavar="SOURCE", help=f"one of {', '.join(known)}")
    outer.add_argument("rest", nargs=argparse.REMAINDER, metavar="...", help="[INPUT] OUTPUT and options")
    chosen = outer.parse_args(arguments)
    source = load_source(chosen.source)
    options = _parser(chosen.source, source).parse_args(chosen.rest)
    files = {name: path for name in source.options if (path := getattr(options, name)) is not None}
    input, output = _paths(chosen.source, source, options.paths, options.estimate)
    made = source(input, **files)
    encoding = Encoding(options.mode, options.max_side, options.quality, options.compress_probability)
    if options.estimate:
        show_estimate(made, encoding)
        return 0
    sidecar = convert(
        made, chosen.source, output, options.force, encoding, options.corrupt, options.workers, progress=True
    )
    sizes = ", ".join(f"{sidecar.sizes[split]} {split}" for split in SPLITS)
    skipped = sum(len(sidecar.skipped[split]) for split in SPLITS)
    left_out = f", {skipped} left out" if skipped else ""
    print(f"{output}: {sizes} images, {len(sidecar.classes)} classes{left_out}")
    return 0


def _paths(name: str, source: type[Source], paths: Sequence[Path], estimate: bool) -> tuple[Path | None, Path]:
    """INPUT, unless there is none, and OUTPUT, which an estimate does without."""
    least = (0 if source.embedded or source.options else 1) + (0 if estimate else 1)
    most = 1 if source.embedded else 2
    if not least <= len(paths) <= most:
        raise DataError(f"{name}: takes {_usage(source)}, not {len(paths)} paths; see --help")
    rest = list(paths)
    output = Path() if estimate and len(rest) < most else rest.pop()
    return (rest[0] if rest else None), output


def _usage(source: type[Source]) -> str:
    return "OUTPUT" if source.embedded else "[INPUT] OUTPUT" if source.options else "INPUT OUTPUT"


def _parser(name: str, source: type[Source]) -> _Parser:
    parser = _Parser(
        prog=f"python -m randwire.data.convert {name}",
        description=inspect.getdoc(source),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "paths", metavar=_usage(source), type=Path, nargs="*", help="what to convert, folder to be written"
    )
    for option, description in source.options.items():
        parser.add_argument(f"--{option.replace('_', '-')}", type=Path, metavar="PATH", help=description)
    usual = default_encoding(source)
    parser.add_argument(
        "--mode", choices=["jpg", "raw", "proportion"], default=usual.mode, help=f"how images are stored [{usual.mode}]"
    )
    parser.add_argument(
        "--max-side",
        type=_natural,
        default=usual.max_side,
        metavar="PIXELS",
        help=f"reduce larger images to it [{usual.max_side or 'no limit'}]",
    )
    parser.add_argument("--quality", type=_quality, default=usual.quality, help=f"of JPEG, 1 to 100 [{usual.quality}]")
    parser.add_argument(
        "--compress-probability",
        type=_share,
        default=usual.compress_probability,
        metavar="P",
        help=f"share of JPEG in the mode proportion [{usual.compress_probability:g}]",
    )
    parser.add_argument(
        "--corrupt",
        choices=["fail", "skip"],
        default="fail",
        help="images that cannot be read: end with the name, or leave out and list them in dataset.json [fail]",
    )
    parser.add_argument("--workers", type=_natural, default=len(os.sched_getaffinity(0)), help="processes [all CPUs]")
    parser.add_argument("--force", action="store_true", help="replace a converted set at OUTPUT")
    parser.add_argument("--estimate", action="store_true", help="print the space that choices would take, and end")
    return parser


def _natural(text: str) -> int:
    if (value := int(text)) < 1:
        raise ValueError
    return value


def _quality(text: str) -> int:
    if not 1 <= (value := int(text)) <= 100:
        raise ValueError
    return value


def _share(text: str) -> float:
    if not 0 <= (value := float(text)) <= 1:
        raise ValueError
    return value


_natural.__name__, _quality.__name__, _share.__name__ = "number above 0", "number from 1 to 100", "number from 0 to 1"
