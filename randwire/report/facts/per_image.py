"""What the images say: how far the validation images, beside the graphs, leave a mean uncertain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, median

from randwire.pages.text import first_of, many
from randwire.report.facts.right_images import RightImages, on_the_same_graphs, read
from randwire.report.facts.study import Section
from randwire.statistics.intervals import Interval, logit_interval
from randwire.statistics.two_way import (
    Estimate,
    Margins,
    difference_of,
    disagreement,
    disagreement_between,
    mean_of,
)
from randwire.study.results import Trial

MAX_SETTINGS = 100
"""Settings whose images are read: the leaders, and then the best."""
MAX_CROSSED = 4
"""Of so many leaders or variants all pairs are shown; of more, the best against each other."""
MAX_NAMED = 10
"""Settings that the text names one by one as left out."""
_Cells = Mapping[str, Mapping[str, Sequence[Trial]]]


@dataclass(frozen=True)
class Uncertain:
    """A mean top-1 (%) or a difference of two (points), with its errors in points and its intervals."""

    n: tuple[int, ...]
    """Graphs of each setting; trainings, where a setting has one graph."""
    value: float
    graph_error: float | None
    image_error: float
    by_graphs: Interval | None
    """For new graphs on these same images."""
    by_both: Interval | None
    """For new graphs on new images."""
    disagreement: float | None
    """Images (%) that one network gets right and the other wrong, the mean over pairs of networks."""


@dataclass(frozen=True)
class Together:
    """Images (%) that so many of the networks of a setting get right."""

    networks: int
    every: float
    most: float
    """More than half of the networks: a vote of them is right on these at least."""
    some: float
    """At least one: a vote is right on no others."""


@dataclass(frozen=True)
class ImageFacts:
    """Settings, or the variants of a study, that were evaluated on the same images."""

    noun: str
    """What is compared: setting or variant."""
    images: int
    means: Mapping[str, Uncertain]
    differences: Mapping[tuple[str, str], Uncertain]
    """Of leaders, or of variants on the same graphs: the first minus the second."""
    together: Mapping[str, Together]
    """Of those that have two networks."""
    left_out: Mapping[str, str]
    """What has no part in it, and why."""
    unread: int
    """How many settings were not read, beyond MAX_SETTINGS."""

    @property
    def sentences(self) -> list[str]:
        """What an image is worth, what the intervals are for, and what is left out."""
        error = median(mean.image_error for mean in self.means.values())
        typical = f" (median over {self.noun}s)" if len(self.means) > 1 else ""
        found = [
            f"{many(self.images, 'image')} tell: one image is {100 / self.images:.2g} points, and the standard error "
            f"over images is {error:.2g} points{typical}."
        ]
        if any(mean.by_both for mean in self.means.values()):
            found.append(
                "An interval over graphs is for new graphs on these same images; one over graphs and images is for new "
                "graphs on new images of the same kind."
            )
        if self.left_out:
            named = [f"{name} ({why})" for name, why in self.left_out.items()]
            found.append(f"Left out: {first_of(named, MAX_NAMED)}.")
        if self.unread:
            read = len(self.means) + len(self.left_out)
            found.append(
                f"These are {read} of {read + self.unread:,} settings: the leaders, and the best of the others."
            )
        return found


def image_facts(section: Section) -> ImageFacts | None:
    """What the images say of a section; None where nothing has recorded which of them its networks got right.

    In memory are the bits of one setting at a time, beside those that are compared: the leaders', or the variants'.
    """
    cells, best, of = _cells(section)
    found: dict[str, tuple[str, int, Uncertain, Together]] = {}
    compared: dict[str, RightImages] = {}
    left_out: dict[str, str] = {}
    for name, graphs in cells.items():
        right = read(graphs)
        if isinstance(right, str):
            left_out[name] = right
            continue
        found[name] = right.sha256, right.images, _mean(right), _together(right)
        if name in best:
            compared[name] = right
    if not found:
        return None
    [(file, _)] = Counter(sha256 for sha256, *_ in found.values()).most_common(1)
    left_out |= {name: "evaluated on another data file" for name in found if found[name][0] != file}
    kept = {name: entry for name, entry in found.items() if entry[0] == file}
    difference = _difference if section.variants is None else _paired_difference
    pairs = _pairs([name for name in best if name in kept])
    differences = {pair: difference(*(compared[name] for name in pair)) for pair in pairs}
    return ImageFacts(
        noun="setting" if section.variants is None else "variant",
        images=next(images for _, images, *_ in kept.values()),
        means={name: mean for name, (_, _, mean, _) in kept.items()},
        differences={pair: one for pair, one in differences.items() if one is not None},
        together={name: several for name, (*_, several) in kept.items() if several.networks > 1},
        left_out=left_out,
        unread=of - len(cells),
    )


def _cells(section: Section) -> tuple[_Cells, Sequence[str], int]:
    """The trials of what is read by graph, best first; what of it is compared; and how many settings there are."""
    if section.variants is not None:
        variants = section.variants
        return variants.cells, sorted(variants.cells, key=variants.mean, reverse=True), len(variants.cells)
    leaders, replicates = [leader.setting for leader in section.leaders], section.group.replicates
    order = dict.fromkeys([*(one.setting for one in section.ranking), *replicates])
    kept = set(list(dict.fromkeys([*leaders, *order]))[:MAX_SETTINGS])
    by_graph = {name: {str(k): same for k, same in enumerate(replicates[name])} for name in order if name in kept}
    return by_graph, leaders, len(replicates)


def _pairs(best: Sequence[str]) -> list[tuple[str, str]]:
    pairs = list(combinations(best, 2))
    return pairs if len(best) <= MAX_CROSSED else pairs[: len(best) - 1]


def _mean(right: RightImages) -> Uncertain:
    found = mean_of(right.margins)

    def interval(half: float | None) -> Interval | None:
        ends = logit_interval(found.value, half)
        return None if ends is None else Interval(100 * ends.low, 100 * ends.high)

    return _uncertain(found, (len(right.graphs),), interval, disagreement(right.margins))


def _difference(one: RightImages, two: RightImages) -> Uncertain:
    """Of independent graphs on the same images."""
    found = difference_of(one.margins, two.margins)
    n = len(one.graphs), len(two.graphs)
    return _uncertain(found, n, _around(found), disagreement_between(one.margins, two.margins))


def _paired_difference(one: RightImages, two: RightImages) -> Uncertain | None:
    """Graph by graph; None where there is none that both were trained on."""
    shares = list(on_the_same_graphs(one, two))
    if not shares:
        return None
    found = mean_of(Margins.of(first - second for first, second in shares))
    apart = fmean(float((first + second - 2 * first * second).mean()) for first, second in shares)
    return _uncertain(found, (len(shares),), _around(found), apart)


def _around(found: Estimate) -> Callable[[float | None], Interval | None]:
    def interval(half: float | None) -> Interval | None:
        return None if half is None else Interval(100 * (found.value - half), 100 * (found.value + half))

    return interval


def _uncertain(
    found: Estimate,
    n: tuple[int, ...],
    interval: Callable[[float | None], Interval | None],
    apart: float | None,
) -> Uncertain:
    """An estimate in percent, with the intervals that its widths make."""
    return Uncertain(
        n,
        100 * found.value,
        None if found.graph_error is None else 100 * found.graph_error,
        100 * found.image_error,
        interval(found.graph_half),
        interval(found.half),
        None if apart is None else 100 * apart,
    )


def _together(right: RightImages) -> Together:
    networks = right.networks
    every, most, some = (100 * right.share(least) for least in (networks, networks // 2 + 1, 1))
    return Together(networks, every, most, some)
