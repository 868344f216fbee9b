"""Which setting comes next: Optuna's suggestion, given what the records say.

The records and the list of suggestions are the only state. A search replays them into a fresh Optuna study, so
a sweep that was ended at any moment goes on with what it would have done: settings that have not ended are suggested
again first, and a suggestion depends only on the seed, its number and the outcomes before it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import optuna
from optuna.trial import Trial, TrialState

from randwire import graphs, streams
from randwire.study import space
from randwire.study.design import Design
from randwire.study.setting import Setting
from randwire.study.statuses import Outcome

STARTUP_SUGGESTIONS = 10
"""Suggestions before TPE takes over from random ones."""
MAX_TPE_ATTEMPTS = 5
"""How often TPE may repeat an earlier suggestion before a random one is taken: near its optimum it repeats itself."""
MAX_ATTEMPTS = 50
"""How often a suggestion that cannot be used is drawn again before the rest of the space is gone through."""

_STATES: dict[Outcome, TrialState] = {
    "finished": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


class SettingSearch:
    """Gives a sweep its settings: `next` suggests one, `tell` takes its outcome.

    A search is an Optuna study; a fixed design is a list, and Optuna has nothing to decide. Raises ConfigError if the
    folder holds another study.
    """

    def __init__(self, design: Design, study: optuna.Study | None = None) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.design = design
        self.suggested: list[Setting] = []
        self.rejected: dict[Setting, list[str]] = {}
        """The settings of a search that were suggested and violate requirements, with the texts of these."""
        self.exhausted = False
        """Whether the space holds no further setting; False as long as that has not been tried."""
        self.study = study or optuna.create_study(direction="maximize")
        self._open: dict[Setting, Trial] = {}
        self._queue: list[Setting] = []
        design.check()  # or the settings of another study would be taken for its own
        entries = design.entries()
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
        first = (
            design.fixed_settings() if self.design.fixed else [Setting(spec) for spec in space.best(design.generators)]
        )
        self._queue += [setting for setting in first if setting not in entries]

    @property
    def later(self) -> int:
        """The settings still to come, at most: requirements may reject some."""
        if self.design.fixed or self.exhausted:
            return len(self._queue)
        return max(0, min(self.design.settings - len(self.suggested), len(self._untried())))

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
        """The outcome of a setting: only a finished one has a value, so an early stop never passes for a result."""
        if outcome != "unfinished" and not self.design.fixed:
            self.study.tell(self._open.pop(setting), value if outcome == "finished" else None, state=_STATES[outcome])

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
            setting = Setting(space.suggest(trial, self.design.generators))
            if self._take(setting, trial):
                return setting
        left = self._untried()
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
        self.study.tell(trial, state=TrialState.PRUNED)  # so that TPE avoids settings like it

    def _start(self, setting: Setting) -> None:
        self.suggested.append(setting)
        if not self.design.fixed:
            self._open[setting] = self._ask(setting)

    def _ask(self, setting: Setting) -> Trial:
        """The Optuna trial of a given setting."""
        self.study.sampler = optuna.samplers.RandomSampler(seed=0)  # has nothing to choose, and TPE would model for it
        self.study.enqueue_trial(space.parameters(setting.spec))
        trial = self.study.ask()
        reached = space.suggest(trial, self.design.generators)
        assert reached == setting.spec, f"{setting} is outside the search space: came out as {reached}"
        return trial

    def _untried(self) -> list[Setting]:
        """What is left of the space."""
        nodes = self.design.base.graph.nodes
        every = (Setting(spec) for spec in space.every(self.design.generators))
        return [setting for setting in every if not self._seen(setting) and _possible(setting.spec, nodes)]

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


def _possible(spec: str, nodes: int) -> bool:
    try:
        graphs.parse(spec).check(nodes)
    except ValueError:
        return False
    return True
