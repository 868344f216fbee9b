"""Tune's search algorithm: the search of a study, whose state are the records."""

from __future__ import annotations

from typing import Any

from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from randwire.records import Row
from randwire.study import space
from randwire.study.design import Design, StudyFolder
from randwire.study.search import Search
from randwire.sweep.driver import METRIC, patient
from randwire.sweep.progress import note


class StudySearch(OptunaSearch):
    """OptunaSearch on the conditional space, replayed from the records and told what the records say.

    Stock OptunaSearch would take an early stop for a result, leave a NaN running for ever, and cannot replay a
    define-by-run study.
    """

    def __init__(self, design: Design) -> None:
        super().__init__(
            space=lambda trial: {"setting": space.suggest(trial, design.generators)}, metric=METRIC, mode="max"
        )
        self._design = design
        self._search = Search(design, self._ot_study)
        self._settings: dict[str, str] = {}
        self._rejected = len(self._search.rejected)

    def suggest(self, trial_id: str) -> Any:
        spec = self._search.next()
        out = self._search.rejected
        patient(self._design, lambda: StudyFolder(self._design).add_suggestion(spec, out))
        for other, broken in list(out.items())[self._rejected :]:
            note(f"{self._design.label(other)}: rejected by {', '.join(broken)}")
        self._rejected = len(out)
        if spec is None:
            return Searcher.FINISHED
        self._settings[trial_id] = spec
        return {"setting": spec}

    def on_trial_result(self, trial_id: str, result: Row) -> None:
        pass  # the pruner sees the epochs

    def on_trial_complete(self, trial_id: str, result: Row | None = None, error: bool = False) -> None:
        spec = self._settings.pop(trial_id)
        outcome, value = patient(self._design, lambda: self._design.outcome(spec))
        self._search.tell(spec, "failed" if outcome == "unfinished" else outcome, value)

    def save(self, checkpoint_path: str) -> None:
        pass  # the records are the state

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError("a study goes on from its records, not from a snapshot")
