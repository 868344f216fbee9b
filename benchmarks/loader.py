"""How fast are the batches made? Against a DataLoader with PIL or OpenCV, and against what FFCV's decoder allows.

python -m benchmarks.loader [--images 2000] [--rounds 5] [--json FILE] [--set FOLDER]

It makes a set like ImageNet (see imagenet_like.py), converts it and measures epochs of training images: 224 pixels,
random resized crop, random flip, as many workers as there are CPUs. The methods take turns, so that whatever else the
machine does meets all of them; ratios are taken within a round. CPU time counts all threads and processes, and depends
less on the load of the machine than wall time does. A folder for temporary files with 0.7 MB for each image is needed.

    PIL, files       the baseline: a DataLoader over the original files in class folders, as torchvision would read them
    PIL, stored      the same over the smaller JPEG images that the conversion stores
    OpenCV, files    the same as the baseline with OpenCV
    limit ...        FFCV's functions to decode and resize the stored images, and nothing else; crops drawn beforehand
    randwire ...     randwire.data.Loader
"""

import argparse
import ctypes
import io
import json
import math
import os
import platform
import random
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, features
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from tqdm import tqdm

from benchmarks.table import print_table
from randwire.config import DataConfig
from randwire.data import beton, inspect

SIDE = 224
BATCH = 64
AREA, ASPECT = (0.08, 1.0), (3 / 4, 4 / 3)
CPUS = len(os.sched_getaffinity(0))
STARTS = 5
"""How often the time to the first batch is measured."""
BASELINE = "PIL, files"

FORMS = {
    "jpg 500": ["--mode", "jpg", "--max-side", "500"],
    "jpg 400": ["--mode", "jpg", "--max-side", "400"],
    "raw 400": ["--mode", "raw", "--max-side", "400"],
}
"""The conversions that are measured, and what asks for them."""

FIRST_BATCH = """
import json, resource, sys, time
from randwire.config import DataConfig
from randwire.data import Loader, prepare
config = DataConfig.model_validate({"source": "imagenet", "path": sys.argv[1]})
dataset = prepare(config)
start = time.monotonic()
batch = next(Loader(dataset, "train", config, batch_size=int(sys.argv[2]), threads=0).epoch(0))
end, used = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([start, end, used.ru_utime + used.ru_stime]))
"""
"""A process that reports when it constructs a loader, when the first batch is there, and its CPU seconds until then."""

Crop = tuple[int, int, int, int]


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


@dataclass
class Conversion:
    """What one conversion took, over both splits, and what it wrote to the disk."""

    name: str
    images_per_s: float
    cpu_ms_per_image: float
    kb_per_image: float


@dataclass
class Start:
    """Seconds to the first batch in fresh processes, with an empty cache of compiled code or a filled one."""

    cache: str
    from_constructor_s: list[float]
    from_process_start_s: list[float]
    cpu_s: list[float]


