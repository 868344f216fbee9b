"""What a report of a study is made from: its records, by budget, with what is inferred from each budget."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from randwire.records import Row
from randwire.report.facts import rates
from randwire.report.facts.designs import names_of
from randwire.report.facts.epochs import EarlyEpochs
from randwire.report.facts.families import Family, families
from randwire.report.facts.growth import chosen_later
from randwire.report.facts.kinds import Kinds, kinds
from randwire.report.facts.leaders import Leader, leaders
from randwire.report.facts.paired import Paired, paired
from randwire.report.facts.pareto import Pareto, pareto
from randwire.report.facts.race import rounds_of
from randwire.statistics.pairs import Pair, compare
from randwire.study.fixed import FIXED
from randwire.study.folder import failures_of
from randwire.study.groups import TrialGroup, groups
from randwire.study.looks import Look, looks_of
from randwire.study.objectives import Objective, objectives_of
from randwire.study.race import Round
from randwire.study.results import Trial, UnreadableRecord, design_of, load
from randwire.study.setting import Setting
from randwire.study.statuses import RECORD_STATUSES
from randwire.study.tried import SEARCHES, Tried, suggested, tried
from randwire.study.winners import Ranked, ranking


@dataclass(frozen=True)
class Section:
    """Trials that may be compared with each other, and what is inferred from them."""

    group: TrialGroup
    heading: str
    rounds: Sequence[Round] = ()
    """Of a race: its rounds so far."""
    objectives: tuple[Objective, ...] = ()
    """What the search was after."""
    design: Row | None = None
    """The recorded design of the study; None if it was not recorded."""
    suggested: Mapping[Setting, Sequence[str]] = field(default_factory=dict)
    """The settings of the study in the order of suggestion, see `tried.suggested`."""
    looks: Sequence[Look] = ()
    """When its tests were looked at before, and at how many replicates."""

    @cached_property
    def tried(self) -> list[Tried]:
        """The settings of a search, in the order in which they were tried, as far as this group has trials of them.

        None of any other study: there is no search to tell of.
        """
        searched = (self.design or {}).get("search") in SEARCHES and self.group.origin != "outside"
        return [one for one in tried(self.group, self.design, self.suggested) if one.trials] if searched else []

    @cached_property
    def ranking(self) -> list[Ranked]:
        """The settings that have finished, best first."""
        return ranking(self.group, self.design)

    @cached_property
    def of_variants(self) -> bool:
        """Whether it compares variants of the configuration, which a generator says nothing of."""
        named = (self.design or {}).get("variants") or {}
        return any(trial.variant in named for trial in self.group.counted)

    @cached_property
    def leaders(self) -> list[Leader]:
        """The best setting of each generator; none in a study of variants."""
        return [] if self.of_variants else leaders(self.group, self.ranking)

    @cached_property
    def families(self) -> list[Family]:
        """The questions that are tested."""
        return families(self.group, self.ranking, grown=bool(chosen_later(self.design)))

    @cached_property
    def families_by_loss(self) -> list[Family]:
        """The same questions by the cross entropy."""
        return families(self.group, self.ranking, "loss", grown=bool(chosen_later(self.design)))

    @cached_property
    def pairs(self) -> list[Pair]:
        """All pairs of settings, if settings may be tested against each other; variants are tested by themselves."""
        return compare(self.group.values) if self.group.tested and self.variants is None else []

    @cached_property
    def variants(self) -> Paired | None:
        return paired(self.group)

    @cached_property
    def kinds(self) -> Kinds:
        """What figures and tables tell its trials apart by."""
        return kinds(self.group, self.variants)

    @cached_property
    def settings(self) -> list[str]:
        """The settings that count, in the order of the study; of a study of variants, those of a variant together."""
        names, kinds = list(self.group.by_setting), self.kinds
        if not kinds.variants:
            return names
        return sorted(names, key=lambda name: kinds.place(kinds.of(self.group.by_setting[name][0])))

    @property
    def trials(self) -> list[Trial]:
        """All trials in the order of the study; of a study of variants, those of a variant together."""
        kinds = self.kinds
        if not kinds.variants:
            return self.group.trials
        return sorted(self.group.trials, key=lambda trial: kinds.place(kinds.of(trial)))

    @cached_property
    def pareto(self) -> Pareto | None:
        return pareto(self.group, self.objectives)

    @cached_property
    def rates(self) -> rates.Check:
        return rates.check(self.group)

    @cached_property
    def early_epochs(self) -> EarlyEpochs:
        """Top-1 by epoch of the trials that count; there must be some."""
        return EarlyEpochs(self.group)


@dataclass(frozen=True)
class StudyFacts:
    """The records of a study."""

    folder: Path
    design: Row | None
    """None if it was not recorded."""
    trials: Sequence[Trial]
    unreadable: Sequence[UnreadableRecord]
    failures: Mapping[Setting, tuple[float, str]]
    """When (Unix seconds) and why settings could not be run."""
    others: Sequence[Path] = ()
    """The folders of further studies, whose records are among these; see `several`."""
    designs: Mapping[str, Row | None] = field(default_factory=dict)
    """Of several studies, the design of each by its name, or by its path where several have that name."""

    @classmethod
    def load(cls, folder: Path) -> "StudyFacts":
        """Read the records of a study. Raises RecordError if there is none."""
        trials, broken = load(folder)
        return cls(folder, design_of(folder), trials, broken, failures_of(folder))

    @property
    def name(self) -> str:
        return " + ".join(folder.resolve().name for folder in (self.folder, *self.others))

    @property
    def records(self) -> int:
        """Number of records, readable or not."""
        return len(self.trials) + len(self.unreadable)

    @cached_property
    def counted(self) -> list[Trial]:
        """The trials that enter statistics."""
        return [trial for trial in self.trials if trial.top1 is not None]

    @property
    def excluded(self) -> int:
        """Number of records without a part in any statistic."""
        return self.records - len(self.counted)

    @property
    def search(self) -> str | None:
        """How settings were chosen, if that was recorded."""
        return (self.design or {}).get("search")

    @property
    def fixed(self) -> bool:
        """Whether the settings were fixed before any result: none was suggested, nor added when results were known."""
        return self.search in FIXED and not chosen_later(self.design)

    @cached_property
    def race(self) -> tuple[list[Round], str]:
        """The rounds of a race so far, and if they cannot be told, why; none of any other study."""
        return rounds_of(self.folder) if self.search == "race" else ([], "")

    @cached_property
    def statuses(self) -> str:
        """How many trials have which status, such as `5 finished, 1 failed`; what does not occur is left out."""
        counts = Counter([*(trial.status for trial in self.trials), *("unreadable" for _ in self.unreadable)])
        return ", ".join(f"{counts[status]} {status}" for status in RECORD_STATUSES if counts[status])

    @cached_property
    def sections(self) -> list[Section]:
        """The budgets, that of most trials first, and at the end what is outside of a fixed design."""
        budgets = groups(self.trials, self.design)
        order = {} if self.others else suggested(self.folder)
        inside = sum(budget.origin != "outside" for budget in budgets)
        return [
            Section(
                budget,
                f"Outside the {names_of(self.design).noun}"
                if budget.origin == "outside"
                else f"Budget {number} of {inside}"
                if inside > 1
                else "Results",
                self.race[0] if number == 1 else (),
                objectives_of(self.design),
                self.design,
                order,
                looks_of(self.folder) if number == 1 and not self.others else (),
            )
            for number, budget in enumerate(budgets, 1)
        ]

    @property
    def groups(self) -> list[TrialGroup]:
        return [section.group for section in self.sections]
