"""Limits of the machine: what containers, schedulers and `taskset` give is what a study takes."""

import os
from pathlib import Path
from typing import NoReturn

import commands
import pytest
import torch
from fake_machine import fake_machine
from trained_helpers import settings

from randwire import machine
from randwire.config import load
from randwire.data import Batching, Loader, prepare
from randwire.data.convert import command
from randwire.environment import environment
from randwire.study.design import Design
from randwire.sweep import Cluster
from randwire.sweep.share import local_options, share
from randwire.training.worker import ProcessWorker, pick_device

GIB = 1 << 30
DIGITS = Design(load("digits", {"runtime.device": "cpu"}))
DOCKER = {"/sys/fs/cgroup": ("/", "cgroup2")}
"""A container with a namespace of its own."""


def container(tmp_path: Path, patch: pytest.MonkeyPatch, cpus: float, gib: float) -> None:
    """As `docker run --cpus CPUS --memory GIBg` on a machine of 64 CPUs."""
    files = {"/sys/fs/cgroup/cpu.max": f"{cpus * 100_000:.0f} 100000", "/sys/fs/cgroup/memory.max": int(gib * GIB)}
    patch.setattr(machine, "ROOT", fake_machine(tmp_path / "root", "0::/", DOCKER, files))
    patch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    patch.setattr(os, "cpu_count", lambda: 64)


@pytest.mark.condition("E", "a sweep in a container of 4 CPUs on a machine of 64", "as many settings as 4 CPUs train")
def test_a_sweep_counts_the_cpus_of_its_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    container(tmp_path, monkeypatch, cpus=4.5, gib=64)
    assert share(Cluster(workers=1), DIGITS).cpus == 4
    assert share(Cluster(workers=2), DIGITS).cpus == 4
    assert share(Cluster(workers=3, cpus_per_worker=2), DIGITS).cpus == 6  # of one setting, or nothing would train


@pytest.mark.condition("E", "a sweep in a job of SLURM that binds nothing", "the CPUs and memory of the job")
def test_a_sweep_counts_the_cpus_of_its_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    container(tmp_path, monkeypatch, cpus=64, gib=64)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "16G")
    assert share(Cluster(workers=1), DIGITS)[:3] == (3, 16 * GIB, 2 * GIB)


@pytest.mark.condition("E", "a sweep in a container of 64 CPUs and 4 GiB", "fewer settings at a time, in one line")
def test_memory_bounds_the_settings_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    container(tmp_path, monkeypatch, cpus=64, gib=4)
    options = local_options(Cluster(workers=1), DIGITS)
    assert options["num_cpus"] == 2
    assert options["_memory"] + options["object_store_memory"] == 4 * GIB
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("memory of 4.0 GiB: 2 at a time")
    assert "--concurrent" in line
    assert local_options(Cluster(workers=1, concurrent=8), DIGITS)["num_cpus"] == 64
    container(tmp_path, monkeypatch, cpus=2, gib=0.5)
    assert local_options(Cluster(workers=2), DIGITS)["num_cpus"] == 2
    assert capsys.readouterr().err == ""


@pytest.mark.condition("E", "train.py in a container of 3 CPUs on a machine of 64", "three threads compute, three load")
def test_a_training_takes_the_threads_of_its_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    container(tmp_path, monkeypatch, cpus=3, gib=64)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(8)
        assert ProcessWorker(pick_device("cpu")).cpus == 3
        assert torch.get_num_threads() == 3
        monkeypatch.setenv("OMP_NUM_THREADS", "8")  # who asks for it gets it
        torch.set_num_threads(8)
        pick_device("cpu")
        assert torch.get_num_threads() == 8
    finally:
        torch.set_num_threads(before)


@pytest.mark.condition("E", "loader and conversion in a container of 3 CPUs", "as many threads and processes")
def test_the_loader_and_the_conversion_take_the_cpus_of_their_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(tmp_path).data
    dataset = prepare(config)
    container(tmp_path, monkeypatch, cpus=3, gib=64)
    loader = Loader(dataset, "val", config, Batching(batch_size=8, threads=0))
    try:
        assert loader._threads == 3
    finally:
        loader.close()
    asked: list[object] = []

    def convert(*arguments: object, **options: object) -> NoReturn:
        asked.extend(arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "convert", convert)
    assert command.main(["digits", str(tmp_path / "output")]) == 130
    assert asked[-1] == 3


@pytest.mark.condition("E", "the record of a training in a container of 3 CPUs", "environment.json has 3 cores")
def test_a_record_tells_the_cpus_that_could_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    container(tmp_path, monkeypatch, cpus=3, gib=64)
    assert environment(ProcessWorker(torch.device("cpu")), "")["hardware"]["cores"] == 3


CAPACITY = """
from randwire.study import Design
from randwire.sweep import Cluster
from randwire.sweep.steering import steered
design = Design.load("digits", {"runtime.output": OUTPUT}, name="one")
alone, two = Cluster(workers=1), Cluster(workers=1, concurrent=2)
with steered(alone) as start:
    from randwire.sweep.connection import capacity, connected
    from randwire.sweep.share import local_options
    with connected(start, alone, (), local_options(alone, design)):
        print([(each.gpu, each.settings) for each in (capacity(design, alone), capacity(design, two))])
"""


AFFINITY = """
import os
from randwire.study import Design
from randwire.sweep import Cluster
from randwire.sweep.share import share
digits = Design.load("digits", {}, name="one")
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
print([share(Cluster(workers=workers), digits).cpus // workers for workers in (1, 2)])
"""


@pytest.mark.condition("E", "taskset -c 0: a sweep on one CPU", "one setting at a time, whatever a setting takes")
def test_a_sweep_counts_the_cpus_of_its_affinity() -> None:
    done = commands.run("-c", AFFINITY)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[1, 1]\n"


@pytest.mark.cluster
@pytest.mark.condition("E", "a sweep on one CPU of several with --concurrent 2", "one setting at a time, none waits")
def test_one_cpu_trains_one_setting_at_a_time(tmp_path: Path) -> None:
    # Ray itself starts on all CPUs: on one that others use too, it may give itself up.
    done = commands.run("-c", f"OUTPUT = {str(tmp_path)!r}\n{CAPACITY}", environment={"SLURM_CPUS_PER_TASK": "1"})
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[(False, 1), (False, 1)]\n"
