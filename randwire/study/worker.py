"""What happens inside Ray's processes: a setting's driver, its train workers, and the actor that stops trials early."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import ray
import ray.train
import torch
from ray.train.torch import TorchConfig, TorchTrainer, get_device
from torch import distributed

from randwire.records import Row
from randwire.study.design import Design

PRUNER = "randwire-pruner"
METRIC = "setting_top1"
"""Mean final top-1 of a setting's trials."""


class RayWorker:
    """One rank of a Ray Train worker group."""

    def __init__(self, digest: str, early_stopping: bool) -> None:
        context = ray.train.get_context()
        self.rank, self.world_size = context.get_world_rank(), context.get_world_size()
        self.device: torch.device = get_device()
        resources = ray.get_runtime_context().get_assigned_resources()  # type: ignore[no-untyped-call]
        self.cpus = max(1, int(resources.get("CPU", 1)))
        self.digest = digest
        self.pruner = ray.get_actor(PRUNER) if early_stopping and self.rank == 0 else None
        self.early_stopping = early_stopping

    def step(self, epoch: int, step: int, steps: int) -> None:
        """Nothing: the driver of the sweep shows progress by epoch."""

    def report(self, row: Mapping[str, Any]) -> bool:
        """Send the row to Tune, and ask the pruner; all ranks get the answer of rank 0."""
        ray.train.report({**row, "digest": self.digest, METRIC: math.nan})
        if not self.early_stopping:
            return False
        stop = torch.zeros(1, device=self.device)
        if self.pruner is not None:
            answer: Any = ray.get(self.pruner.should_stop.remote(self.digest, row["epoch"], row["val_top1"]))
            stop += float(answer)
        if self.world_size > 1:
            distributed.broadcast(stop, 0)
        return bool(stop.item())


def train_setting(job: Mapping[str, Any]) -> None:
    """Train the trials of a setting, one after the other, in one worker group; called by every rank."""
    from randwire.run import run

    design: Design = job["design"]
    for trial in design.trials(job["setting"]):
        worker = RayWorker(trial.digest, design.early_stopping)
        summary = run(trial, worker, command=job["command"])
        ray.train.report({"digest": trial.digest, "summary": summary, METRIC: math.nan})
        if summary["status"] == "pruned":
            break  # the setting has lost: its other trials would change nothing


def setting_driver(params: Mapping[str, Any], job: Mapping[str, Any]) -> None:
    """The Tune trial of a setting: launches a Ray Train run, and reports the outcome that the records show."""
    from ray import tune
    from ray.tune.integration.ray_train import TuneReportCallback

    design: Design = job["design"]
    setting = params["setting"]
    trial_id = tune.get_context().get_trial_id()
    trainer = TorchTrainer(
        train_setting,
        train_loop_config={**job, "setting": setting},
        torch_config=TorchConfig(backend=None),
        scaling_config=ray.train.ScalingConfig(
            num_workers=job["workers"], use_gpu=job["gpu"], resources_per_worker=job["resources"]
        ),
        run_config=ray.train.RunConfig(  # type: ignore[call-arg] # typed as of the old Train
            name=f"train-{trial_id}",
            storage_path=job["scratch"],
            callbacks=[TuneReportCallback()],  # type: ignore[no-untyped-call,list-item]
            # The records hold the checkpoints: a restarted group goes on from them.
            failure_config=ray.train.FailureConfig(max_failures=2, controller_failure_limit=20),  # type: ignore[call-arg]
            logging_config=ray.train.LoggingConfig(log_level="ERROR"),
        ),
    )
    try:
        trainer.fit()
    except ray.train.WorkerGroupError as error:
        # It has been tried three times: Tune must not try it once more. What ends a controller is worth another try.
        cause = next(iter(error.worker_failures.values()), error)
        tune.report({METRIC: math.nan, "setting": setting, "error": str(cause).strip().splitlines()[-1]})
        return
    outcome, value = design.outcome(setting)
    tune.report({METRIC: math.nan if value is None else value, "outcome": outcome, "setting": setting})


class Pruner:
    """An actor that decides which trials stop early: successive halving over final top-1, on trials of equal budget.

    Told the rows of the trials that ended in earlier sweeps, so that a continued sweep decides as an uninterrupted one.
    """

    def __init__(self, history: Mapping[str, list[Row]]) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=2, reduction_factor=3)
        self.study = optuna.create_study(direction="maximize", pruner=pruner)
        self.trials: dict[str, optuna.Trial] = {}
        self.seen: dict[tuple[str, int], bool] = {}
        for digest, rows in history.items():
            for row in rows:
                self.should_stop(digest, row["epoch"], row["val_top1"])

    def should_stop(self, digest: str, epoch: int, top1: float) -> bool:
        """Whether the trial should stop after this epoch. Asked again, it answers the same."""
        if (digest, epoch) not in self.seen:
            if digest not in self.trials:
                self.trials[digest] = self.study.ask()
            trial = self.trials[digest]
            trial.report(top1, epoch)
            self.seen[digest, epoch] = trial.should_prune()
        return self.seen[digest, epoch]
