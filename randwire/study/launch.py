"""The sweep: Ray Tune asks Optuna for settings, and trains each by a Ray Train run of several workers.

Tune never ends a setting that holds a Train run (that would leak its placement group): early stopping is cooperative.
The sweep keeps no state of its own beside the records and the list of suggestions; running it again goes on.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import psutil
import ray
from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from randwire import data
from randwire.config import ConfigError, RunConfig
from randwire.records import Row, find
from randwire.run import describe, sample_graphs
from randwire.study import space
from randwire.study.design import Design, StudyFolder
from randwire.study.progress import Progress
from randwire.study.search import Search
from randwire.study.worker import METRIC, PRUNER, Pruner, setting_driver
from randwire.tracking import Tracker, without_secrets

# Environment of Ray's processes, chosen from measurements: `report` waits for the next poll; the trial's folder must
# not become the working directory, or relative paths of a configuration break; the records replace Tune's own loggers.
ENVIRONMENT = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.25",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_MAX_PENDING_TRIALS_PG": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
}


@dataclass(frozen=True)
class Cluster:
    """Where a sweep runs: `address` of a Ray cluster (None: one is started here), and what a trial takes of it."""

    address: str | None = None
    workers: int = 2
    cpus_per_worker: int = 1
    concurrent: int | None = None


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

    def suggest(self, trial_id: str) -> Any:
        spec = self._search.next()
        if spec is None:
            return Searcher.FINISHED
        StudyFolder(self._design).add_suggestion(spec)
        self._settings[trial_id] = spec
        return {"setting": spec}

    def on_trial_result(self, trial_id: str, result: Row) -> None:
        pass  # the pruner sees the epochs

    def on_trial_complete(self, trial_id: str, result: Row | None = None, error: bool = False) -> None:
        spec = self._settings.pop(trial_id)
        outcome, value = self._design.outcome(spec)
        self._search.tell(spec, "failed" if outcome == "unfinished" else outcome, value)

    def save(self, checkpoint_path: str) -> None:
        pass  # the records are the state

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError("a study goes on from its records, not from a snapshot")


class Watch(tune.Callback):
    """Passes what the workers report to the tracker and the progress display; lives in the driver alone."""

    def __init__(self, design: Design, tracker: Tracker, progress: Progress) -> None:
        self.design, self.tracker, self.progress = design, tracker, progress
        self.trials: dict[str, RunConfig] = {}
        self.started: set[str] = set()
        self.ended: set[str] = set()
        self.errors: dict[str, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks; a tracker holds live runs

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        setting = trial.config["setting"]
        self.trials.update((config.digest, config) for config in self.design.trials(setting))
        self.progress.setting(setting)

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: Row, **info: Any
    ) -> None:
        if "error" in result:
            self.errors[result["setting"]] = result["error"]
            self.progress.error(result["setting"], result["error"])
        digest = result.get("digest")
        if digest is None:
            return
        config = self.trials[digest]
        if digest in self.ended:
            return  # told again by a group of workers that was started again
        if "summary" in result:
            self.ended.add(digest)
            self.tracker.finish(digest, result["summary"]["status"], result["summary"])
            self.progress.ended(config, result["summary"])
        else:
            if digest not in self.started:
                self.started.add(digest)
                self.tracker.start(describe(config, resumed_epochs=result["epoch"] - 1))
                for row in self.design.record(config).metrics():
                    self.tracker.log(digest, row)
            self.tracker.log(digest, result)
            self.progress.epoch(config, result)

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        setting = trial.config["setting"]
        lines = (trial.get_error() and str(trial.get_error()).strip().splitlines()) or ["unknown cause"]
        self.errors[setting] = next((line for line in reversed(lines) if line.strip()), "unknown cause").strip()
        self.progress.error(setting, self.errors[setting])


def sweep(design: Design, cluster: Cluster, tracker: Tracker) -> int:
    """Run what is left of a study. Returns how many of its trials failed or could not be run.

    `check` must have passed. Raises ConfigError if a trial does not fit the cluster, and KeyboardInterrupt after a
    clean stop.
    """
    remaining = sum(1 for _ in iter(Search(design).next, None))
    if not remaining:
        print(f"{design.folder}: all settings have ended, nothing to run", file=sys.stderr)
        return _failures(design)
    with Progress(remaining * design.seeds * design.train_seeds * design.base.train.epochs) as progress:
        watch = Watch(design, tracker, progress)
        with _cluster(cluster):
            _fit(design, cluster, remaining, watch)
    return _failures(design) + len(watch.errors)


def check(design: Design, cluster: Cluster) -> None:
    """Find a mistake before anything is started or written.

    Raises ConfigError for settings, folders or ranks that are impossible, DataError for unusable data.
    """
    batch = design.base.train.batch_size
    if batch % cluster.workers:
        raise ConfigError(f"train.batch_size: {batch} is not divisible by {cluster.workers} ranks (--workers)")
    for spec in iter(Search(design).next, None):
        for trial in design.trials(spec)[:1]:
            sample_graphs(trial)
    data.prepare(design.base.data)
    StudyFolder(design).open()


def _fit(design: Design, cluster: Cluster, remaining: int, watch: Watch) -> None:
    resources = {"CPU": cluster.cpus_per_worker}
    total = ray.cluster_resources()  # type: ignore[no-untyped-call]
    gpu = total.get("GPU", 0) > 0 and design.base.runtime.device != "cpu"
    slots = int((total["GPU"] if gpu else total["CPU"] / cluster.cpus_per_worker) // cluster.workers)
    concurrent = cluster.concurrent or slots
    if not concurrent:
        raise ConfigError(
            f"--workers: a trial of {cluster.workers} workers does not fit the cluster ({total.get('CPU', 0):g} CPUs, "
            f"{total.get('GPU', 0):g} GPUs); lower it, or set --concurrent for a cluster that grows"
        )
    scratch = (design.folder / ".ray").absolute()
    shutil.rmtree(scratch, ignore_errors=True)
    absolute = design.base.runtime.model_copy(update={"output": design.base.runtime.output.absolute()})
    # kept for the actor's lifetime: without a reference Ray ends it
    pruner = None
    if design.early_stopping:
        history = {record.folder.name: record.metrics() for record in find(design.folder) if record.summary()}
        pruner = ray.remote(Pruner).options(name=PRUNER, num_cpus=0).remote(history)
    job = {
        "design": replace(design, base=design.base.model_copy(update={"runtime": absolute})),
        "workers": cluster.workers,
        "gpu": gpu,
        "resources": {**resources, **({"GPU": 1} if gpu else {})},
        "scratch": str(scratch),
        "command": " ".join(sys.argv),
    }
    # On the head, and of no CPU: a driver only waits, and must never take the CPU that its own workers need.
    driver = tune.with_resources(tune.with_parameters(setting_driver, job=job), {"node:__internal_head__": 0.001})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tune.Tuner(
            driver,
            tune_config=tune.TuneConfig(
                search_alg=StudySearch(design),
                num_samples=remaining,
                max_concurrent_trials=concurrent,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(scratch),
                callbacks=[watch],
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=1),
            ),
        ).fit()
    del pruner
    shutil.rmtree(scratch, ignore_errors=True)
    left = [spec for spec in StudyFolder(design).suggestions() if design.outcome(spec)[0] == "unfinished"]
    if set(left) - set(watch.errors):
        # Tune takes an interrupt for itself, and returns as if all had been done.
        raise KeyboardInterrupt


@contextmanager
def _cluster(cluster: Cluster) -> Iterator[None]:
    """A connection to the cluster, or a cluster of this machine that ends with the block.

    Secrets leave the environment while processes are started: W&B is served by the driver alone.
    """
    kept = dict(os.environ)
    local = {} if cluster.address else {"RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0"}
    os.environ.clear()
    os.environ.update({**without_secrets(kept), **ENVIRONMENT, **local})
    needed = cluster.workers * cluster.cpus_per_worker
    options: dict[str, Any] = (
        {"address": cluster.address, "runtime_env": {"env_vars": ENVIRONMENT}}
        if cluster.address
        else {"num_cpus": max(needed, os.cpu_count() or 1), "dashboard_host": "127.0.0.1"}
    )
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
        _restore_secrets(kept)
        yield
    finally:
        started = psutil.Process().children(recursive=True) if not cluster.address else []
        ray.shutdown()
        _end(started)
        os.environ.clear()
        os.environ.update(kept)


def _end(processes: list[psutil.Process]) -> None:
    """End the processes of a local cluster that outlive it: Ray's agents notice its end only after a minute.

    W&B's service is a child of the driver too, and ends with its tracker.
    """
    ours = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            if not process.name().startswith("wandb"):
                ours.append(process)
    _, alive = psutil.wait_procs(ours, timeout=1)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=5)


def _restore_secrets(kept: Mapping[str, str]) -> None:
    for name, value in kept.items():
        os.environ.setdefault(name, value)


def _failures(design: Design) -> int:
    summaries = (record.summary() for record in find(design.folder))
    return sum(1 for summary in summaries if summary and summary["status"] == "failed")
