"""Tune's callback: what the workers report goes to the tracker and the progress display."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray import tune
from ray.tune.experiment import Trial as TuneTrial

from randwire.config import RunConfig
from randwire.ending import ended
from randwire.records import Row
from randwire.study.design import Design
from randwire.study.folder import StudyFolder
from randwire.study.setting import Setting
from randwire.sweep.channel import TOLD, Step
from randwire.sweep.cluster import Timeouts
from randwire.sweep.progress import Progress, note
from randwire.sweep.retry import retried
from randwire.tracking import Tracker


class TrackingCallback(tune.Callback):
    """Passes what the workers report to the tracker and the progress display; lives in the driver alone."""

    def __init__(self, design: Design, tracker: Tracker, progress: Progress, timeouts: Timeouts) -> None:
        self.design = design
        self.tracker, self.progress, self.timeouts = tracker, progress, timeouts
        self.trials: dict[str, RunConfig] = {}
        self.started: set[str] = set()
        self.ended: set[str] = set()
        self.errors: dict[Setting, str] = {}
        self.told: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks; a tracker holds live runs

    def begin_round(self, design: Design) -> None:
        """From here on, what is reported is of this round of a race; what an earlier one has trained is no news."""
        self.design = design
        trials = (trial for setting in design.fixed_settings() for trial in design.trials(setting))
        self.ended.update(trial.digest for trial in trials if ended(design.record(trial)))

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        setting = Setting.parse(trial.config["setting"])
        self.trials.update((config.digest, config) for config in self.design.trials(setting))
        self.progress.setting(setting.label)

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: Row, **info: Any
    ) -> None:
        if "error" in result:
            self._failed(Setting.parse(result["setting"]), result["error"])
        if "outcome" in result:
            setting = Setting.parse(result["setting"])
            retried(self.design, self.timeouts, lambda: StudyFolder(self.design.folder).add_failure(setting, None))
        if "lost" in result:
            self.progress.lost(Setting.parse(result["setting"]).label, result["lost"])
        if (told := result.get(TOLD)) and told not in self.told:
            self.told.add(told)  # each rank tells it for each setting
            note(told)
        digest = result.get("digest")
        if digest is None:
            return
        config = self.trials[digest]
        if digest in self.ended:
            return  # reported again, by a worker group that was started again
        if "summary" in result:
            self.ended.add(digest)
            record = self.design.record(config)
            recorded = retried(self.design, self.timeouts, record.summary)  # with what only tells, which Tune never has
            self.tracker.finish(digest, result["summary"]["status"], recorded or result["summary"])
            self.progress.ended(config, result["summary"])
        else:
            if digest not in self.started:
                self.started.add(digest)
                group = Setting.of(config).label
                record = self.design.record(config)
                # The tracker reads the record, but waits for nothing.
                retried(self.design, self.timeouts, (record.folder / "config.yaml").stat)
                self.tracker.start(record, group, resumed_epochs=result["epoch"] - 1)
            self.tracker.log(digest, result)
            self.progress.epoch(config, result)

    def on_steps(self, steps: Mapping[str, Step]) -> None:
        """How far trainings are, by digest; called in another thread."""
        running = {digest: step for digest, step in steps.items() if digest not in self.ended}
        self.progress.steps([(self.trials[digest], step) for digest, step in running.items() if digest in self.trials])

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        lines = (trial.get_error() and str(trial.get_error()).strip().splitlines()) or ["unknown cause"]
        cause = next((line for line in reversed(lines) if line.strip()), "unknown cause").strip()
        self._failed(Setting.parse(trial.config["setting"]), cause)

    def _failed(self, setting: Setting, cause: str) -> None:
        self.errors[setting] = cause
        self.progress.error(setting.label, cause)
        retried(self.design, self.timeouts, lambda: StudyFolder(self.design.folder).add_failure(setting, cause))
