"""Which images the networks of a setting got right, graph by graph, from the records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from randwire.correct import Bits
from randwire.pages.text import many
from randwire.statistics.intervals import Numbers
from randwire.statistics.two_way import Margins
from randwire.study.results import Trial


@dataclass(frozen=True, eq=False)
class RightImages:
    """Those of networks that were evaluated on one data file."""

    graphs: Mapping[str, Sequence[Bits]]
    """By graph, one for each training of it."""
    sha256: str
    """Of the data file."""

    @property
    def images(self) -> int:
        return len(next(iter(self.graphs.values()))[0])

    @property
    def networks(self) -> int:
        return sum(map(len, self.graphs.values()))

    @cached_property
    def margins(self) -> Margins:
        """Of the table of graphs and images; the training seeds of a graph are averaged."""
        return Margins.of(mean_bits(same) for same in self.graphs.values())

    def share(self, least: int) -> float:
        """The share of images that at least so many networks get right."""
        return float((self._counts >= least).mean())

    @cached_property
    def _counts(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        counts = np.zeros(self.images, dtype=np.int64)
        for bits in (bits for same in self.graphs.values() for bits in same):
            counts += bits
        return counts


def mean_bits(trainings: Sequence[Bits]) -> Numbers:
    """The share of the trainings of a graph that got an image right, image by image."""
    return np.asarray(np.mean(trainings, axis=0), dtype=np.float64)


def on_the_same_graphs(one: RightImages, two: RightImages) -> Iterator[tuple[Numbers, Numbers]]:
    """The shares of two variants for each graph that both were trained on."""
    for graph in one.graphs:
        if graph in two.graphs:
            yield mean_bits(one.graphs[graph]), mean_bits(two.graphs[graph])


def read(graphs: Mapping[str, Sequence[Trial]]) -> RightImages | str:
    """The images of a setting's trials that count, by graph; or why these are not told.

    All of its trainings must have recorded them, or its mean would be another one than that of the report.
    """
    bits: dict[str, list[Bits]] = {}
    files: set[tuple[str, int]] = set()
    missing = wrong = 0
    for graph, trials in graphs.items():
        for trial in trials:
            found = trial.correct
            if found is None:
                missing += 1
            elif abs(found.top1 - trial.score) > 50 / max(len(found.bits), 1):  # half an image
                wrong += 1
            else:
                files.add((found.sha256, len(found.bits)))
                bits.setdefault(graph, []).append(found.bits)
    trainings = many(sum(map(len, graphs.values())), "training")
    if missing:
        return f"which images were right is not recorded of {missing} of {trainings}"
    if wrong:
        return f"the images recorded as right do not add up to the top-1 of {wrong} of {trainings}"
    if len(files) > 1:
        return f"its {trainings} were evaluated on {len(files)} data files"
    [(sha256, _)] = files
    return RightImages(bits, sha256)
