"""What to run next: the graphs that would tell the best settings of a study apart, and what confirming them costs."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path

from randwire.pages.text import many
from randwire.report.facts.provenance import duration
from randwire.report.facts.study import Section, StudyFacts
from randwire.statistics.pairs import ALPHA, MIN_REPLICATES, differences, testable
from randwire.statistics.power import (
    POWER,
    SampleSize,
    detectable_difference,
    detectable_paired_difference,
    paired_sample_size,
    power,
    sample_size,
)
from randwire.statistics.variance import VarianceEstimate, pooled_variance
from randwire.study.confirmation import DEFAULT_SEEDS
from randwire.study.results import mean, number

POINTS = (0.25, 0.5, 1.0, 2.0)
"""True differences of top-1, in points, that numbers of graphs are told for."""
MAX_CONTENDERS = 3
"""Settings of which all pairs are asked about; of more, the best against each other one."""
MAX_SEEDS = 50
"""Fresh graphs of a setting that are proposed at most."""


@dataclass(frozen=True)
class Question:
    """Two settings, or variants, and how many graphs of each would tell a true difference with the chance POWER."""

    names: tuple[str, str]
    stds: tuple[float, ...]
    """Between graphs: of each setting, or of the difference of two variants."""
    n: int
    """Graphs so far, of the one that has fewer."""
    seen: float
    """The difference (points) that so many find in a test alone."""
    alone: tuple[SampleSize, ...]
    """For each of POINTS, in a test alone."""
    among: tuple[SampleSize, ...]
    """The same as one of all pairs of what is asked about (Bonferroni)."""


@dataclass(frozen=True)
class Proposal:
    """A confirmation of the best settings on fresh seeds."""

    command: str
    settings: int
    seeds: int
    difference: float | None
    """The true difference (points) of any two that it finds with the chance POWER; None: their spread is not known."""
    seconds: float | None
    """Of all trainings, one after the other, as long as those of the study; None where that was not recorded."""

    @property
    def trainings(self) -> int:
        return self.settings * self.seeds


def contenders(section: Section) -> list[str]:
    """The settings that are asked about: the best of each generator, or of one generator the best two."""
    leading = [leader.setting for leader in section.leaders]
    return leading if len(leading) > 1 else [ranked.setting for ranked in section.ranking[:2]]


def unknown(section: Section) -> list[str]:
    """Those of which nothing tells how they vary: with fewer than MIN_REPLICATES graphs, or no spread."""
    return [name for name in contenders(section) if not testable(section.group.values[name])]


def pairs_of_contenders(section: Section) -> int:
    """How many pairs there are of what is asked about."""
    return math.comb(len(section.variants.cells if section.variants else contenders(section)), 2)


def questions(section: Section) -> list[Question]:
    """The pairs whose spread is known, each by its own; none with early stopping, whose survivors vary less."""
    if section.group.early_stopping:
        return []
    if section.of_variants:
        return _of_variants(section)
    values = {name: section.group.values[name] for name in contenders(section) if name not in unknown(section)}
    found = []
    for pair in combinations(values, 2) if len(values) <= MAX_CONTENDERS else product([*values][:1], [*values][1:]):
        one, two = (_estimate(values[name]) for name in pair)
        n = min(len(values[name]) for name in pair)
        found.append(
            Question(
                pair,
                (math.sqrt(one.variance), math.sqrt(two.variance)),
                n,
                detectable_difference(n, (one, two)),
                *(
                    tuple(sample_size(points, (one, two), alpha) for points in POINTS)
                    for alpha in (ALPHA, ALPHA / pairs_of_contenders(section))
                ),
            )
        )
    return found


def proposal(section: Section, facts: StudyFacts) -> Proposal | None:
    """The confirmation of the best settings; None of a study that has none, or that `--confirm` does not take."""
    design, group = section.design or {}, section.group
    own = sum(other.origin != "outside" for other in facts.groups)
    searched = [str(text).partition("=")[0] for text in design.get("space") or ()]
    if not design or facts.others or own > 1 or group.origin in ("outside", "unknown") or design.get("variants"):
        return None
    if not section.leaders or "train.seed" in searched:
        return None
    names = [leader.setting for leader in section.leaders]
    seeds, difference = DEFAULT_SEEDS, None
    if not group.early_stopping and not unknown(section) and len(contenders(section)) > 1:
        seeds, difference = _seeds(section)
    seconds = [[number(trial.summary, "seconds") for trial in group.by_setting[name]] for name in names]
    known = [[one for one in same if one is not None] for same in seconds]
    where = facts.folder.parent
    output = f" --runtime.output {shlex.quote(str(where))}" * (where not in (Path("runs"), Path("runs").absolute()))
    return Proposal(
        f"python studies/generators.py sweep --name {shlex.quote(f'{facts.name}-confirmed')} "
        f"--confirm {shlex.quote(facts.name)} --seeds {seeds}{output}",
        len(names),
        seeds,
        difference if len(names) > 1 else None,
        seeds * math.fsum(map(mean, known)) if known == seconds else None,
    )


def proposal_text(proposed: Proposal, section: Section) -> str:
    """What a confirmation costs, and which difference it finds."""
    return f"{_cost(proposed)} {_finds(proposed, section)}".strip()


def _cost(proposed: Proposal) -> str:
    text = (
        f"{many(proposed.settings, 'setting')}, the best of each generator, on {many(proposed.seeds, 'fresh graph')} "
        f"each: {many(proposed.trainings, 'training')}"
    )
    if proposed.seconds is None:
        return f"{text}; how long one takes was not recorded."
    each = proposed.seconds / proposed.trainings
    return f"{text} of {duration(each)} on average, as here: {duration(proposed.seconds)} one after the other."


def _finds(proposed: Proposal, section: Section) -> str:
    if proposed.settings == 1:
        return ""
    if proposed.difference is not None:
        return (
            f"They find a true difference of {proposed.difference:.2f} points between any two of them with a chance of "
            f"at least {POWER:.0%}."
        )
    if section.group.early_stopping:
        return "What they would find is not known: early stopping has left the settings that vary least."
    return f"What they would find is not known. {lacking_spread(section)}".strip()


def lacking_spread(section: Section) -> str:
    """The settings of which nothing tells how they vary, in a sentence; empty without any."""
    names = [] if section.of_variants else unknown(section)
    if not names:
        return ""
    values = section.group.values
    listed = ", ".join(f"{name} (n={len(values[name])})" for name in names)
    return f"With fewer than {MIN_REPLICATES} graphs or no spread, nothing tells how these vary: {listed}."


def _seeds(section: Section) -> tuple[int, float]:
    """Graphs of each setting, and the difference that they find: the smallest of POINTS that MAX_SEEDS are enough for.

    If they are for none, DEFAULT_SEEDS with what these find.
    """
    estimates = [_estimate(section.group.values[name]) for name in contenders(section)]
    pairs, alpha = list(combinations(estimates, 2)), ALPHA / pairs_of_contenders(section)
    for points in POINTS:
        if all(power(points, MAX_SEEDS, (one.variance, two.variance), alpha) >= POWER for one, two in pairs):
            return max(sample_size(points, pair, alpha).n for pair in pairs), points
    return DEFAULT_SEEDS, max(detectable_difference(DEFAULT_SEEDS, pair, alpha) for pair in pairs)


def _of_variants(section: Section) -> list[Question]:
    """The best variant against each other one, graph by graph."""
    if section.variants is None:
        return []
    values, best = section.variants.values, section.variants.best
    found = []
    for other in values:
        deltas = differences(values[best], values[other]) if other != best else []
        if not testable(deltas):
            continue
        estimate, n = _estimate(deltas), len(deltas)
        found.append(
            Question(
                (best, other),
                (math.sqrt(estimate.variance),),
                n,
                detectable_paired_difference(n, estimate),
                *(
                    tuple(paired_sample_size(points, estimate, alpha) for points in POINTS)
                    for alpha in (ALPHA, ALPHA / pairs_of_contenders(section))
                ),
            )
        )
    return found


def _estimate(values: Sequence[float]) -> VarianceEstimate:
    """The variance of testable values, by their own spread alone."""
    estimate = pooled_variance([values])
    assert estimate is not None
    return estimate
