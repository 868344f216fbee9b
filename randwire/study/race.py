"""A race: rounds that add graph seeds to the better half of the settings, until two are left.

All settings enter the first round, with `seeds` graph seeds each. The half with the higher means (of an odd number the
larger half) goes on, with twice as many graph seeds in all, of which the first ones have been trained already. A
setting with a trial that failed, or without any because of requirements, loses. Of equal means, the setting that stands
first wins. So the records alone say what the rounds are: there is no other state.

Why this rule: on the landscape of `benchmarks.search` (Figure 4 with its spread; its 29 settings; n = 20,000 simulated
races each, standard errors below 0.002), regret in points of top-1, and how often the best setting was found:

                                                    trainings   regret        differences halved
    29 settings x 3 graphs                             87     0.067   87 %     0.164   50 %
    29 settings x 5 graphs                            145     0.021   95 %     0.108   64 %
    race: 1 graph, twice as many, half, to 2           92     0.001   99.6 %   0.040   82 %
    race: 1 graph, 2 more each round, half, to 2       87     0.004   99 %     0.055   78 %
    race: 1 graph, as many trainings a round, 1/3, to 4   87  0.005   99 %     0.056   76 %
    race: 2 graphs, twice as many, 1/3, to 4           94     0.006   99 %     0.062   76 %
    race: 2 graphs, 1 more each round, half, to 2      87     0.014   97 %     0.084   70 %

So a race starts with one graph by default. With two it costs 184 trainings, and finds the best in 99.9 and 95 %.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from randwire.study.design import Design
from randwire.study.fixed import RACE_GROWTH
from randwire.study.folder import failures_of
from randwire.study.setting import Setting

FINALISTS = 2
"""A round of no more settings is the last one."""

Means = Mapping[str, float | None]
"""What chooses, by spec: the mean top-1 of a setting's trials, None where it has lost without one."""


@dataclass(frozen=True)
class Round:
    """One round: the specs that have entered it, with so many graph seeds each by its end.

    `means` are of those that have ended.
    """

    number: int
    specs: tuple[str, ...]
    seeds: int
    means: Means

    @property
    def complete(self) -> bool:
        return all(spec in self.means for spec in self.specs)

    @property
    def last(self) -> bool:
        """Whether no round follows, whatever the results."""
        return len(self.specs) <= FINALISTS

    @property
    def of(self) -> int:
        """How many rounds the race has, at most."""
        return self.number + len(self.ahead)

    def __str__(self) -> str:
        settings = f"{len(self.specs)} setting{'s' * (len(self.specs) != 1)}"
        return f"round {self.number} of {self.of}: {settings}, {self.seeds} graph seed{'s' * (self.seeds != 1)} each"

    @property
    def ranked(self) -> list[str]:
        """The specs that have a mean, best first."""
        placed = [(-mean, place) for place, spec in enumerate(self.specs) if (mean := self.means.get(spec)) is not None]
        return [self.specs[place] for _, place in sorted(placed)]

    @property
    def went_on(self) -> tuple[str, ...]:
        """The better half, in the order of entry: none before all have ended, and none of the last round."""
        if self.last or not self.complete:
            return ()
        best = self.ranked[: _half(len(self.specs))]
        return tuple(spec for spec in self.specs if spec in best)

    @property
    def ahead(self) -> list[tuple[int, int]]:
        """The rounds that may follow: how many settings, with how many graph seeds each by its end; at most."""
        rounds, settings, seeds = [], len(self.specs), self.seeds
        while settings > FINALISTS:
            settings, seeds = _half(settings), seeds * RACE_GROWTH
            rounds.append((settings, seeds))
        return rounds


def play(specs: Sequence[str], seeds: int, means: Callable[[Sequence[str], int], Means]) -> Iterator[Round]:
    """The rounds of a race, as far as the means are known: the last one has not ended, or none follows it.

    `means` gives those of some specs over their first graph seeds, so many of them; it leaves out what has not ended.
    Nothing is read or written: a simulation plays a race with any function.
    """
    number, entered = 1, tuple(specs)
    while entered:
        current = Round(number, entered, seeds, means(entered, seeds))
        yield current
        number, seeds = number + 1, seeds * RACE_GROWTH
        entered = current.went_on if len(current.went_on) > 1 else ()  # one that is left has nobody to race against


def winner(played: Sequence[Round]) -> str | None:
    """The best of the last round, once that has ended; None before, and if all have failed."""
    final = played[-1]
    return final.ranked[0] if final.complete and final.ranked else None


def rounds(design: Design) -> list[Round]:
    """The rounds of a study so far, from its records: the last one is under way, or was the last of all.

    A setting that could not be run has lost for now. The next sweep tries it again; if it ends then, the rounds are
    what they would have been, and what another setting has been trained for in its place counts no more.
    """
    failures = failures_of(design.folder)

    def means(specs: Sequence[str], seeds: int) -> Means:
        known, of_specs = {}, replace(design, entered=tuple(specs), seeds=seeds)
        for spec in specs:
            outcome, mean = of_specs.outcome(Setting(spec))
            if outcome != "unfinished" or Setting(spec) in failures:
                known[spec] = mean
        return known

    return list(play([setting.spec for setting in design.fixed_settings()], design.seeds, means))


def of_round(design: Design, current: Round) -> Design:
    """The design of one round: a list of the settings that have entered it, with their graph seeds by then."""
    return replace(design, entered=current.specs, seeds=current.seeds)


def _half(settings: int) -> int:
    return (settings + 1) // 2
