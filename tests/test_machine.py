"""What of the machine the process may use, on machines that do not exist."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from fake_machine import PHYSICAL_GIB, UNLIMITED, fake_machine

from randwire import machine

GIB = 1 << 30
V1 = {"/sys/fs/cgroup/cpu,cpuacct": ("/", "cpu,cpuacct"), "/sys/fs/cgroup/memory": ("/", "memory")}
V2 = {"/sys/fs/cgroup": ("/", "cgroup2")}


@pytest.fixture(autouse=True)
def many_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """The affinity allows 64."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))


def v1_files(group: str, quota: int, memory: int) -> dict[str, object]:
    return {
        f"/sys/fs/cgroup/cpu,cpuacct{group}/cpu.cfs_quota_us": quota,
        f"/sys/fs/cgroup/cpu,cpuacct{group}/cpu.cfs_period_us": 100_000,
        f"/sys/fs/cgroup/memory{group}/memory.limit_in_bytes": memory,
    }


@pytest.mark.parametrize(("maximum", "expected"), [
    ("max 100000", 64), ("400000 100000", 4), ("150000 100000", 1), ("50000 100000", 1), ("250000 50000", 5),
    ("6400000 100000", 64), ("12800000 100000", 64), ("", 64), ("garbage", 64),
])  # fmt: skip
def test_a_quota_of_version_2_is_rounded_down_and_at_least_one(tmp_path: Path, maximum: str, expected: int) -> None:
    root = fake_machine(tmp_path, "0::/job", V2, {"/sys/fs/cgroup/job/cpu.max": maximum})
    assert machine.cpus(root, {}) == expected


def test_the_group_with_the_least_limits_whether_it_is_outside_or_inside(tmp_path: Path) -> None:
    files = {
        "/sys/fs/cgroup/user/cpu.max": "300000 100000", "/sys/fs/cgroup/user/job/cpu.max": "max 100000",
        "/sys/fs/cgroup/user/job/step/cpu.max": "700000 100000", "/sys/fs/cgroup/user/memory.max": "max",
        "/sys/fs/cgroup/user/job/memory.max": 8 * GIB, "/sys/fs/cgroup/user/job/step/memory.max": 9 * GIB,
        "/sys/fs/cgroup/other/cpu.max": "100000 100000",
    }  # fmt: skip
    root = fake_machine(tmp_path, "0::/user/job/step", V2, files)
    assert machine.cpus(root, {}) == 3
    assert machine.memory(root, {}) == 8 * GIB


def test_version_1_has_files_of_its_own_and_no_limit_is_none(tmp_path: Path) -> None:
    groups = "7:memory:/slurm/job\n4:cpu,cpuacct:/slurm/job\n3:cpuset:/other\n1:name=systemd:/"
    root = fake_machine(tmp_path, groups, V1, v1_files("/slurm/job", 250_000, 4 * GIB) | v1_files("", -1, UNLIMITED))
    assert machine.cpus(root, {}) == 2
    assert machine.memory(root, {}) == 4 * GIB
    root = fake_machine(tmp_path, groups, V1, v1_files("/slurm/job", -1, UNLIMITED))
    assert machine.cpus(root, {}) == 64
    assert machine.memory(root, {}) == PHYSICAL_GIB * GIB


@pytest.mark.parametrize(("path", "top"), [
    ("/", "/"),  # a namespace of its own
    ("/docker/abc", "/docker/abc"),  # the host's name for what is mounted
    ("/../../other", "/"),  # entered from outside
    ("/docker/abc", "/docker/abc/init"),  # only a part is mounted
])  # fmt: skip
def test_in_a_container_what_is_mounted_is_its_own_group(tmp_path: Path, path: str, top: str) -> None:
    files = {"/sys/fs/cgroup/cpu.max": "200000 100000", "/sys/fs/cgroup/memory.max": 3 * GIB}
    root = fake_machine(tmp_path, f"0::{path}", {"/sys/fs/cgroup": (top, "cgroup2")}, files)
    assert machine.cpus(root, {}) == 2
    assert machine.memory(root, {}) == 3 * GIB


def test_both_versions_may_be_mounted_at_once(tmp_path: Path) -> None:
    mounts = {**V1, "/sys/fs/cgroup/my\\040unified": ("/", "cgroup2")}
    files = v1_files("/a", 300_000, 5 * GIB) | {"/sys/fs/cgroup/my unified/b/cpu.max": "200000 100000"}
    root = fake_machine(tmp_path, "9:cpu,cpuacct:/a\n8:memory:/a\n0::/b", mounts, files)
    assert machine.cpus(root, {}) == 2
    assert machine.memory(root, {}) == 5 * GIB


