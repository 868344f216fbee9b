"""Which setting comes next: Optuna, told what the records say.

The records and the list of suggestions are the only state. Whoever opens a search replays them into a fresh Optuna
study, so a sweep that was ended at any moment goes on with what it would have done: settings that have not ended are
suggested again first, and a suggestion depends only on the seed, its number and the outcomes before it.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator

import optuna
from optuna.trial import Trial, TrialState

from randwire.study import space
from randwire.study.design import Design, Outcome, StudyFolder

STARTUP = 10
"""Suggestions before TPE takes over from random ones."""
TPE_ATTEMPTS = 5
"""How often TPE may repeat an earlier suggestion before a random one is taken: near its optimum it repeats itself."""
ATTEMPTS = 500
"""How often a suggestion that repeats an earlier one is drawn again before the space counts as exhausted."""

_STATES: dict[Outcome, TrialState] = {
    "finished": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


class Search:
    """The Optuna study behind a sweep. `next` gives settings, `tell` takes their outcomes."""

    def __init__(self, design: Design, study: optuna.Study | None = None) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.design = design
        self.suggested: list[str] = []
        self.study = study or optuna.create_study(direction="maximize")
        self.study.sampler = self._sampler(0, 0)
        self._open: dict[str, Trial] = {}
        self._queue: list[str] = []
        for spec in StudyFolder(design).suggestions():
            outcome, value = design.outcome(spec)
            if outcome == "unfinished":
                self._queue.append(spec)
            else:
                self._enqueue(spec)
                self.tell(spec, outcome, value)
        known = {*self.suggested, *self._queue}
        first = space.paper(design.generators) if design.search == "grid" else space.best(design.generators)
        self._queue += [spec for spec in first if spec not in known]

    @property
    def total(self) -> int:
        """Settings of the whole study."""
        return len(space.paper(self.design.generators)) if self.design.search == "grid" else self.design.settings

    def next(self) -> str | None:
        """The next setting, or None if the study's number is reached or the space holds no further one."""
        if len(self.suggested) >= self.total:
            return None
        if self._queue:
            spec = self._queue.pop(0)
            self._enqueue(spec)
            return spec
        for attempt in range(ATTEMPTS):
            self.study.sampler = self._sampler(len(self.suggested), attempt)
            trial = self.study.ask()
            spec = space.suggest(trial, self.design.generators)
            if spec in self.suggested or not self._possible(spec):
                # Not told as a result: a repeat would count twice.
                self.study.tell(trial, state=TrialState.FAIL)
                continue
            self.suggested.append(spec)
            self._open[spec] = trial
            return spec
        return None

    def tell(self, spec: str, outcome: Outcome, value: float | None) -> None:
        """The outcome of a setting: only a finished one has a value, so an early stop never passes for a result."""
        if outcome == "unfinished":
            return
        self.study.tell(self._open.pop(spec), value if outcome == "finished" else None, state=_STATES[outcome])

    def foreseeable(self) -> Iterator[str]:
        """The settings that will come whatever the results: the queue, then random ones (with TPE up to STARTUP)."""
        while self._queue or self.design.search == "random" or len(self.suggested) < STARTUP:
            spec = self.next()
            if spec is None:
                return
            yield spec

    def _enqueue(self, spec: str) -> None:
        self.study.enqueue_trial(space.parameters(spec))
        trial = self.study.ask()
        reached = space.suggest(trial, self.design.generators)
        assert reached == spec, f"{spec} is outside the search space: came out as {reached}"
        self.suggested.append(spec)
        self._open[spec] = trial

    def _possible(self, spec: str) -> bool:
        try:
            self.design.trials(spec)
        except ValueError:
            return False
        return True

    def _sampler(self, number: int, attempt: int) -> optuna.samplers.BaseSampler:
        seed = random.Random(f"{self.design.seed}/{number}/{attempt}").getrandbits(32)
        if self.design.search == "random" or attempt >= TPE_ATTEMPTS:
            return optuna.samplers.RandomSampler(seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            # group: the parameters of a generator are modelled together, and apart from those of the others
            return optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP, multivariate=True, group=True)
