"""What a study will do, from its design and records alone: no Ray, no data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from randwire.config import RunConfig
from randwire.records import Row
from randwire.study.design import Design
from randwire.study.folder import StudyFolder
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
    """The trials of a study by setting, in order, as far as they come whatever the results.

    `later` is how many further settings will depend on results, at most.
    """

    settings: Mapping[Setting, list[RunConfig]]
    later: int
    rejected: Rejected
    exhausted: bool
    """Whether the space holds fewer settings than the study asks for."""

    @property
    def trials(self) -> list[RunConfig]:
        return [trial for trials in self.settings.values() for trial in trials]


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

    def to_row(self) -> Row:
        return {
            "number": self.number,
            "digest": self.digest,
            "setting": str(self.setting),
            "graph_seed": self.config.graph.seed,
            "train_seed": self.config.train.seed,
            **self.quantities,
            "state": self.state,
        }


def listing(design: Design) -> Listing:
    """The settings suggested so far and those that will come whatever the results.

    Raises ConfigError for a setting that is impossible.
    """
    search = SettingSearch(design)
    suggested = StudyFolder(design.folder).suggestions()
    settings = suggested + [setting for setting in search.foreseeable() if setting not in suggested]
    by_setting = {setting: trials for setting in settings if (trials := design.trials(setting))}
    later = search.later
    exhausted = not design.fixed and len(by_setting) + later < design.settings
    return Listing(by_setting, later, rejected(design, search), exhausted)


def rejected(design: Design, search: SettingSearch) -> Rejected:
    """What requirements exclude from a grid, or have excluded from a search so far."""
    grid = design.fixed
    cells = (names for setting in design.fixed_settings() for names in design.violations(setting).values())
    violated = list(cells if grid else search.rejected.values())
    by = Counter(name for names in violated for name in names)
    return Rejected("cells" if grid else "settings", len(violated), by)


def plan(design: Design, listed: Listing | None = None) -> list[Planned]:
    """Every trial of a listing, by default that of the design, with what is known of it before it runs.

    Raises ConfigError for a setting that is impossible, and if the study's folder holds another design.
    """
    planned: list[Planned] = []
    for setting, trials in (listed or listing(design)).settings.items():
        for trial, state in zip(trials, states(design, trials), strict=True):
            planned.append(Planned(len(planned) + 1, setting, trial, state.digest, quantities(trial), state.name))
    return planned
