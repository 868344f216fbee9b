"""The methods, and how long their epochs take."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from tqdm import tqdm

from benchmarks.loader.baseline import AREA, ASPECT, BATCH, CPUS, SIDE, Images, with_opencv, with_pil
from benchmarks.loader.limit import Limit, Stored
from benchmarks.loader.processes import cpu_seconds
from randwire.config import DataConfig

BASELINE = "PIL, files"


class Method(NamedTuple):
    """A way to make batches: `epoch` makes those of one epoch and returns the number of images."""

    name: str
    epoch: Callable[[int], int]
    limit: str = ""


@dataclass
class Measured:
    """What one method did in each round."""

    name: str
    limit: str
    images_per_s: list[float]
    cpu_ms_per_image: list[float]


def ours(folder: Path, **keys: object) -> Callable[[int], int]:
    """An epoch of randwire's loader. Raises ValueError for unknown keys of the configuration."""
    from randwire.data import Batching, Loader, prepare

    values = {"resolution": SIDE, "crop_area": AREA, "crop_aspect": ASPECT, "flip": 0.5, **keys}
    config = DataConfig.model_validate({"source": "imagenet", "path": str(folder), **values})
    loader = Loader(prepare(config), "train", config, Batching(batch_size=BATCH, threads=CPUS))
    return lambda number: sum(len(images) for images, _ in loader.epoch(number))


def methods(files: Sequence[Path], sets: dict[str, Path]) -> list[Method]:
    """What is measured, in the order of a round."""

    def opened(index: int) -> IO[bytes]:
        return open(files[index], "rb")

    folders = sorted({path.parent.name for path in files})
    labels = [folders.index(path.parent.name) for path in files]
    stored = {name: Stored(folder) for name, folder in sets.items()}
    payloads = stored["jpg 500"]
    all_methods = [
        Method(BASELINE, Images(labels, opened, with_pil).epoch),
        Method("PIL, stored jpg 500", Images(payloads.labels, payloads.read, with_pil).epoch),
        Method("OpenCV, files", Images(labels, opened, with_opencv).epoch),
    ]
    for name, folder in sets.items():
        all_methods.append(Method(f"limit {name}", Limit(stored[name]).epoch))
        all_methods.append(Method(f"randwire {name}", ours(folder), f"limit {name}"))
    order = ours(sets["jpg 500"], order="quasi-random")
    return [*all_methods, Method("randwire jpg 500, quasi-random", order, "limit jpg 500")]


def measure(to_measure: Sequence[Method], rounds: int) -> list[Measured]:
    """All methods in turn, `rounds` times, after a round that does not count."""
    results = [Measured(method.name, method.limit, [], []) for method in to_measure]
    with tqdm(total=(rounds + 1) * len(to_measure), desc="epochs", disable=None) as progress:
        for number in range(rounds + 1):
            for method, result in zip(to_measure, results, strict=True):
                cpu, wall = cpu_seconds(), time.perf_counter()
                images = method.epoch(number)
                wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
                if number > 0:
                    result.images_per_s.append(images / wall)
                    result.cpu_ms_per_image.append(1000 * cpu / images)
                progress.update()
    return results
