"""What ranks of a sweep get of its machines, and how many settings train at a time, on resources that are made up."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import psutil
import pytest
import ray
import yaml
from commands import ROOT
from ray._private import services
from study_helpers import design

from randwire.config import Device
from randwire.errors import ConfigError
from randwire.gpu_share import ranks_of_gpu, units
from randwire.sweep import Cluster, autoscaler, connection
from randwire.sweep.places import Machine, Machines, Places, check, places

THERE = "10.0.0.1:6379"


def placed(cluster: Cluster, *here: Machine, grown: tuple[Machine, ...] = (), device: Device = "auto") -> Places:
    return places(cluster, device, 64, Machines(here, grown))


def numbers(each: Places) -> tuple[int, int, float, int]:
    return each.workers, each.cpus_per_worker, each.gpus_per_worker, each.settings


@pytest.mark.parametrize(
    ("machine", "given", "expected"),
    [
        (Machine(12, 1), {}, (1, 12, 1, 1)),  # one GPU: one rank, which has the machine
        (Machine(48, 4), {}, (2, 12, 1, 2)),
        (Machine(48, 4), {"workers": 4}, (4, 12, 1, 1)),
        (Machine(48, 4), {"workers": 1}, (1, 12, 1, 4)),
        (Machine(48, 4), {"cpus_per_worker": 5}, (2, 5, 1, 2)),
        (Machine(48, 4), {"cpus_per_worker": 20}, (2, 20, 1, 1)),  # given: the CPUs are what is scarce
        (Machine(2, 4), {}, (2, 1, 1, 1)),  # a CPU for each rank is the least
        (Machine(48, 4), {"gpus_per_worker": 0.25}, (1, 3, 0.25, 16)),
        (Machine(48, 4), {"gpus_per_worker": 0.4}, (1, 6, 0.4, 8)),  # two on each GPU, not ten on four
        (Machine(48, 4), {"gpus_per_worker": 1}, (2, 12, 1, 2)),
        (Machine(6, 4), {"gpus_per_worker": 0.25}, (1, 1, 0.25, 6)),
        (Machine(8, 1), {"gpus_per_worker": 0.5, "cpus_per_worker": 3}, (1, 3, 0.5, 2)),
        (Machine(48, 4), {"concurrent": 1}, (2, 12, 1, 1)),
        (Machine(8, 0), {}, (2, 1, 0, 4)),
        (Machine(1, 0), {}, (1, 1, 0, 1)),
        (Machine(8, 0), {"workers": 1, "cpus_per_worker": 3}, (1, 3, 0, 2)),
    ],
)
def test_ranks_and_settings_follow_the_machine(
    machine: Machine, given: dict[str, Any], expected: tuple[int, int, float, int]
) -> None:
    assert numbers(placed(Cluster(**given), machine)) == expected


def test_a_rank_fits_one_machine_and_the_one_with_the_fewest_cpus_for_a_gpu_decides() -> None:
    head, large, small = Machine(64, 0), Machine(48, 4), Machine(16, 2)
    assert numbers(placed(Cluster(THERE), head, large, small)) == (2, 8, 1, 3)
    assert numbers(placed(Cluster(THERE, workers=1), head, large, small)) == (1, 8, 1, 6)
    assert placed(Cluster(THERE, workers=1, cpus_per_worker=2), Machine(3, 0), Machine(3, 0)).settings == 2
    # Each of two machines holds one rank: a trial is told to be on both, or is on one.
    assert numbers(placed(Cluster(THERE), Machine(8, 1), Machine(8, 1))) == (1, 8, 1, 2)
    assert numbers(placed(Cluster(THERE, workers=2), Machine(8, 1), Machine(8, 1))) == (2, 8, 1, 1)
    # Ranks on CPUs take one, whatever GPUs there are.
    assert numbers(placed(Cluster(THERE), large, device="cpu")) == (2, 1, 0, 24)


def test_where_two_ranks_do_not_divide_the_batch_there_is_one() -> None:
    each = places(Cluster(), "auto", 63, Machines([Machine(8, 2)]))
    assert (each.workers, each.cpus_per_worker, each.settings) == (1, 4, 2)
    assert each.note == "1 rank a trial: train.batch_size is 63; --workers decides otherwise"


def test_what_nobody_expects_is_told() -> None:
    assert placed(Cluster(), Machine(48, 4)).note == ""
    assert placed(Cluster(workers=1), Machine(12, 1)).note == ""
    one = "1 rank a trial: this machine has room for 1; --workers decides otherwise"
    assert placed(Cluster(), Machine(12, 1)).note == one
    assert placed(Cluster(workers=1, cpus_per_worker=20), Machine(48, 4)).note == (
        "there are GPUs for 4 ranks, and CPUs for 2"
    )


def test_a_few_settings_share_a_gpu_of_this_machine_among_them() -> None:
    def shares(address: str | None) -> list[float]:
        cluster = Cluster(address, gpus_per_worker=0.25)
        machines = Machines([Machine(48, 2)])
        return [places(cluster, "auto", 64, machines, left=left).gpu_share for left in (1, 2, 4, 5, 9)]

    assert shares(None) == [1, 0.5, 0.25, 0.25, 0.25]
    assert shares(THERE) == [0.25] * 5  # another sweep may take the rest
    assert placed(Cluster(gpus_per_worker=0.25, concurrent=2), Machine(48, 2)).gpu_share == 0.5
    # What Ray is asked for stays what was given.
    assert places(Cluster(gpus_per_worker=0.25), "auto", 64, Machines([Machine(48, 2)]), left=1).gpus_per_worker == 0.25


def test_gpus_that_idle_since_ray_fills_one_after_the_other_are_told() -> None:
    def note(part: float, left: int, *here: Machine) -> str:
        return places(Cluster(gpus_per_worker=part), "auto", 64, Machines(here), left=left).note

    idle = "leave GPUs idle: there are parts for 16, and one GPU is filled after the other; raise --gpus-per-worker"
    assert note(0.25, 4, Machine(48, 4)) == f"4 settings at a time {idle}"
    assert note(0.25, 12, Machine(48, 4)) == f"12 settings at a time {idle}"
    assert note(0.25, 13, Machine(48, 4)) == note(0.25, 1, Machine(48, 1)) == note(1, 1, Machine(48, 4)) == ""
    scarce = "there are GPUs for 16 ranks, and CPUs for 6"
    assert note(0.25, 99, Machine(6, 4)) == f"{scarce}; 6 settings at a time {idle}"
    assert note(0.5, 1, Machine(8, 1), Machine(8, 1)).startswith(
        "1 setting at a time leaves GPUs idle: there are parts for 4"
    )


def test_machines_that_an_autoscaler_would_add_count_by_their_type() -> None:
    head, types = Machine(0, 0), (Machine(48, 4, 2),)
    assert numbers(placed(Cluster(THERE), head, grown=types, device="cuda")) == (2, 12, 1, 4)
    assert numbers(placed(Cluster(THERE, concurrent=9), head, grown=types)) == (2, 12, 1, 9)
    # Nothing is known of what will come.
    unknown = placed(Cluster(THERE, concurrent=3), head, device="cuda")
    assert numbers(unknown) == (2, 1, 1, 3)
    assert unknown.note.startswith("1 CPU a rank: no machine with a GPU is known yet")
    with pytest.raises(ConfigError, match="the cluster has no GPU"):
        placed(Cluster(THERE), head, device="cuda")


def test_the_share_of_a_gpu_is_never_more_than_there_is() -> None:
    """Ray rounds to ten-thousandths: seven times 0.1429 would be more than a GPU."""
    assert [ranks_of_gpu(part) for part in (1, 0.5, 0.4, 1 / 3, 0.3333, 0.25, 1 / 7, 0.1429, 0.1)] == [
        1, 2, 2, 3, 3, 4, 7, 6, 10
    ]  # fmt: skip
    third = placed(Cluster(gpus_per_worker=0.3), Machine(48, 4))
    assert (third.gpus_per_worker, third.gpu_share, third.settings) == (0.3, 1 / 3, 12)
    assert placed(Cluster(), Machine(48, 4)).gpu_share == 1
    assert placed(Cluster(), Machine(48, 0)).gpu_share == 1
    for part in (0, -0.25, 1.5, 2, 0.00001, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="part of a GPU"):
            units(part)


@pytest.mark.parametrize(
    ("cluster", "device", "told"),
    [
        (Cluster(workers=2, gpus_per_worker=0.5), "auto", "0.5 is for trials of one rank, and --workers is 2"),
        (Cluster(gpus_per_worker=2), "auto", "must be 1, or a part of a GPU such as 0.25"),
        (Cluster(gpus_per_worker=0.5), "cpu", "runtime.device is cpu, so ranks train on CPUs"),
        (Cluster(workers=5), "auto", "train.batch_size: 64 is not divisible by 5 ranks"),
    ],
)
def test_what_no_machine_could_change_is_refused(cluster: Cluster, device: Device, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        check(cluster, device, 64)


def test_a_part_of_a_gpu_where_none_is_is_refused() -> None:
    with pytest.raises(ConfigError, match="--gpus-per-worker: the cluster has no GPU, so ranks train on CPUs"):
        placed(Cluster(THERE, gpus_per_worker=0.5), Machine(8, 0))


class _Process:
    """A process with a command line, as psutil shows it."""

    def __init__(self, *words: str) -> None:
        self.info = {"cmdline": list(words)}


@pytest.fixture
def monitors(monkeypatch: pytest.MonkeyPatch) -> list[_Process]:
    processes: list[_Process] = [_Process(), _Process("python", "other.py")]
    monkeypatch.setattr(psutil, "process_iter", lambda names: iter(processes))
    return processes


def monitor(file: Path, v2: bool = True) -> _Process:
    """The process that Ray starts on the head of a cluster for its autoscaler."""
    started: list[list[str]] = []
    with mock.patch.object(services, "start_ray_process", lambda command, *_, **options: started.append(command)):
        services.start_monitor(THERE, "/logs", autoscaling_config=str(file), autoscaler_v2=v2)
    return _Process(*started[0])


@pytest.mark.parametrize("v2", [True, False])
def test_the_machines_of_the_cluster_file_are_known_before_one_has_started(monitors: list[_Process], v2: bool) -> None:
    monitors.append(monitor(ROOT / "cluster.yaml", v2))
    assert autoscaler.grown(THERE) == [Machine(0, 0), Machine(48, 4, 2)]  # two machines, of whatever type
    assert autoscaler.grown("10.0.0.2:6379") == []


def test_what_fits_a_cluster_counts_what_is_alive_and_what_may_come(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of Ray's own word on the types of machines, else of the file of the head."""
    groups: list[tuple[dict[str, float], int]] = []
    nodes = [
        {"Alive": True, "Resources": {"CPU": 2.0, "memory": 1e9}},
        {"Alive": False, "Resources": {"CPU": 8.0, "GPU": 8.0}},
    ]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(gcs_address=THERE))
    monkeypatch.setattr(connection, "node_groups", lambda: groups)
    monkeypatch.setattr(autoscaler, "grown", lambda address: [Machine(48, 4, 2)] if address == THERE else [])
    study = design(tmp_path)
    assert numbers(connection.capacity(study, Cluster(THERE))) == (2, 12, 1, 4)
    groups.append(({"CPU": 16.0, "GPU": 2.0}, 3))
    assert numbers(connection.capacity(study, Cluster(THERE))) == (2, 8, 1, 3)
    nodes.append({"Alive": True, "Resources": {"CPU": 64.0, "GPU": 8.0}})
    assert numbers(connection.capacity(study, Cluster(THERE, gpus_per_worker=0.5), left=1)) == (1, 4, 0.5, 16)


def test_types_are_bounded_each_and_together(monitors: list[_Process], tmp_path: Path) -> None:
    types = {
        "head": {"resources": {"CPU": 8}},
        "large": {"resources": {"CPU": 96, "GPU": 8}, "max_workers": 1},
        "small": {"resources": {"CPU": 8, "GPU": 1}},
        "unknown": {"max_workers": 3},
    }
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump({"max_workers": 5, "head_node_type": "head", "available_node_types": types}))
    monitors.append(monitor(file))
    assert autoscaler.grown(THERE) == [Machine(8, 0), Machine(96, 8), Machine(8, 1, 4)]
    for text in ("{", "[]", ""):
        file.write_text(text)
        assert autoscaler.grown(THERE) == []
    file.unlink()
    assert autoscaler.grown(THERE) == []
