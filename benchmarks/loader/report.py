"""All that was measured, and its tables."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import features

from benchmarks.loader.baseline import BATCH, CPUS
from benchmarks.loader.conversion import Conversion
from benchmarks.loader.epochs import BASELINE, Measured
from benchmarks.loader.start import Start
from benchmarks.table import print_table


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
