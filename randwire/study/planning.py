"""What a study will do, from its design and records alone: no Ray, no data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from randwire.config import RunConfig
from randwire.data.sources import load_source
from randwire.records import Row
from randwire.study import race
from randwire.study.design import Design
from randwire.study.fixed import FIXED, RACE_GROWTH
from randwire.study.folder import StudyFolder
from randwire.study.race import Round
from randwire.study.requirements import quantities
from randwire.study.search import SettingSearch
from randwire.study.setting import Setting
from randwire.study.state import states


@dataclass(frozen=True)
class Rejected:
    """What requirements exclude: `number` of `what` (cells of a grid, settings of a search), and by which of them."""

    what: str
    number: int
    by: Counter[str]

    def __str__(self) -> str:
        return f"{self.number} {self.what} rejected by " + ", ".join(
            f"{name} ({times})" if len(self.by) > 1 else name for name, times in sorted(self.by.items())
        )


@dataclass(frozen=True)
class Listing:
    """The trials of a study, in order, as far as they come whatever the results.

    A job is what one group of workers trains in a row: a setting with its trials, in a race those that a round adds.
    """

    jobs: Sequence[tuple[Setting, list[RunConfig]]]
    ahead: Sequence[int]
    """Of each further job, which will depend on results: how many trials it has, at most."""
    rejected: Rejected
    exhausted: bool
    """Whether the space holds fewer settings than the study asks for."""
    rounds: Sequence[Round] = ()
    """Of a race: its rounds so far."""
    waves: Sequence[int] = ()
    """Of a race: the jobs of each round, also of those ahead. A round begins when all of the one before have ended."""

    @property
    def settings(self) -> dict[Setting, list[RunConfig]]:
        """All trials by setting."""
        by_setting: dict[Setting, list[RunConfig]] = {}
        for setting, trials in self.jobs:
            by_setting.setdefault(setting, []).extend(trials)
        return by_setting

    @property
    def trials(self) -> list[RunConfig]:
        return [trial for _, trials in self.jobs for trial in trials]

    @property
    def later(self) -> int:
        """How many further jobs will depend on results, at most."""
        return len(self.ahead)


@dataclass(frozen=True)
class Planned:
    """One trial: its number in the plan, configuration, QUANTITIES and state."""

    number: int
    setting: Setting
    config: RunConfig
    digest: str
    quantities: Mapping[str, float]
    state: str

    @property
    def label(self) -> str:
        return self.setting.label

    @property
    def graph_seed(self) -> int | None:
        """None for a published network."""
        return None if self.setting.published else self.config.graph.seed

    def to_row(self) -> Row:
        return {
            "number": self.number,
            "digest": self.digest,
            "setting": str(self.setting),
            "graph_seed": self.graph_seed,
            "train_seed": self.config.train.seed,
            **self.quantities,
            "state": self.state,
        }


def listing(design: Design) -> Listing:
    """The settings suggested so far and those that will come whatever the results; of a race, its rounds so far.

    Raises ConfigError for a setting that is impossible.
    """
    if design.search == "race":
        return _race(design)
    search = SettingSearch(design)
    suggested = StudyFolder(design.folder).suggestions()
    settings = suggested + [setting for setting in search.foreseeable() if setting not in suggested]
    jobs = [(setting, trials) for setting in settings if (trials := design.trials(setting))]
    ahead = [design.seeds * design.train_seeds] * search.later
    exhausted = not design.fixed and len(jobs) + len(ahead) < design.settings
    return Listing(jobs, ahead, rejected(design, search), exhausted)


def _race(design: Design) -> Listing:
    """The rounds of a race so far, each with the trials that it adds."""
    design.check()
    rounds, first = race.rounds(design), design.base.graph.seed
    jobs: list[tuple[Setting, list[RunConfig]]] = []
    violated: dict[tuple[str, int], list[str]] = {}
    waves: list[int] = []
    trained = 0
    """Graph seeds of the round before."""
    for current in rounds:
        of_round, before = race.of_round(design, current), len(jobs)
        for setting in of_round.fixed_settings():
            trials = [trial for trial in of_round.trials(setting) if trial.graph.seed >= first + trained]
            if trials:
                jobs.append((setting, trials))
            broken = of_round.violations(setting) if design.require else {}
            violated |= {(setting.spec, seed): names for seed, names in broken.items()}
        trained = current.seeds
        waves.append(len(jobs) - before)
    following = [] if rounds[-1].complete else rounds[-1].ahead
    waves += [settings for settings, _ in following]
    added = [seeds - seeds // RACE_GROWTH for settings, seeds in following for _ in range(settings)]
    ahead = [seeds * design.train_seeds for seeds in added]
    return Listing(jobs, ahead, _rejected("cells", violated.values()), exhausted=False, rounds=rounds, waves=waves)


def rejected(design: Design, search: SettingSearch) -> Rejected:
    """What requirements exclude from a fixed design, or have excluded from a search so far."""
    if not design.fixed:
        return _rejected("settings", search.rejected.values())
    cells = (names for setting in design.fixed_settings() for names in design.violations(setting).values())
    return _rejected("cells", cells)


def _rejected(what: str, broken: Iterable[list[str]]) -> Rejected:
    violated = list(broken)
    return Rejected(what, len(violated), Counter(name for names in violated for name in names))


def plan(design: Design, listed: Listing | None = None) -> list[Planned]:
    """Every trial of a listing, by default that of the design, with what is known of it before it runs.

    Raises ConfigError for a setting that is impossible, and if the study's folder holds another design.
    """
    planned: list[Planned] = []
    for setting, trials in (listed or listing(design)).jobs:
        for trial, state in zip(trials, states(design, trials), strict=True):
            planned.append(Planned(len(planned) + 1, setting, trial, state.digest, quantities(trial), state.name))
    return planned


def holdout_advice(design: Design) -> str:
    """What a search without a holdout does, and what holds images out, in one line; empty for any other study."""
    if design.search in FIXED or design.base.data.holdout:
        return ""
    proposal = load_source(design.base.data.source).holdout or "N"
    where = " in a study of another --name" if StudyFolder(design.folder).read() is not None else ""
    return f"the same images choose and tell in this search; --data.holdout {proposal} keeps them apart{where}"
