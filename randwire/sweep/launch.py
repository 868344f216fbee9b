"""The sweep: Ray Tune asks Optuna for settings, and trains each by a Ray Train run of several workers.

Tune never ends a setting that holds a Train run (that would leak its placement group): early stopping is cooperative.
The sweep keeps no state of its own beside the records and the list of suggestions; running it again goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import ray
from ray import tune
from ray._private.state import state as cluster_state
from ray.exceptions import ObjectStoreFullError, OutOfDiskError, RayError
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from randwire import data, storage
from randwire.config import RunConfig
from randwire.errors import ConfigError
from randwire.records import Row, find
from randwire.run import describe
from randwire.study import space
from randwire.study.design import Design, StudyFolder
from randwire.study.plan import rejected
from randwire.study.search import Search
from randwire.sweep.actors import PRUNER, Pruner
from randwire.sweep.driver import HEAD, METRIC, SettingDriver, patient
from randwire.sweep.headwatch import watching
from randwire.sweep.progress import Progress, note
from randwire.tracking import Tracker, without_secrets
from randwire.wiring import sample_graphs

# Environment of Ray's processes, chosen from measurements: `report` waits for the next poll; the trial's folder must
# not become the working directory, or relative paths of a configuration break; the records replace Tune's own loggers.
ENVIRONMENT = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.25",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_MAX_PENDING_TRIALS_PG": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
}
# Of a cluster that grows: a machine may be booting, and install what it needs, when its workers are asked for.
START_SECONDS = {"RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "900"}


RAY_TOKEN = "RAY_AUTH_TOKEN"


@dataclass(frozen=True)
class Cluster:
    """Where a sweep runs: `address` of a Ray cluster (None: one is started here), and what a trial takes of it.

    A training that makes no step for `stall_minutes` is ended, and goes on from its checkpoint; one that is lost
    `losses` times without an epoch in between is given up.
    """

    address: str | None = None
    workers: int = 2
    cpus_per_worker: int = 1
    concurrent: int | None = None
    stall_minutes: float = 10.0
    losses: int = 4


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
        self.progress.setting(self.design.label(setting))

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: Row, **info: Any
    ) -> None:
        if "error" in result:
            self._failed(result["setting"], result["error"])
        if "outcome" in result:
            patient(self.design, lambda: StudyFolder(self.design).add_failure(result["setting"], None))
        if "lost" in result:
            self.progress.lost(self.design.label(result["setting"]), result["lost"])
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
                group = self.design.label(self.design.spec_of(config))
                self.tracker.start(replace(describe(config, resumed_epochs=result["epoch"] - 1), group=group))
                for row in patient(self.design, self.design.record(config).metrics):
                    self.tracker.log(digest, row)
            self.tracker.log(digest, result)
            self.progress.epoch(config, result)

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        lines = (trial.get_error() and str(trial.get_error()).strip().splitlines()) or ["unknown cause"]
        cause = next((line for line in reversed(lines) if line.strip()), "unknown cause").strip()
        self._failed(trial.config["setting"], cause)

    def _failed(self, setting: str, cause: str) -> None:
        self.errors[setting] = cause
        self.progress.error(self.design.label(setting), cause)
        patient(self.design, lambda: StudyFolder(self.design).add_failure(setting, cause))


def sweep(design: Design, cluster: Cluster, tracker: Tracker) -> int:
    """Run what is left of a study. Returns how many of its trials failed or could not be run.

    `check` must have passed. Raises ConfigError if a trial does not fit the cluster, and KeyboardInterrupt after a
    clean stop.
    """
    search = Search(design)
    if design.search == "grid" and (out := rejected(design, search)).number:
        note(str(out))
    remaining = list(iter(search.next, None))
    if search.exhausted:
        note(f"the space holds {len(search.suggested)} settings of the {design.settings} asked for")
    if not remaining:
        _close(design)
        print(f"{design.folder}: all settings have ended, nothing to run", file=sys.stderr)
        return _failures(design)
    trials = sum(len(design.trials(spec)) for spec in remaining)
    with Progress(trials * design.base.train.epochs, lambda trial: design.label(design.spec_of(trial))) as progress:
        watch = Watch(design, tracker, progress)
        try:
            with _cluster(cluster, storage.credentials(design.base.data.path)):
                _fit(design, cluster, len(remaining), watch)
        except (ObjectStoreFullError, OutOfDiskError):
            raise ConfigError(
                "the object store of the cluster's head is full, and so is its disk; `ray memory` tells of what"
            ) from None
    _close(design)
    return _failures(design) + len(watch.errors)


def _close(design: Design) -> None:
    """Note what else was rejected if the space is exhausted: then `status` knows that nothing more will come."""
    search = Search(design)
    for _ in iter(search.next, None):
        pass  # what could not be run
    StudyFolder(design).add_suggestion(None, search.rejected)


def check(design: Design, cluster: Cluster) -> None:
    """Find a mistake before anything is started or written.

    Raises ConfigError for settings, folders or ranks that are impossible, DataError for unusable data.
    """
    batch = design.base.train.batch_size
    if batch % cluster.workers:
        raise ConfigError(f"train.batch_size: {batch} is not divisible by {cluster.workers} ranks (--workers)")
    search = Search(design)
    for spec in iter(search.next, None):
        for trial in design.trials(spec)[:1]:
            sample_graphs(trial)
    if not search.suggested:
        raise ConfigError(f"--require: no setting meets {', '.join(map(str, design.require))}; loosen a bound")
    data.check(design.base.data)
    StudyFolder(design).open()


def _fit(design: Design, cluster: Cluster, remaining: int, watch: Watch) -> None:
    resources = {"CPU": cluster.cpus_per_worker}
    gpu, concurrent = _places(design, cluster)
    # Of this machine: what Ray keeps of a sweep is worth nothing to the next, and shared storage may be away.
    scratch = Path(tempfile.gettempdir(), f"randwire-{os.getuid()}-{_short(str(design.folder.absolute()))}")
    shutil.rmtree(scratch, ignore_errors=True)
    absolute = design.base.runtime.model_copy(update={"output": design.base.runtime.output.absolute()})
    # kept for the actor's lifetime: without a reference Ray ends it
    pruner = None
    if design.early_stopping:
        first = [design.record(design.trials(spec)[0]) for spec in StudyFolder(design).suggestions()]
        history = {record.folder.name: record.metrics() for record in first if record.summary()}
        pruner = ray.remote(Pruner).options(name=PRUNER, num_cpus=0, resources=HEAD).remote(history)
    job = {
        "design": replace(design, base=design.base.model_copy(update={"runtime": absolute})),
        "workers": cluster.workers,
        "gpu": gpu,
        "resources": {**resources, **({"GPU": 1} if gpu else {})},
        "scratch": str(scratch),
        "stall_s": 60 * cluster.stall_minutes,
        "losses": cluster.losses,
        "local": cluster.address is None,  # such a cluster ends as a whole, and its workers with it
        "command": " ".join(sys.argv),
    }
    driver = tune.with_parameters(SettingDriver, job=job)
    driver.__qualname__ = SettingDriver.__qualname__  # the name of its processes
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # what it would tell is told in lines of our own
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
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # the records are the state
                failure_config=tune.FailureConfig(max_failures=3),
            ),
        ).fit()
    del pruner
    shutil.rmtree(scratch, ignore_errors=True)
    left = [spec for spec in StudyFolder(design).suggestions() if design.outcome(spec)[0] == "unfinished"]
    if set(left) - set(watch.errors):
        # Tune takes an interrupt for itself, and returns as if all had been done.
        raise KeyboardInterrupt


def _places(design: Design, cluster: Cluster) -> tuple[bool, int]:
    """Whether trials train on GPUs, and how many settings at a time.

    A cluster that grows counts as if it had grown. Raises ConfigError if not one trial fits.
    """
    total: dict[str, float] = dict(ray.cluster_resources())  # type: ignore[no-untyped-call]
    for name, most in (cluster_state.get_max_resources_from_cluster_config() or {}).items():
        total[name] = max(most, total.get(name, 0))
    device = design.base.runtime.device
    gpu = device == "cuda" or (device == "auto" and total.get("GPU", 0) > 0)
    slots = total.get("GPU", 0) if gpu else total.get("CPU", 0) / cluster.cpus_per_worker
    concurrent = cluster.concurrent or int(slots // cluster.workers)
    if not concurrent:
        raise ConfigError(
            f"--workers: a trial of {cluster.workers} workers does not fit the cluster ({total.get('CPU', 0):g} CPUs, "
            f"{total.get('GPU', 0):g} GPUs); lower it, or set --concurrent for a cluster that grows"
        )
    return gpu, concurrent


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@contextmanager
def _cluster(cluster: Cluster, kept_secrets: tuple[str, ...]) -> Iterator[None]:
    """A connection to the cluster, or a cluster of this machine that ends with the block.

    Secrets leave the environment while processes are started, but those that reading the data needs (patterns of
    names): W&B is served by the driver alone.
    """
    kept = dict(os.environ)
    if cluster.address and "RAY_AUTH_MODE" not in kept and _token_file().exists():
        kept["RAY_AUTH_MODE"] = "token"
    local = {} if cluster.address else {"RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0"}
    os.environ.clear()
    # A Ray token names the cluster to its own processes: without it they could not join.
    os.environ.update({**without_secrets(kept, (*kept_secrets, RAY_TOKEN)), **ENVIRONMENT, **local})
    needed = cluster.workers * cluster.cpus_per_worker
    # Of several clusters on one machine, Ray's own cleaners would not know which is theirs.
    own = {"RAY_ADDRESS": cluster.address} if cluster.address not in (None, "auto") else {}
    options: dict[str, Any] = (
        {"address": cluster.address, "runtime_env": {"env_vars": {**ENVIRONMENT, **START_SECONDS, **own}}}
        if cluster.address
        else {"address": "local", "num_cpus": max(needed, os.cpu_count() or 1), "dashboard_host": "127.0.0.1"}
    )
    try:
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
        except (OSError, RuntimeError, ValueError, RayError) as error:
            if cluster.address:
                raise ConfigError(
                    f"--address: {cluster.address} cannot be used: {str(error).splitlines()[0]} (does it run, and is "
                    "its token here, in ~/.ray/auth_token or where RAY_AUTH_TOKEN_PATH says?)"
                ) from None
            raise
        _protect_token()
        # Tune would hand AWS's keys to its trials, and Ray write them into logs: processes that read the data have them
        # from their start, and of all secrets this process needs W&B's alone.
        os.environ.clear()
        os.environ.update({**without_secrets(kept, ("WANDB_*", RAY_TOKEN)), **ENVIRONMENT, **local})
        head: str = ray.get_runtime_context().gcs_address
        with watching(head) if cluster.address else contextlib.nullcontext():
            yield
    finally:
        started = psutil.Process().children(recursive=True) if not cluster.address else []
        ray.shutdown()
        _end(started)
        os.environ.clear()
        os.environ.update(kept)


def _token_file() -> Path:
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH", Path.home() / ".ray" / "auth_token"))


def _protect_token() -> None:
    """Ray makes the token of this user's clusters readable for all users of the machine."""
    with contextlib.suppress(OSError):
        if (file := _token_file()).stat().st_mode & 0o077:
            file.chmod(0o600)


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


def _failures(design: Design) -> int:
    summaries = (record.summary() for record in find(design.folder))
    return sum(1 for summary in summaries if summary and summary["status"] == "failed")
