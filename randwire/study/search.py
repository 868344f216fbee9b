"""Which setting comes next: Optuna's suggestion, given what the records say.

The records and the list of suggestions are the only state. A search replays them into a fresh Optuna study, so
a sweep that was ended at any moment goes on with what it would have done: settings that have not ended are suggested
again first, and a suggestion depends only on the seed, its number and the outcomes before it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from statistics import fmean

import optuna
from optuna.trial import Trial, TrialState

from randwire import streams
from randwire.errors import RecordError
from randwire.study.design import Design
from randwire.study.objectives import ALONE, TOP1, Objective
from randwire.study.requirements import quantities
from randwire.study.setting import Setting
from randwire.study.statuses import Outcome

STARTUP_SUGGESTIONS = 10
"""Suggestions before TPE takes over from random ones."""
MAX_TPE_ATTEMPTS = 5
"""How often TPE may repeat an earlier suggestion before a random one is taken: near its optimum it repeats itself."""
MAX_ATTEMPTS = 50
"""How often a suggestion that cannot be used is drawn again before the rest of the space is gone through."""
MAX_LISTED = 10_000
"""Settings of a space that is gone through to its end; of a larger one MAX_SAMPLED are drawn at random instead."""
MAX_SAMPLED = 2_000

_STATES: dict[Outcome, TrialState] = {
    "finished": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


class SettingSearch:
    """Gives a sweep its settings: `next` suggests one, `tell` takes its outcome.

    A search is an Optuna study; a fixed design is a list, and Optuna has nothing to decide. Raises ConfigError if the
    folder holds another study, and RecordError if it holds suggestions of another search.
    """

    def __init__(self, design: Design) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.design = design
        self.suggested: list[Setting] = []
        self.rejected: dict[Setting, list[str]] = {}
        """The settings of a search that were suggested and violate requirements, with the texts of these."""
        self.exhausted = False
        """Whether no further setting was found in the space; False as long as that has not been tried."""
        self.objectives = Objective.all_of(design.objective)
        self.study = optuna.create_study(directions=[objective.direction for objective in self.objectives])
        self._open: dict[Setting, Trial] = {}
        self._queue: list[Setting] = []
        design.check()  # or the settings of another study would be taken for its own
        entries = design.entries()
        if not design.fixed:
            self._check(entries)
        for setting, violated in entries.items():
            if violated:
                self._reject(setting, violated, self._ask(setting))
                continue
            outcome, value = design.outcome(setting)
            if outcome == "unfinished":
                self._queue.append(setting)
            else:
                self._start(setting)
                self.tell(setting, outcome, value)
        first = design.fixed_settings() if design.fixed else design.search_space.first(design.base)
        self._queue += [setting for setting in first if setting not in entries]

    @property
    def later(self) -> int:
        """The settings still to come, at most: requirements may reject some."""
        if self.design.fixed or self.exhausted:
            return len(self._queue)
        left = max(0, self.design.settings - len(self.suggested))
        return sum(1 for _ in islice(self._untried(), left))

    def next(self) -> Setting | None:
        """The next setting, or None if the study's number is reached or the space holds no further one.

        Raises ConfigError for a setting of the paper that is impossible.
        """
        if not self.design.fixed and len(self.suggested) >= self.design.settings:
            return None
        while self._queue:
            setting = self._queue.pop(0)
            if self.design.trials(setting):
                self._start(setting)
                return setting
            if not self.design.fixed:
                self._reject(setting, self._violated(setting), self._ask(setting))
        return None if self.design.fixed else self._suggest()

    def tell(self, setting: Setting, outcome: Outcome, value: float | None) -> None:
        """The outcome of a setting, and its top-1: only a finished one has it, so an early stop is never a result."""
        if outcome != "unfinished" and not self.design.fixed:
            values = self._values(setting, value) if outcome == "finished" and value is not None else None
            self.study.tell(self._open.pop(setting), values, state=_STATES[outcome])

    def foreseeable(self) -> Iterator[Setting]:
        """The settings that will come whatever the results: the queue, then random ones.

        With TPE these are up to STARTUP_SUGGESTIONS in all.
        """
        while self._queue or self.design.search == "random" or len(self.suggested) < STARTUP_SUGGESTIONS:
            setting = self.next()
            if setting is None:
                return
            yield setting

    def _suggest(self) -> Setting | None:
        for attempt in range(MAX_ATTEMPTS):
            self.study.sampler = self._sampler(len(self.suggested), attempt)
            trial = self.study.ask()
            setting = self.design.search_space.suggest(trial)
            if self._take(setting, trial):
                return setting
        left = list(self._untried())
        streams.untried_settings(self.design.seed, len(self.suggested)).shuffle(left)
        for setting in left:
            if self._take(setting, self._ask(setting)):
                return setting
        self.exhausted = True
        return None

    def _take(self, setting: Setting, trial: Trial) -> bool:
        """Whether the setting of an Optuna trial is new, possible and meets the requirements: then it is suggested."""
        try:
            violated = None if self._seen(setting) else self._violated(setting)
        except ValueError:
            violated = None
        if violated is None:
            # Not a result: a repeat would count twice, and an impossible setting is none.
            self.study.tell(trial, state=TrialState.FAIL)
        elif violated:
            self._reject(setting, violated, trial)
        else:
            self.suggested.append(setting)
            self._open[setting] = trial
        return violated == []

    def _violated(self, setting: Setting) -> list[str]:
        """The requirements that cells of a setting break. Raises ConfigError if the setting is impossible."""
        return sorted({name for violated in self.design.violations(setting).values() for name in violated})

    def _reject(self, setting: Setting, violated: list[str], trial: Trial) -> None:
        self.rejected[setting] = violated
        # Without a value it must be pruned for Optuna 5. TPE counts it with the worse trials; only where results are
        # too few for the better ones (a tenth of all) does it make up for them, with what breaks the bounds least.
        for requirement, excess in self.design.excess(setting).items():
            trial.set_constraint(requirement, excess)
        self.study.tell(trial, state=TrialState.PRUNED)

    def _start(self, setting: Setting) -> None:
        self.suggested.append(setting)
        if not self.design.fixed:
            self._open[setting] = self._ask(setting)

    def _ask(self, setting: Setting) -> Trial:
        """The Optuna trial of a given setting."""
        self.study.sampler = optuna.samplers.RandomSampler(seed=0)  # has nothing to choose, and TPE would model for it
        searched = self.design.search_space
        self.study.enqueue_trial(searched.parameters(setting))
        trial = self.study.ask()
        reached = searched.suggest(trial)
        assert reached == setting, f"{setting} is outside the search space: came out as {reached}"
        return trial

    def _check(self, entries: Iterable[Setting]) -> None:
        """Raises RecordError, in one line, for a setting of suggestions.jsonl that the search cannot have suggested."""
        outside = next((setting for setting in entries if not self.design.search_space.has(setting)), None)
        if outside is not None:
            raise RecordError(
                f"{self.design.folder / 'suggestions.jsonl'}: {outside} is outside the search space that study.json "
                "has; put back the study.json of this search, or remove that line"
            )

    def _values(self, setting: Setting, top1: float) -> list[float]:
        """What the objectives are of a finished setting: top-1, and means of quantities over its trials."""
        if self.design.objective == ALONE:
            return [top1]
        trials = [quantities(trial) for trial in self.design.trials(setting)]
        values = {TOP1: top1} | {name: fmean(trial[name] for trial in trials) for name in trials[0]}
        return [values[objective.name] for objective in self.objectives]

    def _untried(self) -> Iterator[Setting]:
        """What is left of the space; of a large one, some of it at random."""
        searched, seen = self.design.search_space, {*self.suggested, *self.rejected}
        if searched.size <= MAX_LISTED:
            settings = searched.every()
        else:
            stream = streams.untried_settings(self.design.seed, len(self.suggested))
            settings = searched.sample(max(MAX_SAMPLED, 2 * self.design.settings), stream)
        return (one for one in settings if one not in seen and searched.possible(one, self.design.base))

    def _seen(self, setting: Setting) -> bool:
        return setting in self.suggested or setting in self.rejected

    def _sampler(self, number: int, attempt: int) -> optuna.samplers.BaseSampler:
        seed = streams.sampler_seed(self.design.seed, number, attempt)
        # Rejected settings count for TPE: it would begin before the STARTUP_SUGGESTIONS on which `foreseeable` relies.
        if self.design.search == "random" or number < STARTUP_SUGGESTIONS or attempt >= MAX_TPE_ATTEMPTS:
            return optuna.samplers.RandomSampler(seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            # group: the parameters of a generator are modelled together, and apart from those of the others
            return optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=STARTUP_SUGGESTIONS, multivariate=True, group=True
            )
