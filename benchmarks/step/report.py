"""All that was measured, and its tables."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.step.kernels import Kernels
from benchmarks.step.methods import PLAIN
from benchmarks.table import print_table


@dataclass
class Measured:
    """What one method did in each round, and its peak memory."""

    phase: str
    name: str
    ms_per_image: list[float]
    mib_per_image: float
    first_s: list[float] = field(default_factory=list)
    """Wall seconds of the first step in a fresh process, with nothing in the cache of compiled code and once more."""


@dataclass
class Report:
    """All that was measured, and on what."""

    machine: dict[str, Any]
    preset: str
    batch: int
    side: int
    rounds: int
    off_in_fp64: tuple[float, float]
    limits: dict[str, list[float]]
    methods: list[Measured]
    kernels: list[Kernels]

    def show(self) -> None:
        """Print it as tables: medians with the interquartile range, and medians of the ratios of each round."""
        machine = self.machine
        processor = machine["hardware"]["gpu"] or machine["hardware"]["cpu"]
        print(f"{processor}, {machine['threads']} thread(s), load {machine['load']}")
        print(f"torch {machine['packages']['torch']}, python {machine['python']}, commit {machine['commit']}")
        print(f"{self.preset} at {self.side} pixels, batches of {self.batch}, n = {self.rounds} rounds")
        print(
            "outputs and gradients off the baseline's in fp64: {:.1e}, {:.1e} of the largest".format(*self.off_in_fp64)
        )
        rates = {name: f"{np.median(rounds):.0f}" for name, rounds in self.limits.items()}
        print("limits: {fp32} GFLOP/s fp32, {bf16} GFLOP/s bf16, copy {copy} GB/s\n".format(**rates))
        rows = [
            ["ms an image", "median [quartiles]", "x baseline", "MiB an image", "of baseline", "first step, again: s"]
        ]
        for measured in self.methods:
            base = self.find(measured.phase, PLAIN)
            low, middle, high = np.percentile(measured.ms_per_image, (25, 50, 75))
            cells = [
                f"{measured.phase}: {measured.name}",
                f"{middle:.1f} [{low:.1f} {high:.1f}]",
                f"{self.ratio(measured):.2f}",
            ]
            rows.append([*cells, f"{measured.mib_per_image:.1f}", f"{measured.mib_per_image / base.mib_per_image:.2f}",
                         ", ".join(f"{seconds:.0f}" for seconds in measured.first_s)])  # fmt: skip
        print_table(rows)
        rows = [["kernels", "ms an image", "of the step", "of the limit"]]
        for profile in self.kernels:
            for kind, share in profile.shares.items():
                name = f"{profile.phase}: {profile.name}: {kind}"
                limit = self.of_limit(profile, kind)
                cells = [
                    f"{share * self.time_of(profile):.2f}",
                    f"{share:.0%}",
                    "" if limit is None else f"{limit:.0%}",
                ]
                rows.append([name, *cells])
        print_table(rows)

    def find(self, phase: str, name: str) -> Measured:
        return next(one for one in self.methods if (one.phase, one.name) == (phase, name))

    def ratio(self, one: Measured) -> float:
        """How many times as fast as the baseline: the median over rounds."""
        base = self.find(one.phase, PLAIN).ms_per_image
        return float(np.median(np.array(base) / np.array(one.ms_per_image)))

    def time_of(self, profile: Kernels) -> float:
        """Median ms of an image."""
        return float(np.median(self.find(profile.phase, profile.name).ms_per_image))

    def of_limit(self, profile: Kernels, kind: str) -> float | None:
        """The rate of a kind of kernel as a share of the limit: matrix products, or copies for what moves data."""
        seconds = profile.shares[kind] * self.time_of(profile) / 1000
        if seconds == 0 or kind == "rest":
            return None
        if kind in ("pointwise", "dense"):
            precision = "bf16" if "bf16" in profile.name else "fp32"
            return profile.gflop[kind] / seconds / float(np.median(self.limits[precision]))
        return profile.gigabytes[kind] / seconds / float(np.median(self.limits["copy"]))
