"""What a study of variants shows: all of them on the same graphs, so that what a graph does to all alike cancels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise

from randwire.pages.text import interval_text, many, p_text
from randwire.statistics.describe import describe
from randwire.statistics.intervals import LEVEL
from randwire.statistics.pairs import MIN_REPLICATES, Pair, compare_paired, differences
from randwire.study.groups import TrialGroup
from randwire.study.results import Trial, mean, number

MIN_COST_RATIO = 1.2
"""Ratio of the costs of neighbours from which on variants lie on an axis of cost."""


@dataclass(frozen=True)
class Paired:
    """The trials that enter statistics by variant and graph; variants in the order in which they are shown."""

    cells: Mapping[str, Mapping[str, Sequence[Trial]]]

    @cached_property
    def values(self) -> dict[str, dict[str, float]]:
        """Top-1 by variant and graph: the mean over its training seeds."""
        return {
            name: {graph: mean([trial.score for trial in same]) for graph, same in cells.items()}
            for name, cells in self.cells.items()
        }

    @cached_property
    def graphs(self) -> dict[str, dict[str, Sequence[Trial]]]:
        """The same trials by graph and variant."""
        names = dict.fromkeys(graph for cells in self.cells.values() for graph in cells)
        return {graph: {name: cells[graph] for name, cells in self.cells.items() if graph in cells} for graph in names}

    @cached_property
    def shared(self) -> dict[tuple[str, str], int]:
        """How many graphs two variants have in common; pairs without any are left out."""
        counts = {pair: len(differences(*(self.values[name] for name in pair))) for pair in combinations(self.cells, 2)}
        return {pair: n for pair, n in counts.items() if n}

    @cached_property
    def pairs(self) -> list[Pair]:
        return compare_paired(self.values)

    @cached_property
    def same_graphs(self) -> bool:
        """Whether the records hold one and the same graph for all variants, and not only one seed."""
        for cells in self.graphs.values():
            dags = [trial.dags for same in cells.values() for trial in same]
            if not dags[0] or any(other != dags[0] for other in dags):
                return False
        return True

    @property
    def best(self) -> str:
        """The variant with the highest mean, by the images that choose."""
        return max(self.cells, key=lambda name: mean([_chosen_by(same) for same in self.cells[name].values()]))

    def mean(self, name: str) -> float:
        """Mean top-1 of a variant over its graphs."""
        return mean(list(self.values[name].values()))

    def described(self, name: str) -> str:
        """Mean, standard deviation and number of graphs of a variant, as two lines of a figure."""
        sample = describe(list(self.values[name].values()))
        std = "" if sample.std is None else f" ± {sample.std:.2f}"
        return f"{sample.mean:.2f}{std}<br>(n={sample.n})"

    def costs(self, key: str) -> dict[str, float]:
        """The mean cost of each variant, ascending; empty if a record lacks it or two cost nearly the same."""
        costs = {}
        for name, cells in self.cells.items():
            recorded = [number(same[0].complexity, key) for same in cells.values()]
            positive = [cost for cost in recorded if cost]
            if len(positive) < len(recorded):
                return {}
            costs[name] = mean(positive)
        costs = dict(sorted(costs.items(), key=lambda item: item[1]))
        apart = all(high > MIN_COST_RATIO * low for low, high in pairwise(costs.values()))
        return costs if apart else {}

    def sentence(self, pair: Pair) -> str:
        """The difference of a pair and its test, in words."""
        best, other = pair.names
        where = "on the same graphs" if self.same_graphs else "on graphs of the same seeds"
        n = many(pair.n[0], "graph") if self.same_graphs else f"{many(pair.n[0], 'pair')} of graphs"
        test = f"(n = {n}, {LEVEL:.0%} interval {interval_text(pair.interval)}, corrected p {p_text(pair.adjusted)})"
        if pair.separated:
            return f"{other} is {pair.difference:.2f} points below {best} {where} {test}."
        return f"{other} and {best} are not separated {where}: {pair.difference:.2f} points apart {test}."

    @property
    def sentences(self) -> list[str]:
        """The best variant against all others that can be tested, or why there is none."""
        if not self.shared:
            return ["No graph has been trained with two variants yet, so there is nothing to pair."]
        tested = {frozenset(pair.names) for pair in self.pairs}
        missing = [f"{one} and {two} (n={n})" for (one, two), n in self.shared.items() if {one, two} not in tested]
        sentences = [self.sentence(pair) for pair in self.pairs if self.best in pair.names]
        if missing:
            sentences.append(f"Not tested, with fewer than {MIN_REPLICATES} graphs or no spread: {', '.join(missing)}.")
        return sentences


def paired(budget: TrialGroup) -> Paired | None:
    """The variants of a study from the cheapest on, or from the best if costs are alike; None where none is tested.

    A confirmation has none: its settings may have keys that a search suggested, and are tested as settings, once.
    """
    if budget.origin == "confirmation":
        return None
    cells = budget.by_variant
    if not cells or not budget.tested:
        return None
    unordered = Paired(cells)
    order = list(unordered.costs("mult_adds")) or sorted(cells, key=unordered.mean, reverse=True)
    return Paired({name: cells[name] for name in order})


def on_all_variants(budget: TrialGroup) -> dict[str, dict[str, Sequence[Trial]]]:
    """The trials that enter statistics by variant and graph, of the graphs that every variant was trained on."""
    cells = budget.by_variant
    shared = set.intersection(*map(set, cells.values())) if cells else set()
    return {name: {graph: same for graph, same in own.items() if graph in shared} for name, own in cells.items()}


def _chosen_by(trials: Sequence[Trial]) -> float:
    return mean([trial.chosen_by for trial in trials])
