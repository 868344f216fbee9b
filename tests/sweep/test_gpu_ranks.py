"""Ranks of a sweep on GPUs: their group, threads, CPUs and memory, with stand-ins for CUDA and Ray's resources."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import torch
from ray.train.torch import TorchConfig
from study_helpers import design
from torch import distributed

from randwire import machine
from randwire.study.design import Design
from randwire.study.setting import Setting
from randwire.sweep import share, tuning, worker, worker_group
from randwire.sweep.cluster import Cluster
from randwire.sweep.group import Backend, RanksConfig
from randwire.sweep.job import Job
from randwire.sweep.places import Places
from randwire.sweep.ray_internals import TorchBackend
from randwire.sweep.steering import Start
from randwire.sweep.watchdog import Watchdog
from randwire.sweep.worker import CONTEXT, RayWorker, memory_fraction
from randwire.sweep.worker_group import WorkerGroup
from randwire.training import gpus
from randwire.training.worker import ProcessWorker

GIB = 1 << 30


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The parts of a GPU's memory that were taken, of 24 GiB; and as many threads as Ray would give."""
    parts: list[float] = []
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=24 * GIB))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda part, device: parts.append(part))
    monkeypatch.setattr(torch, "set_num_threads", lambda number: parts.append(-number))
    return parts


def rank(monkeypatch: pytest.MonkeyPatch, device: str, cpus: float, gpu_share: float = 1.0) -> RayWorker:
    context = SimpleNamespace(get_world_rank=lambda: 0, get_world_size=lambda: 1)
    monkeypatch.setattr(ray.train, "get_context", lambda: context)
    resources = SimpleNamespace(get_assigned_resources=lambda: {"CPU": cpus})
    monkeypatch.setattr(ray, "get_runtime_context", lambda: resources)
    monkeypatch.setattr(worker, "get_device", lambda: torch.device(device))
    return RayWorker("digest", False, Watchdog.__new__(Watchdog), None, gpu_share)


def test_of_a_rank_on_a_gpu_one_cpu_launches_and_the_others_load(
    monkeypatch: pytest.MonkeyPatch, taken: list[float]
) -> None:
    assert [rank(monkeypatch, "cuda:0", cpus).cpus for cpus in (12, 2, 1)] == [11, 1, 1]
    assert taken == [-1] * 3  # threads of PyTorch, and no bound on memory
    assert [rank(monkeypatch, "cpu", cpus).cpus for cpus in (3, 1)] == [3, 1]
    assert rank(monkeypatch, "cpu", 3, 0.25).gpu_share == 1  # PyTorch cannot use the GPU
    assert taken == [-1] * 3


def test_the_same_holds_for_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cpus_per_rank", lambda: 8)
    assert [ProcessWorker(torch.device(device)).cpus for device in ("cuda", "cpu")] == [7, 8]


def test_a_rank_takes_its_share_of_the_memory_of_a_gpu(monkeypatch: pytest.MonkeyPatch, taken: list[float]) -> None:
    assert rank(monkeypatch, "cuda:0", 3, 0.25).gpu_share == 0.25
    assert taken[1:] == [0.25 - 0.5 / 24]
    assert 4 * (taken[1] * 24 * GIB + CONTEXT) <= 24 * GIB
    assert memory_fraction(1 / 40, 16 * GIB) == 1 / 80  # too little for anything: an error of memory tells


class _Group:
    """Workers of a Ray Train run whose PyTorch can use the GPU, or not."""

    def __init__(self, *usable: bool) -> None:
        self.usable = list(usable)

    def execute(self, function: Any) -> list[bool]:
        assert function is gpus.usable
        return self.usable


