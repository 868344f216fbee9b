"""How fast are the batches made? Against a DataLoader with PIL or OpenCV, and against what FFCV's decoder allows.

python -m benchmarks.loader [--images 2000] [--rounds 5] [--json FILE] [--set FOLDER]

It makes a set like ImageNet (benchmarks.imagenet_like), converts it and measures epochs of training images: 224
pixels, random resized crop, random flip, as many threads or processes as there are CPUs. The methods take turns, so
that whatever else the machine does meets all of them; ratios are taken within a round. CPU time counts all threads and
processes, and depends less on the load of the machine than wall time does. A folder for temporary files with 0.7 MB for
each image is needed.

    PIL, files       the baseline: a DataLoader over the original files in class folders, as torchvision would read them
    PIL, stored      the same over the smaller JPEG images that the conversion stores
    OpenCV, files    the same as the baseline with OpenCV
    limit ...        FFCV's functions to decode and resize the stored images, and nothing else; crops drawn beforehand
    randwire ...     randwire.data.Loader
"""

import argparse
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmarks.loader.conversion import FORMS, convert, make_set
from benchmarks.loader.epochs import measure, methods
from benchmarks.loader.report import Report, machine
from benchmarks.loader.start import first_batches


def run(folder: Path, images: int, rounds: int) -> Report:
    """Make the set in `folder`, convert it there and measure everything."""
    before = os.getloadavg()[0]
    files = make_set(folder, images)
    sets = {name: folder / name.replace(" ", "-") for name in FORMS}
    conversions = [convert(folder, name, output) for name, output in sets.items()]
    starts = first_batches(sets["jpg 500"])
    epochs = measure(methods(files, sets), rounds)
    size = float(np.mean([path.stat().st_size for path in files])) / 1000
    about = {**machine(), "load": (before, os.getloadavg()[0])}
    return Report(about, len(files), size, rounds, epochs, conversions, starts)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=2000, help="training images, at least 1000 [%(default)s]")
    parser.add_argument("--rounds", type=int, default=5, help="epochs of each method [%(default)s]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured there")
    parser.add_argument(
        "--set", type=Path, metavar="FOLDER", help="make the images there and keep all, or use those there"
    )
    arguments = parser.parse_args()
    if arguments.images < 1000 or arguments.rounds < 1:
        parser.error("--images must be at least 1000, one for each class, and --rounds at least 1")
    with tempfile.TemporaryDirectory(prefix="randwire-benchmark-") as scratch:
        os.environ["RANDWIRE_CACHE"] = str(Path(scratch, "cache"))  # read when the loader is imported
        report = run(arguments.set or Path(scratch, "set"), arguments.images, arguments.rounds)
    report.show()
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(report), indent=1) + "\n")


if __name__ == "__main__":
    main()
