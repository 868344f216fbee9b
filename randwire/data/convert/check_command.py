"""`python -m randwire.data.convert --check DIR`."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from randwire import machine, registry, storage
from randwire.arguments import Parser, folder
from randwire.data.convert.check import Checked, check
from randwire.data.convert.figures import Spread
from randwire.data.convert.output import SHEET
from randwire.data.formats import counted
from randwire.data.reading import Reading
from randwire.data.sidecar import Sidecar
from randwire.data.sources import SPLITS, load_source
from randwire.names import printable
from randwire.stdio import delivered

MAX_LISTED = 30
"""Classes that are listed each; of more, the smallest and the largest."""
ENDS = 5
"""Of the smallest and of the largest classes."""
MAX_NAME = 60
"""Letters of a class in the list."""


def check_parser() -> Parser:
    """The parser of what follows --check."""
    parser = Parser(
        prog="python -m randwire.data.convert --check",
        description="Read every image of a converted set back once, as a training does: checksums, numbers of images, "
        "doubles, sizes, mean and standard deviation; and write a contact sheet, a PNG with a few images of each class "
        "as a network sees them. Exit status 1 if anything is wrong with the set.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", metavar="DIR", type=_folder, help="the folder that a conversion has written")
    parser.add_argument(
        "--resolution", type=_side, metavar="N", help="pixels of the crops on the sheet [that of the source's preset]"
    )
    parser.add_argument(
        "--crop", type=_share, metavar="SHARE", help="of the side, for validation crops [that of the source's preset]"
    )
    parser.add_argument("--sheet", type=_png, metavar="FILE", help=f"where the contact sheet is written [DIR/{SHEET}]")
    parser.add_argument("--json", action="store_true", help="all figures as one JSON object on stdout")
    return parser


def run(words: Sequence[str]) -> int:
    """Check a set; returns the exit status: 0 all is right, 1 something is wrong. Raises DataError if there is none."""
    options = check_parser().parse_args(words)
    crops = {"resolution": options.resolution, "eval_crop": options.crop}
    given = {key: value for key, value in crops.items() if value is not None}
    if "resolution" in given:
        given["eval_resolution"] = None
    checked = check(options.folder, options.sheet or options.folder / SHEET, given, machine.cpus())
    if options.json:
        about = {"problems": checked.problems, "warnings": checked.warnings, "sheet": str(checked.sheet)}
        print(json.dumps({**checked.figures.to_dict(checked.sidecar), **about}))
    else:
        for line in _lines(options, checked):
            print(line)
    for line in checked.warnings:
        print(f"warning: {printable(line)}", file=sys.stderr)
    for line in checked.problems:
        print(f"error: {printable(line)}", file=sys.stderr)
    delivered()
    return 1 if checked.problems else 0


def _lines(options: argparse.Namespace, checked: Checked) -> Iterator[str]:
    sidecar, found = checked.sidecar, checked.figures
    yield f"{printable(options.folder)}: {sidecar.source}, {len(sidecar.classes):,} classes, {_stored(sidecar)}"
    if _of_files(sidecar.source):
        yield f"read: {_read(sidecar.reading)}"
    if sidecar.options:
        yield "options: " + ", ".join(
            f"--{name.replace('_', '-')} {value:g}" for name, value in sidecar.options.items()
        )
    for split in SPLITS:
        one = found.splits[split]
        sides = f"widths {_range(one.width)}, heights {_range(one.height)}"
        yield f"{split}: {one.per_class.sum():,} images, {one.bytes / 1e6:,.1f} MB, {one.jpeg:,} as JPEG; {sides}"
    yield from _classes(checked)
    doubles = found.doubles
    yield (
        f"equal to the byte: {doubles.val_in_train:,} of val with one of train, {doubles.train:,} within train, "
        f"{doubles.val:,} within val; {doubles.in_several_classes:,} pictures in several classes"
    )
    compressed = "" if sidecar.mode == "raw" else ", of the pixels before compression"
    for name, recomputed, said in (("mean", found.mean, sidecar.mean), ("std", found.std, sidecar.std)):
        read, told = (" ".join(f"{value:.2f}" for value in values or "") or "-" for values in (recomputed, said))
        yield f"{name} in 0 to 255: {read} as read back, {told} in dataset.json{compressed}"
    for split in SPLITS:
        for reason, count in sidecar.left_out.get(split, {}).items():
            yield f"left out of {split}: {counted(count, reason)}"
        if skipped := sidecar.skipped.get(split, ()):
            yield f"skipped in {split}: {len(skipped):,} that could not be used, such as {printable(skipped[0])}"
    yield f"contact sheet: {printable(checked.sheet)}"


def _classes(checked: Checked) -> Iterator[str]:
    """The images of each class, or of the smallest and the largest."""
    classes = checked.sidecar.classes
    train, val = (checked.figures.splits[split].per_class for split in SPLITS)
    if len(classes) <= MAX_LISTED:
        listed = [("", np.arange(len(classes)))]
    else:
        order = np.argsort(train, kind="stable")
        listed = [("smallest ", order[:ENDS]), ("largest ", order[-ENDS:])]
    names = {label: f"{which}{_cut(printable(classes[label]))}" for which, labels in listed for label in labels}
    width = max(len("class"), *map(len, names.values()))
    yield f"{'class':<{width}}{'train':>11}{'val':>11}"
    for label, name in names.items():
        yield f"{name:<{width}}{train[label]:>11,}{val[label]:>11,}"
    ends = ", ".join(
        f"{counts.min():,} to {counts.max():,} in {split}" for split, counts in zip(SPLITS, (train, val), strict=True)
    )
    yield f"images of a class: {ends}"


def _cut(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"


def _range(one: Spread) -> str:
    if one.smallest == one.largest:
        return f"{one.smallest:,}"
    return f"{one.smallest:,} to {one.largest:,} (median {one.median:,})"


def _stored(sidecar: Sidecar) -> str:
    how = {"raw": "as pixels", "jpg": f"as JPEG of quality {sidecar.quality}"}
    mixed = f"as JPEG of quality {sidecar.quality} with probability {sidecar.compress_probability}, else as pixels"
    reduced = f", reduced to {sidecar.reduced_to} pixels" if sidecar.reduced_to else ""
    return f"stored {how.get(sidecar.mode, mixed)}{reduced}"


def _of_files(source: str) -> bool:
    """Whether the images were files, as far as this version knows the source."""
    return source not in registry.names("randwire.data.sources") or load_source(source).of_files


def _read(reading: Reading) -> str:
    """How image files became pixels."""
    turned = "turned as their EXIF data says" if reading.upright else "not turned by their EXIF data"
    scaled = "" if reading.value_range is None else ", {:g} to {:g} as black to white".format(*reading.value_range)
    return f"{turned}, #{bytes(reading.background).hex()} under what is transparent{scaled}"


def _folder(text: str) -> Path:
    if storage.is_url(text):
        raise argparse.ArgumentTypeError(f"{printable(text)} is a URL; copy the set to this machine and name the copy")
    return folder(text)


def _side(text: str) -> int:
    if not 8 <= (value := int(text)) <= 1024:
        raise ValueError
    return value


def _share(text: str) -> float:
    if not 0 < (value := float(text)) <= 1:
        raise ValueError
    return value


def _png(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() != ".png":
        raise ValueError
    return path


_folder.__name__ = "folder"
_side.__name__ = "number from 8 to 1024"
_share.__name__ = "share above 0, at most 1"
_png.__name__ = "file whose name ends in .png"
