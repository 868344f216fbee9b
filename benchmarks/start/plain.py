"""A sweep as one would write it with Ray."""

import tempfile
from collections.abc import Mapping
from typing import Any

from benchmarks.start.marks import Marks, in_worker
from randwire import machine
from randwire.study.design import Design
from randwire.study.search import SettingSearch
from randwire.study.setting import Setting
from randwire.sweep.driver import HEAD_RESOURCES
from randwire.sweep.job import Job


def train_plain(config: Mapping[str, Any]) -> None:
    """One setting in a worker group of its own."""
    from randwire.sweep import worker

    with in_worker(config["job"]):
        worker.train_setting(Setting.parse(config["setting"]), config["job"], channel=None)


def drive_plain(params: Mapping[str, Any], job: Job) -> None:
    """The function that Tune calls for each setting, as Ray's guide has it."""
    import ray.train
    from ray import tune
    from ray.train.torch import TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    Marks(job.design.folder).add("driver", params["setting"])
    trainer = TorchTrainer(
        train_plain,
        train_loop_config={"job": job, **params},
        scaling_config=ray.train.ScalingConfig(num_workers=job.workers),
        run_config=ray.train.RunConfig(
            name=f"train-{tune.get_context().get_trial_id()}",
            storage_path=job.scratch,
            callbacks=[TuneReportCallback()],  # type: ignore[list-item, no-untyped-call] # typed as of the old Train
        ),
    )
    trainer.fit()


def sweep_plain(design: Design, workers: int) -> None:
    import ray
    from ray import tune

    marks = Marks(design.folder)
    with tempfile.TemporaryDirectory() as scratch:
        job = Job(design, workers, scratch)
        ray.init(address="local", num_cpus=max(workers, machine.cpus()), log_to_driver=False)
        marks.add("cluster")
        try:
            tune.Tuner(
                tune.with_resources(tune.with_parameters(drive_plain, job=job), HEAD_RESOURCES),
                param_space={"setting": tune.grid_search(list(map(str, iter(SettingSearch(design).next, None))))},
                tune_config=tune.TuneConfig(max_concurrent_trials=1),
                run_config=tune.RunConfig(storage_path=scratch, verbose=0),
            ).fit()
        finally:
            ray.shutdown()
