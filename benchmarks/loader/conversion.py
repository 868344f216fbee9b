"""The images, and how long their conversion takes."""

import json
import sys
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.loader.processes import cpu_seconds, run_command

FORMS = {
    "jpg 500": ["--mode", "jpg", "--max-side", "500"],
    "jpg 400": ["--mode", "jpg", "--max-side", "400"],
    "raw 400": ["--mode", "raw", "--max-side", "400"],
}
"""The conversions that are measured, and what asks for them."""


@dataclass
class Conversion:
    """What one conversion took, over both splits, and what it wrote to the disk."""

    name: str
    images_per_s: float
    cpu_ms_per_image: float
    kb_per_image: float


def make_set(folder: Path, images: int) -> list[Path]:
    """The training images as files in class folders, made unless they are there."""
    if not (folder / "ILSVRC2012_devkit_t12.tar.gz").exists():  # the last file that is written
        counts = ["--train", str(images), "--val", str(images // 10)]
        run_command([sys.executable, "-m", "benchmarks.imagenet_like", str(folder), *counts])
    with tarfile.open(folder / "ILSVRC2012_img_train.tar") as outer:
        for member in outer:
            with tarfile.open(fileobj=outer.extractfile(member)) as inner:
                inner.extractall(folder / "files" / Path(member.name).stem, filter="data")
    return sorted((folder / "files").glob("*/*.JPEG"))


def convert(source: Path, name: str, output: Path) -> Conversion:
    """Convert the archives in `source` by the command that a user would type."""
    archives = ["--train-tar", "ILSVRC2012_img_train.tar", "--val-tar", "ILSVRC2012_img_val.tar"]
    archives += ["--val-labels", "synset_labels.txt"]
    words = [item if item.startswith("--") else str(source / item) for item in archives]
    command = [sys.executable, "-m", "randwire.data.convert", "imagenet", *words, *FORMS[name]]
    cpu, wall = cpu_seconds(), time.perf_counter()
    run_command([*command, str(output.absolute()), *(["--force"] if output.exists() else [])])
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    images = sum(json.loads((output / "dataset.json").read_bytes())["sizes"].values())
    size = sum(path.stat().st_size for path in output.iterdir())
    return Conversion(name, images / wall, 1000 * cpu / images, size / images / 1000)