def draw_crop(width: int, height: int) -> Crop:
    """Left, top, right, bottom as torchvision's RandomResizedCrop draws them."""
    for _ in range(10):
        target = width * height * random.uniform(*AREA)
        aspect = math.exp(random.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
        w, h = round(math.sqrt(target * aspect)), round(math.sqrt(target / aspect))
        if 0 < w <= width and 0 < h <= height:
            left, top = random.randint(0, width - w), random.randint(0, height - h)
            return left, top, left + w, top + h
    w, h = min(width, round(height * ASPECT[1])), min(height, round(width / ASPECT[0]))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def with_pil(file: IO[bytes]) -> Tensor:
    """One training image, uint8 (3, 224, 224)."""
    with Image.open(file) as opened:
        image = opened.convert("RGB")
    part = image.crop(draw_crop(*image.size)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    if random.random() < 0.5:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return torch.from_numpy(np.array(part)).permute(2, 0, 1).contiguous()


def with_opencv(file: IO[bytes]) -> Tensor:
    """The same with OpenCV, whose resize by area is the one that FFCV uses."""
    import cv2

    image = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise ValueError("not an image that OpenCV reads")
    left, top, right, bottom = draw_crop(image.shape[1], image.shape[0])
    part = cv2.resize(image[top:bottom, left:right], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    if random.random() < 0.5:
        part = cv2.flip(part, 1)
    return torch.from_numpy(part).permute(2, 0, 1).contiguous()


class Images(TorchDataset[tuple[Tensor, int]]):
    """Images of a DataLoader: opened by number, then made into a tensor."""

    def __init__(self, labels: Sequence[int], read: Callable[[int], IO[bytes]], make: Callable[[IO[bytes]], Tensor]):
        self.labels, self.read, self.make = labels, read, make

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with self.read(index) as file:
            return self.make(file), self.labels[index]

    def epoch(self, number: int) -> int:
        """All batches by a DataLoader, whose processes have ended when this returns."""
        torch.manual_seed(number)
        loader = DataLoader(
            self,
            BATCH,
            shuffle=True,
            drop_last=True,
            num_workers=CPUS,
            multiprocessing_context="fork",
            worker_init_fn=_one_thread,
        )
        return sum(len(images) for images, _ in loader)


def _one_thread(worker: int) -> None:
    import cv2

    cv2.setNumThreads(0)


class Stored:
    """The training images as they are stored in a converted set."""

    def __init__(self, folder: Path) -> None:
        path, sizes = folder / "train.beton", inspect(DataConfig(source="imagenet", path=str(folder))).sizes
        with open(path, "rb") as file:
            tables = beton.read_tables(file, sizes["train"])
        self.data = np.memmap(path, np.uint8, "r")
        self.labels: list[int] = tables.labels.tolist()
        image = tables.images
        self.starts: list[int] = image["offset"].tolist()
        self.sizes: list[int] = tables.sizes.tolist()
        self.raw: list[bool] = (image["mode"] == beton.RAW).tolist()
        self.shapes: list[tuple[int, int]] = list(zip(image["height"].tolist(), image["width"].tolist(), strict=True))

    def read(self, index: int) -> IO[bytes]:
        start = self.starts[index]
        return io.BytesIO(self.data[start : start + self.sizes[index]].tobytes())


class Limit:
    """FFCV's C functions on stored images in one thread for each CPU: whole images decoded, crops resized."""

    def __init__(self, stored: Stored) -> None:
        from randwire.data.decoder import ffcv_library

        random.seed(0)
        self._stored, self._library = stored, ffcv_library()
        self._library.imdecode.argtypes = [ctypes.c_void_p, ctypes.c_uint64, *[ctypes.c_uint32] * 2, ctypes.c_void_p]
        self._library.imdecode.argtypes += [*[ctypes.c_uint32] * 6, *[ctypes.c_bool] * 2]
        self._library.resize.argtypes = [ctypes.c_int64] * 11
        self._crops = [draw_crop(width, height) for height, width in stored.shapes]
        self._pool = ThreadPoolExecutor(CPUS)

    def epoch(self, number: int) -> int:
        return sum(self._pool.map(self._share, range(CPUS)))

    def _share(self, first: int) -> int:
        stored, decode, resize = self._stored, self._library.imdecode, self._library.resize
        scratch = np.empty(3 * max(height * width for height, width in stored.shapes), np.uint8)
        out = np.empty((SIDE, SIDE, 3), np.uint8)
        base, decoded, target = stored.data.ctypes.data, scratch.ctypes.data, out.ctypes.data
        mine = range(first, len(stored.sizes), CPUS)
        for index in mine:
            (height, width), (left, top, right, bottom) = stored.shapes[index], self._crops[index]
            pixels = base + stored.starts[index]
            if not stored.raw[index]:
                size = stored.sizes[index]
                if decode(pixels, size, height, width, decoded, height, width, 0, 0, 1, 1, False, False) != 0:
                    raise ValueError(f"stored image {index} is damaged")
                pixels = decoded
            resize(0, pixels, height, width, top, bottom, left, right, target, SIDE, SIDE)
        return len(mine)


def ours(folder: Path, **keys: object) -> Callable[[int], int]:
    """An epoch of randwire's loader. Raises ValueError for unknown keys of the configuration."""
    from randwire.data import Loader, prepare

    values = {"resolution": SIDE, "crop_area": AREA, "crop_aspect": ASPECT, "flip": 0.5, **keys}
    config = DataConfig.model_validate({"source": "imagenet", "path": str(folder), **values})
    loader = Loader(prepare(config), "train", config, batch_size=BATCH, threads=CPUS)
    return lambda number: sum(len(images) for images, _ in loader.epoch(number))


def methods(files: Sequence[Path], sets: dict[str, Path]) -> list[Method]:
    """What is measured, in the order of a round."""

    def opened(index: int) -> IO[bytes]:
        return open(files[index], "rb")

    folders = sorted({path.parent.name for path in files})
    labels = [folders.index(path.parent.name) for path in files]
    stored = {name: Stored(folder) for name, folder in sets.items()}
    payloads = stored["jpg 500"]
    found = [
        Method(BASELINE, Images(labels, opened, with_pil).epoch),
        Method("PIL, stored jpg 500", Images(payloads.labels, payloads.read, with_pil).epoch),
        Method("OpenCV, files", Images(labels, opened, with_opencv).epoch),
    ]
    for name, folder in sets.items():
        found.append(Method(f"limit {name}", Limit(stored[name]).epoch))
        found.append(Method(f"randwire {name}", ours(folder), f"limit {name}"))
    order = ours(sets["jpg 500"], order="quasi-random")
    return [*found, Method("randwire jpg 500, quasi-random", order, "limit jpg 500")]


def measure(found: Sequence[Method], rounds: int) -> list[Measured]:
    """All methods in turn, `rounds` times, after a round that does not count."""
    results = [Measured(method.name, method.limit, [], []) for method in found]
    with tqdm(total=(rounds + 1) * len(found), desc="epochs", disable=None) as progress:
        for number in range(rounds + 1):
            for method, result in zip(found, results, strict=True):
                cpu, wall = _cpu(), time.perf_counter()
                images = method.epoch(number)
                wall, cpu = time.perf_counter() - wall, _cpu() - cpu
                if number > 0:
                    result.images_per_s.append(images / wall)
                    result.cpu_ms_per_image.append(1000 * cpu / images)
                progress.update()
    return results


def _cpu() -> float:
    """CPU seconds of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def make_set(folder: Path, images: int) -> list[Path]:
    """The training images as files in class folders, made unless they are there."""
    if not (folder / "ILSVRC2012_devkit_t12.tar.gz").exists():  # the last file that is written
        script = Path(__file__).with_name("imagenet_like.py")
        counts = ["--train", str(images), "--val", str(images // 10)]
        _run([sys.executable, str(script), str(folder), *counts])
    with tarfile.open(folder / "ILSVRC2012_img_train.tar") as outer:
        for member in outer:
            with tarfile.open(fileobj=outer.extractfile(member)) as inner:
                inner.extractall(folder / "files" / Path(member.name).stem, filter="data")
    return sorted((folder / "files").glob("*/*.JPEG"))


def convert(source: Path, name: str, output: Path) -> Conversion:
    """Convert the archives in `source` by the command that a user would type."""
    archives = ["--train-tar", "ILSVRC2012_img_train.tar", "--val-tar", "ILSVRC2012_img_val.tar"]
    archives += ["--val-labels", "synset_labels.txt"]
    places = [item if item.startswith("--") else str(source / item) for item in archives]
    command = [sys.executable, "-m", "randwire.data.convert", "imagenet", *places, *FORMS[name]]
    cpu, wall = _cpu(), time.perf_counter()
    _run([*command, str(output.absolute()), *(["--force"] if output.exists() else [])])
    wall, cpu = time.perf_counter() - wall, _cpu() - cpu
    images = sum(json.loads((output / "dataset.json").read_bytes())["sizes"].values())
    size = sum(path.stat().st_size for path in output.iterdir())
    return Conversion(name, images / wall, 1000 * cpu / images, size / images / 1000)


def first_batches(folder: Path) -> list[Start]:
    """Fresh processes, each time one that must compile and one that finds what the former compiled."""
    starts = [Start("empty", [], [], []), Start("filled", [], [], [])]
    for _ in tqdm(range(STARTS), desc="first batches", disable=None):
        with tempfile.TemporaryDirectory() as cache:
            for start in starts:
                environment = {**os.environ, "RANDWIRE_CACHE": cache}
                environment.pop("NUMBA_CACHE_DIR", None)
                began = time.monotonic()  # one clock for all processes of a machine
                output = _run([sys.executable, "-c", FIRST_BATCH, str(folder.absolute()), str(BATCH)], environment)
                constructed, end, cpu = json.loads(output)
                start.from_constructor_s.append(end - constructed)
                start.from_process_start_s.append(end - began)
                start.cpu_s.append(cpu)
    return starts


def _run(command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"error: {' '.join(command[1:4])} ... ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def machine() -> dict[str, Any]:
    """The processor and the versions that decide the times."""
    model = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    packages = ("torch", "ffcv", "opencv-python", "pillow", "numba", "numpy")
    versions = {"python": platform.python_version(), **{name: version(name) for name in packages}}
    versions["libjpeg-turbo of pillow"] = features.version_feature("libjpeg_turbo") or "none"
    return {"cpu": model, "usable_cpus": CPUS, "versions": versions}


@dataclass
class Report:
    """All that was measured, on which machine and of which images."""

    machine: dict[str, Any]
    images: int
    kb_per_image: float
    rounds: int
    epochs: list[Measured]
    conversions: list[Conversion]
    starts: list[Start]

    def show(self) -> None:
        """Print it as tables: medians with the interquartile range, and medians of the ratios of each round."""
        versions = ", ".join(f"{name} {number}" for name, number in self.machine["versions"].items())
        before, after = self.machine["load"]
        print(f"{self.machine['cpu']}, {CPUS} usable CPUs, load {before:.1f} before and {after:.1f} after")
        print(versions)
        print(f"{self.images} images of {self.kb_per_image:.0f} KB, {self.rounds} rounds, batches of {BATCH}\n")
        print_table(self._epochs())
        rows = [["conversion", "images/s", "CPU ms/image", "KB/image on disk"]]
        for one in self.conversions:
            cells = f"{one.images_per_s:.0f}", f"{one.cpu_ms_per_image:.2f}", f"{one.kb_per_image:.0f}"
            rows.append([one.name, *cells])
        print_table(rows)
        rows = [["first batch, cache of compiled code", "s from constructor", "s from process start", "CPU s"]]
        for start in self.starts:
            times = start.from_constructor_s, start.from_process_start_s, start.cpu_s
            rows.append([start.cache, *(_spread(values, 2) for values in times)])
        print_table(rows)

    def _epochs(self) -> list[list[str]]:
        by_name = {result.name: result for result in self.epochs}
        rows = [["method", "images/s", "CPU ms/image", "x baseline", "in CPU", "of limit", "in CPU"]]
        for result in self.epochs:
            row = [result.name, _spread(result.images_per_s, 0), _spread(result.cpu_ms_per_image, 2)]
            for name, form in ((BASELINE, "{:.2f}"), (result.limit, "{:.0%}")):
                ratios = ["", ""]
                if other := by_name.get(name):
                    wall = _ratio(result.images_per_s, other.images_per_s)
                    cpu = _ratio(other.cpu_ms_per_image, result.cpu_ms_per_image)
                    ratios = [form.format(wall), form.format(cpu)]
                row += ratios
            rows.append(row)
        return rows


def _spread(values: Sequence[float], digits: int) -> str:
    low, middle, high = np.percentile(values, (25, 50, 75))
    return f"{middle:.{digits}f} [{low:.{digits}f} {high:.{digits}f}]"


def _ratio(over: Sequence[float], under: Sequence[float]) -> float:
    ratios: NDArray[np.float64] = np.array(over) / np.array(under)
    return float(np.median(ratios))


def run(folder: Path, images: int, rounds: int) -> Report:
    """Make the set in `folder`, convert it there and measure everything."""
    before = os.getloadavg()[0]
    files = make_set(folder, images)
    sets = {name: folder / name.replace(" ", "-") for name in FORMS}
    conversions = [convert(folder, name, output) for name, output in sets.items()]
    starts = first_batches(sets["jpg 500"])
    epochs = measure(methods(files, sets), rounds)
    size = float(np.mean([path.stat().st_size for path in files])) / 1000
    found = {**machine(), "load": (before, os.getloadavg()[0])}
    return Report(found, len(files), size, rounds, epochs, conversions, starts)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=2000, help="training images, at least 1000 [%(default)s]")
    parser.add_argument("--rounds", type=int, default=5, help="epochs of each method [%(default)s]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured there")
    parser.add_argument(
        "--set", type=Path, metavar="FOLDER", help="make the images there and keep all, or use those there"
    )
    chosen = parser.parse_args()
    if chosen.images < 1000 or chosen.rounds < 1:
        parser.error("--images must be at least 1000, one for each class, and --rounds at least 1")
    with tempfile.TemporaryDirectory(prefix="randwire-benchmark-") as scratch:
        os.environ["RANDWIRE_CACHE"] = str(Path(scratch, "cache"))  # read when the loader is imported
        report = run(chosen.set or Path(scratch, "set"), chosen.images, chosen.rounds)
    report.show()
    if chosen.json:
        chosen.json.write_text(json.dumps(asdict(report), indent=1) + "\n")


if __name__ == "__main__":
    main()
