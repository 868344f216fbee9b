"""Rank correlations of networks with their measures, between settings and within them.

Graphs of one setting are alike: taken together as if they were independent, they make intervals too short.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from randwire.pages.text import interval_text
from randwire.statistics.correlation import Correlation, rank_correlation
from randwire.statistics.describe import group
from randwire.statistics.intervals import LEVEL
from randwire.study.groups import TrialGroup
from randwire.study.results import Trial, mean, number

MIN_NETWORKS = 5
"""The fewest networks that a correlation is shown for."""
MIN_SETTINGS = 5
"""The fewest settings that a correlation between them is shown for."""
SCOPES = {False: "between settings", True: "within settings"}
"""What a correlation is over, by whether networks are ranked in their setting."""
MEASURES = {
    "depth": "depth (nodes on the longest path)",
    "shortest_path": "nodes on the shortest path from input to output",
    "mean_path": "mean nodes on a path from input to output",
    "betweenness": "largest betweenness (directed)",
    "clustering": "clustering coefficient",
    "path_length": "mean shortest path (undirected)",
    "mean_degree": "mean degree",
    "max_in_degree": "largest in-degree",
    "edges": "edges",
    "sources": "source nodes",
    "sinks": "sink nodes",
}


@dataclass(frozen=True)
class Network:
    """A graph with all its trials, or a trial of a setting that has one graph."""

    setting: str
    """Without the variant, where it was trained with several."""
    trials: Sequence[Sequence[Trial]]
    """Those of each variant, or of each setting of a search; mostly there is one."""

    def mean(self, value: Callable[[Trial], float]) -> float:
        """The mean of a number over variants, of each the mean over its trainings."""
        return mean([mean([value(trial) for trial in same]) for same in self.trials])

    @property
    def first(self) -> Trial:
        return self.trials[0][0]

    @property
    def name(self) -> str:
        """The setting, with the seed of its graph where it has several."""
        return self.setting if self.first.one_graph else f"{self.setting} g{self.first.config.graph.seed}"

    @property
    def score(self) -> float:
        return self.mean(lambda trial: trial.score)


def networks(budget: TrialGroup, trainings: bool = False) -> list[Network]:
    """The networks of the trials that enter statistics, in the order of these.

    With `trainings`, each trial of a setting with one graph is a network, as for the mean of the setting, and so is
    each setting's training of a graph where a search has suggested further keys. In a study of variants a graph is one
    network, whatever it was trained with, and has a part if it was trained with all variants.
    """
    counted = [trial for trial in budget.trials if trial.top1 is not None]
    compared = any(trial.variant for trial in counted)
    if budget.origin in ("search", "confirmation"):
        return _of_suggested(counted) if compared and not trainings else _apart(counted, trainings)
    if not compared:
        return _apart(counted, trainings)
    counted = [trial for trial in counted if trial.variant]
    variants = {trial.variant for trial in counted}
    found = group(counted, lambda trial: (trial.config.label, budget.graph_names[trial.graph] + _run(trial, trainings)))
    cells = {key: group(same, lambda trial: trial.variant) for key, same in found.items()}
    return [Network(key[0], list(own.values())) for key, own in cells.items() if own.keys() == variants]


def _apart(counted: Sequence[Trial], trainings: bool) -> list[Network]:
    """The networks of each setting by itself."""
    found = group(counted, lambda trial: (trial.setting, trial.graph_key + _run(trial, trainings)))
    return [Network(setting, [same]) for (setting, _), same in found.items()]


def _of_suggested(counted: Sequence[Trial]) -> list[Network]:
    """The graphs of settings with suggested keys: one that was trained with several values of these is one graph.

    Only graphs that were trained with the same values are of one setting, or these would make the difference.
    """
    found = group(counted, lambda trial: (trial.config.label, trial.graph_key if trial.dags else trial.name))
    cells = {key: group(same, lambda trial: trial.variant) for key, same in found.items()}
    kinds: dict[str, set[frozenset[str]]] = {}
    for (label, _), own in cells.items():
        kinds.setdefault(label, set()).add(frozenset(own))
    networks = []
    for (label, _), own in cells.items():
        named = label if len(own) > 1 and len(kinds[label]) == 1 else f"{label} {', '.join(sorted(own))}".rstrip()
        networks.append(Network(named, list(own.values())))
    return networks


def _run(trial: Trial, trainings: bool) -> str:
    """What tells the trainings of one graph apart, where each is a network; empty where they are not told apart."""
    return f" g{trial.config.graph.seed} t{trial.config.train.seed}" if trainings and trial.one_graph else ""


Pair = tuple[str, float, float]
"""The setting of a network, with both sides of a correlation."""


def correlate(pairs: Sequence[Pair], within: bool, level: float = LEVEL) -> Correlation:
    """The rank correlation of pairs, one a network: of the means of settings, or within these.

    Between fewer than MIN_SETTINGS settings, or within settings that hold fewer than MIN_NETWORKS networks beside
    others, there is none.
    """
    if within:
        found = rank_correlation(*_sides(pairs), level)
        return found if found.n >= MIN_NETWORKS else Correlation(None, None, found.n, found.strata)
    by_setting = group(pairs, lambda pair: pair[0]).values()
    if len(by_setting) < MIN_SETTINGS:
        return Correlation(None, None, len(by_setting), 1)
    means = [("", mean([x for _, x, _ in same]), mean([y for *_, y in same])) for same in by_setting]
    return rank_correlation(*_sides(means), level)


def paired_with_score(graphs: Sequence[Network], column: Sequence[float | None]) -> list[Pair]:
    """A measure with top-1 of the graphs that have it; published networks have none."""
    return [
        (graph.setting, value, graph.score)
        for graph, value in zip(graphs, column, strict=True)
        if value is not None and not graph.first.reference
    ]


def correlation_text(found: Correlation) -> str:
    """A correlation, with its interval if it has one; a dash if there is no correlation."""
    if found.rho is None:
        return "-"
    return f"{found.rho:+.2f}" + (f" ({interval_text(found.interval, '+.2f')})" if found.interval else "")


def scopes_text(settings: int) -> str:
    """What the two correlations are over, in sentences."""
    between = (
        f"Between settings: of their means, n = {settings}"
        if settings >= MIN_SETTINGS
        else f"Between settings there is none below {MIN_SETTINGS} of them"
    )
    return (
        f"{between}. Within settings: each network is ranked among those of its own setting, and the settings are "
        "averaged; what settings differ in has no part."
    )


def columns(trials: Iterable[Network]) -> dict[str, list[float | None]]:
    """The graph measures and the number of parameters of networks by label; without those that no network has.

    None stands for what a network does not have, such as a measure of its graphs where it is a published one. Of
    variants that change a graph or its size it is the mean.
    """
    columns: dict[str, list[float | None]] = {label: [] for label in (*MEASURES.values(), "parameters")}
    for network in trials:
        firsts = [same[0] for same in network.trials]
        for key, label in MEASURES.items():
            columns[label].append(_mean([trial.measures.get(key) for trial in firsts]))
        columns["parameters"].append(_mean([number(trial.complexity, "params") for trial in firsts]))
    return {label: column for label, column in columns.items() if any(value is not None for value in column)}


def _sides(pairs: Sequence[Pair]) -> tuple[list[str], list[float], list[float]]:
    return [name for name, *_ in pairs], [x for _, x, _ in pairs], [y for *_, y in pairs]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if len(known) == len(values) else None