def test_without_control_groups_there_are_affinity_and_physical_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 5, 7})
    assert machine.cpus(tmp_path, {}) == 3
    assert machine.memory(tmp_path, {}) == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    monkeypatch.setattr(os, "cpu_count", lambda: 10)
    assert machine.cpus(tmp_path, {}) == 10


STEP = {"SLURM_STEP_ID": "0"}


@pytest.mark.parametrize(("environment", "expected"), [
    ({"SLURM_CPUS_PER_TASK": "8"}, 8),
    ({"SLURM_CPUS_ON_NODE": "16"}, 16),
    # A batch script has what all tasks on its machine have together.
    ({"SLURM_CPUS_PER_TASK": "8", "SLURM_TASKS_PER_NODE": "4(x2)", "SLURM_CPUS_ON_NODE": "32"}, 32),
    ({"SLURM_CPUS_PER_TASK": "8", "SLURM_TASKS_PER_NODE": "1", "SLURM_CPUS_ON_NODE": "48"}, 8),
    ({"SLURM_CPUS_PER_TASK": "8", "SLURM_TASKS_PER_NODE": "4,1", "SLURM_NODEID": "1"}, 8),
    # A task has its own.
    ({**STEP, "SLURM_CPUS_PER_TASK": "8", "SLURM_STEP_TASKS_PER_NODE": "4", "SLURM_CPUS_ON_NODE": "32"}, 8),
    ({**STEP, "SLURM_STEP_TASKS_PER_NODE": "4(x2)", "SLURM_CPUS_ON_NODE": "32"}, 8),
    ({**STEP, "SLURM_STEP_TASKS_PER_NODE": "2,5", "SLURM_NODEID": "1", "SLURM_CPUS_ON_NODE": "20"}, 4),
    # What `srun` before 22.05 hands on, and later versions do not give.
    ({**STEP, "SLURM_CPUS_PER_TASK": "8", "SLURM_STEP_TASKS_PER_NODE": "1", "SLURM_CPUS_ON_NODE": "1"}, 1),
    ({"SLURM_CPUS_PER_TASK": "many", "SLURM_CPUS_ON_NODE": "0", "SLURM_TASKS_PER_NODE": "?"}, 64),
    ({"SLURM_CPUS_PER_TASK": "128"}, 64),
])  # fmt: skip
def test_slurm_says_what_a_job_has_on_this_machine(
    tmp_path: Path, environment: Mapping[str, str], expected: int
) -> None:
    assert machine.cpus(tmp_path, environment) == expected


@pytest.mark.parametrize(("environment", "gib"), [
    ({"SLURM_MEM_PER_NODE": "4096"}, 4),
    ({"SLURM_MEM_PER_NODE": "16G"}, 16),
    ({"SLURM_MEM_PER_NODE": "0"}, PHYSICAL_GIB),
    ({"SLURM_MEM_PER_CPU": "2048", "SLURM_CPUS_ON_NODE": "8"}, 16),
    ({"SLURM_MEM_PER_CPU": "2048"}, PHYSICAL_GIB),
    ({"SLURM_MEM_PER_NODE": "all of it"}, PHYSICAL_GIB),
])  # fmt: skip
def test_slurm_says_how_much_memory_a_job_has(tmp_path: Path, environment: Mapping[str, str], gib: int) -> None:
    assert machine.memory(fake_machine(tmp_path, "", {}), environment) == gib * GIB


def test_ranks_of_torchrun_share_what_there_is(tmp_path: Path) -> None:
    torchrun = {"TORCHELASTIC_RUN_ID": "none", "LOCAL_WORLD_SIZE": "4"}
    assert machine.cpus_per_rank(tmp_path, torchrun) == 16
    assert machine.cpus_per_rank(tmp_path, {**torchrun, "SLURM_CPUS_PER_TASK": "8"}) == 2
    assert machine.cpus_per_rank(tmp_path, {**torchrun, "SLURM_CPUS_PER_TASK": "2"}) == 1
    assert machine.cpus_per_rank(tmp_path, {"LOCAL_WORLD_SIZE": "4"}) == 64  # left over by another program
