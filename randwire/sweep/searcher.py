"""Tune's search algorithm: the search of a study, whose state are the records."""

from __future__ import annotations

from typing import Any

from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from randwire.records import Row
from randwire.study.design import Design
from randwire.study.folder import StudyFolder
from randwire.study.search import SettingSearch
from randwire.study.setting import Setting
from randwire.sweep.cluster import Timeouts
from randwire.sweep.driver import SETTING_TOP1
from randwire.sweep.progress import note
from randwire.sweep.retry import retried


class StudySearch(OptunaSearch):
    """OptunaSearch on the conditional space, replayed from the records, which decide the outcomes.

    Stock OptunaSearch would take an early stop for a result, leave a NaN running for ever, and cannot replay a
    define-by-run study.
    """

    def __init__(self, design: Design, timeouts: Timeouts) -> None:
        super().__init__(
            space=lambda trial: {"setting": str(design.search_space.suggest(trial))}, metric=SETTING_TOP1, mode="max"
        )
        self._design, self._timeouts = design, timeouts
        self._search = SettingSearch(design)
        self._ot_study = self._search.study  # type: ignore[assignment] # of its objectives; Tune knows top-1 alone
        self._settings: dict[str, Setting] = {}
        self._rejected = len(self._search.rejected)

    def suggest(self, trial_id: str) -> Any:
        setting = self._search.next()
        rejected = self._search.rejected
        folder = StudyFolder(self._design.folder)
        retried(self._design, self._timeouts, lambda: folder.add_suggestion(setting, rejected))
        for other, broken in list(rejected.items())[self._rejected :]:
            note(f"{other.label}: rejected by {', '.join(broken)}")
        self._rejected = len(rejected)
        if setting is None:
            return Searcher.FINISHED
        self._settings[trial_id] = setting
        return {"setting": str(setting)}

    def on_trial_result(self, trial_id: str, result: Row) -> None:
        pass  # the pruner sees the epochs

    def on_trial_complete(self, trial_id: str, result: Row | None = None, error: bool = False) -> None:
        setting = self._settings.pop(trial_id)
        outcome, value = retried(self._design, self._timeouts, lambda: self._design.outcome(setting))
        self._search.tell(setting, "failed" if outcome == "unfinished" else outcome, value)

    def save(self, checkpoint_path: str) -> None:
        pass  # the records are the state

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError("a study goes on from its records, not from a snapshot")
