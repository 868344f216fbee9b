"""The command line of the conversion."""

import argparse
import inspect
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from randwire import machine, registry, storage
from randwire.arguments import Parser, folder, fraction, guarded, positive_float, positive_int
from randwire.data import beton
from randwire.data.codec import Encoding
from randwire.data.convert.conversion import convert, default_encoding, default_reading
from randwire.data.convert.estimate import print_estimate
from randwire.data.reading import Reading
from randwire.data.sources import SPLITS, Source, load_source
from randwire.names import printable
from randwire.stdio import delivered


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 done, 2 unusable data, 130 interrupted. Raises SystemExit(2) for wrong usage."""
    words = sys.argv[1:] if arguments is None else arguments
    return guarded(lambda: _run(words), interrupted="error: interrupted; nothing was written")


def _run(arguments: Sequence[str]) -> int:
    names = registry.names("randwire.data.sources")
    parser = Parser(
        prog="python -m randwire.data.convert",
        description="Convert a set of images to the form that training reads: OUTPUT/train.beton, val.beton, "
        "dataset.json.",
        epilog="SOURCE --help tells what each source needs.",
    )
    parser.add_argument("--check", metavar="DIR", help="look at a converted set instead: --check --help tells more")
    parser.add_argument("source", metavar="SOURCE", help=f"one of {', '.join(names)}")
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="...", help="[INPUT] OUTPUT and options")
    if arguments and arguments[0].partition("=")[0] == "--check":
        from randwire.data.convert import check_command  # numba takes its time to import

        return check_command.run([*filter(None, [arguments[0].partition("=")[2]]), *arguments[1:]])
    chosen = parser.parse_args(arguments)
    if chosen.check is not None:
        parser.error("--check: stands first, and takes no SOURCE")
    return _convert(chosen.source, load_source(chosen.source), chosen.rest)


def _convert(name: str, source: type[Source], arguments: Sequence[str]) -> int:
    parser = _parser(name, source)
    options = parser.parse_args(arguments)
    _check_together(parser, options, source)
    given = {option: value for option in source.options if (value := getattr(options, option)) is not None}
    reading = _reading(source, options)
    input, output = _paths(parser, name, source, options.paths, options.estimate)
    default = default_encoding(source)
    encoding = Encoding(
        options.mode,
        options.max_side,
        default.quality if options.quality is None else options.quality,
        default.compress_probability if options.compress_probability is None else options.compress_probability,
    )
    if options.estimate:
        print_estimate(source(input, **given), encoding, reading)
        delivered()
        return 0
    sidecar = convert(
        source(input, **given),
        name,
        output,
        options.force,
        encoding,
        reading,
        options.corrupt or "fail",
        options.processes or machine.cpus(),
        progress=True,
    )
    sizes = ", ".join(f"{sidecar.sizes[split]} {split}" for split in SPLITS)
    skipped = sum(len(sidecar.skipped[split]) for split in SPLITS)
    also = f", {skipped} skipped" if skipped else ""
    print(f"{printable(output)}: {sizes} images, {len(sidecar.classes)} classes{also}")
    return 0


def _reading(source: type[Source], options: argparse.Namespace) -> Reading:
    """How image files are read, as chosen."""
    default = default_reading(source)
    if not source.of_files:
        return default
    chosen = {
        "background": options.background,
        "value_range": options.value_range,
        "max_pixels": options.max_megapixels and max(1, round(options.max_megapixels * 1e6)),
    }
    return default.model_copy(update={name: value for name, value in chosen.items() if value is not None})


def _check_together(parser: Parser, options: argparse.Namespace, source: type[Source]) -> None:
    """Refuse options that would change nothing beside the others, or that no image of full size would fit."""
    if options.quality is not None and options.mode == "raw":
        parser.error("--quality: is of JPEG, and --mode raw stores none")
    if options.compress_probability is not None and options.mode != "proportion":
        parser.error(f"--compress-probability: is of --mode proportion, which is {options.mode}")
    as_pixels = options.mode == "raw" or (options.mode == "proportion" and options.compress_probability != 1)
    if source.of_files and as_pixels and (options.max_side or 0) > beton.RAW_SIDE:
        parser.error(
            f"--max-side: {options.max_side}x{options.max_side} pixels take {3 * options.max_side**2:,} bytes, "
            f"and at most {beton.PAGE_BYTES:,} can be stored: choose at most {beton.RAW_SIDE}, or --mode jpg"
        )
    if options.estimate:
        for option in ("corrupt", "processes", "force"):
            if getattr(options, option):
                parser.error(f"--{option}: is of a conversion, and --estimate converts nothing")


def _paths(
    parser: Parser, name: str, source: type[Source], paths: Sequence[Path], estimate: bool
) -> tuple[Path | None, Path]:
    """INPUT, unless there is none, and OUTPUT, which an estimate does without."""
    min_paths = (0 if source.embedded or source.input_optional else 1) + (0 if estimate else 1)
    max_paths = 1 if source.embedded else 2
    if not min_paths <= len(paths) <= max_paths:
        parser.error(f"{name}: takes {_usage(source)}, not {len(paths)} paths")
    rest = list(paths)
    output = Path() if estimate and len(rest) < max_paths else rest.pop()
    return (rest[0] if rest else None), output


def _usage(source: type[Source]) -> str:
    return "OUTPUT" if source.embedded else "[INPUT] OUTPUT" if source.input_optional else "INPUT OUTPUT"


def _parser(name: str, source: type[Source]) -> Parser:
    parser = Parser(
        prog=f"python -m randwire.data.convert {name}",
        description=inspect.getdoc(source),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("paths", metavar=_usage(source), type=_path, nargs="*", help="what to convert, folder to be written")
    for given, option in source.options.items():
        add(f"--{given.replace('_', '-')}", type=option.type, metavar=option.metavar, help=option.help)
    if source.of_files:
        reading = default_reading(source)
        add("--background", type=_colour, metavar="RRGGBB", help="colour under what is transparent [ffffff]")
        add(
            "--value-range",
            type=_value_range,
            metavar="LOW:HIGH",
            help="values of 32-bit integer and float images that become black and white [such images are refused]",
        )
        add(
            "--max-megapixels",
            type=positive_float,
            metavar="N",
            help=f"refuse larger images [{reading.max_pixels / 1e6:g}]",
        )
    default = default_encoding(source)
    add(
        "--mode",
        choices=["jpg", "raw", "proportion"],
        default=default.mode,
        help=f"how images are stored [{default.mode}]",
    )
    add(
        "--max-side",
        type=positive_int,
        default=default.max_side,
        metavar="PIXELS",
        help=f"reduce larger images to it [{default.max_side or 'no limit'}]",
    )
    add("--quality", type=_quality, help=f"of JPEG, 1 to 100 [{default.quality}]")
    add(
        "--compress-probability",
        type=fraction,
        metavar="P",
        help=f"share of JPEG in the mode proportion [{default.compress_probability:g}]",
    )
    add(
        "--corrupt",
        choices=["fail", "skip"],
        help="images that cannot be read: end with the name, or leave out and list them in dataset.json [fail]",
    )
    add("--processes", type=positive_int, help="processes that convert [all CPUs]")
    add("--force", action="store_true", help="replace a converted set at OUTPUT")
    add("--estimate", action="store_true", help="print the space that choices would take, and end")
    return parser


def _path(text: str) -> Path:
    if storage.is_url(text):
        raise argparse.ArgumentTypeError(
            f"{text} is a URL, and a conversion is on disks of this machine; copy the folder"
        )
    path = folder(text)
    if not text.startswith("~") or Path(path.parts[0]).exists():
        return path
    try:
        return path.expanduser()  # in quotes, the shell has left it as it is
    except RuntimeError:
        raise argparse.ArgumentTypeError(f"{text}: no such user, nor a folder {path.parts[0]} here") from None


def _colour(text: str) -> tuple[int, int, int]:
    if not re.fullmatch("#?[0-9a-fA-F]{6}", text):
        raise ValueError
    red, green, blue = bytes.fromhex(text.removeprefix("#"))
    return red, green, blue


def _value_range(text: str) -> tuple[float, float]:
    low, high = map(float, text.split(":"))
    if not (math.isfinite(high - low) and low < high):
        raise ValueError
    return low, high


def _quality(text: str) -> int:
    if not 1 <= (value := int(text)) <= 100:
        raise ValueError
    return value


_path.__name__ = "path"
_colour.__name__ = "colour such as ffffff"
_value_range.__name__ = "range such as 0:1"
_quality.__name__ = "number from 1 to 100"  # argparse names the type in its message