@pytest.mark.parametrize(
    ("asked", "usable", "taken"),
    [
        ("nccl", (True, True), "nccl"),
        ("nccl", (True, False), "gloo"),
        ("nccl", (False, False), "gloo"),
        ("gloo", (True, True), "gloo"),
    ],
)
def test_all_ranks_of_a_group_are_on_gpus_or_none(
    asked: str, usable: tuple[bool, ...], taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[TorchConfig] = []
    monkeypatch.setattr(TorchBackend, "on_start", lambda self, group, config: started.append(config))
    config = RanksConfig(backend=asked, timeout_s=7)
    assert config.backend_cls is Backend
    Backend().on_start(_Group(*usable), config)
    assert [(one.backend, one.timeout_s) for one in started] == [(taken, 7)]
    assert config.backend == asked


@pytest.mark.parametrize(("backend", "device"), [("gloo", "cpu"), ("nccl", "cuda:1")])
def test_a_rank_is_on_the_kind_of_device_of_its_group(
    backend: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_backend", lambda: backend)
    monkeypatch.setattr(worker, "get_device", lambda: torch.device("cuda:1"))
    assert worker.device_of_rank() == torch.device(device)


@pytest.fixture
def study(tmp_path: Any) -> Design:
    return design(tmp_path)


def test_ray_is_told_what_a_rank_takes(study: Design) -> None:
    assert Job(study, 1, "", cpus_per_worker=3, gpus_per_worker=0.25).resources == {"CPU": 3, "GPU": 0.25}
    assert Job(study, 2, "", cpus_per_worker=12, gpus_per_worker=1.0).resources == {"CPU": 12, "GPU": 1}
    on_cpus = Job(study, 2, "", cpus_per_worker=2)
    assert (on_cpus.resources, on_cpus.gpu) == ({"CPU": 2}, False)


def test_ray_train_is_told_it_too(study: Design, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {}

    def trainer(function: object, **options: Any) -> object:
        told.update(options)
        return SimpleNamespace(fit=lambda: None)

    actor = SimpleNamespace(remote=lambda: None)
    monkeypatch.setattr(worker_group, "TorchTrainer", trainer)
    monkeypatch.setattr(ray, "remote", lambda actor_class: SimpleNamespace(options=lambda **_: actor))
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: "0" * 56))
    WorkerGroup(lambda config: None, Job(study, 1, str(tmp_path), cpus_per_worker=12, gpus_per_worker=0.25))
    scaling = told["scaling_config"]
    assert (scaling.num_workers, scaling.use_gpu) == (1, True)
    assert scaling._resources_per_worker_not_none == {"CPU": 12, "GPU": 0.25}
    assert told["torch_config"].backend_cls is Backend


def test_the_share_of_a_job_is_that_of_its_ranks(study: Design, monkeypatch: pytest.MonkeyPatch) -> None:
    class MadeError(Exception):
        pass

    def made(*given: object) -> None:
        raise MadeError(given[-1])

    monkeypatch.setattr(ray.train, "get_context", lambda: SimpleNamespace(get_world_rank=lambda: 0))
    monkeypatch.setattr(worker, "RayWorker", made)
    monkeypatch.setattr(worker, "_tell_of_gpu", lambda *_: None)
    job = Job(study, 1, "", gpus_per_worker=0.4, gpu_share=0.5)
    with pytest.raises(MadeError, match=r"^0\.5$"):
        worker.train_setting(Setting("er:p=0.2"), job, None)


def test_a_sweep_gives_its_jobs_what_fits(
    study: Design, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[object] = []

    def capacity(design: Design, cluster: Cluster, left: int) -> Places:
        seen.append(left)
        return Places(True, 1, 3, 0.25, 0.5, 4, "a note")

    def run(design: Design, job: Job, concurrent: int, remaining: int, callback: object) -> None:
        seen.append((job.workers, job.cpus_per_worker, job.gpus_per_worker, job.gpu_share, concurrent, remaining))

    for name, stand_in in (("capacity", capacity), ("_run_tune", run), ("local_options", lambda *_: {})):
        monkeypatch.setattr(tuning, name, stand_in)
    for name in ("connected", "watched"):
        monkeypatch.setattr(tuning, name, lambda *_: nullcontext())
    anything: Any = None
    parts: Any = [(study, [None] * 6), (study, [None])]  # rounds of a race, say
    tuning.train(study, Cluster(gpus_per_worker=0.25), Start(None, tmp_path, {}), parts, anything, anything, ())
    assert seen == [6, (1, 3, 0.25, 0.5, 4, 6), 1, (1, 3, 0.25, 0.5, 4, 1)]
    assert capsys.readouterr().err.count("a note") == 1


@pytest.fixture
def computer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """One with so many GPUs, of which PyTorch can use all or none."""

    def has(gpus: int, usable: bool, cpus: int, gib: int = 64) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: usable)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(machine, "cpus", lambda: cpus)
        monkeypatch.setattr(machine, "memory", lambda: gib * GIB)

    return has


def test_ray_counts_the_gpus_that_pytorch_can_use(computer: Any, study: Design) -> None:
    computer(gpus=4, usable=True, cpus=48)
    assert share.local_options(Cluster(), study)["num_gpus"] == 4
    assert share.start_options()[:2] == ["--num-cpus=48", "--num-gpus=4"]
    computer(gpus=4, usable=False, cpus=48)  # what the driver counts, and PyTorch cannot use
    assert share.local_options(Cluster(), study)["num_gpus"] == 0
    assert share.start_options()[1] == "--num-gpus=0"


def test_memory_bounds_settings_on_gpus_and_not_their_cpus(
    computer: Any, study: Design, capsys: pytest.CaptureFixture[str]
) -> None:
    computer(gpus=4, usable=True, cpus=48, gib=5)
    mine = share.share(Cluster(gpus_per_worker=0.25), study)
    assert (mine.cpus, mine.settings) == (48, 2)
    assert share.local_options(Cluster(gpus_per_worker=0.25), study)["num_cpus"] == 48
    assert "2 at a time, though CPUs and GPUs are there for more" in capsys.readouterr().err
    assert share.share(Cluster(workers=1), study).settings == 2
    assert share.share(Cluster(workers=1, concurrent=4), study).settings is None
