"""What of this machine the process may use: CPUs and memory, by affinity, control groups (v1 and v2) and SLURM.

`os.cpu_count()` and the size of the memory are those of the whole computer, of which containers and schedulers give a
part. Nothing here needs PyTorch or Ray. `root` is where /proc and /sys are (`ROOT`), `environment` has SLURM's
variables: both are for tests.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

ROOT = Path("/")
_BYTES = {"": 20, "K": 10, "M": 20, "G": 30, "T": 40}
"""Powers of two of SLURM's units; without one it is megabytes."""


def cpus(root: Path | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """CPUs that this process may use, at least 1: the least of affinity, quota of its control groups, and SLURM.

    A quota of 1.5 CPUs is one: a second thread would be stopped for half of its time, and those that wait for it too.
    """
    limits: list[float] = [usable(), *_quotas(root or ROOT), *_of_slurm(environment)]
    return max(1, int(min(limits)))


def cpus_per_rank(root: Path | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """CPUs of one process of `torchrun`, which share those of the machine, at least 1; without it all of them."""
    ranks = _number(environment, "LOCAL_WORLD_SIZE") if "TORCHELASTIC_RUN_ID" in environment else 1
    return max(1, cpus(root, environment) // int(ranks or 1))


def memory(root: Path | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """Bytes of memory for this process and all others of its container or job: the least of what limits them."""
    root = root or ROOT
    return min([_physical(root), *_memory_limits(root), *_memory_of_slurm(environment)])


def usable() -> int:
    """CPUs by affinity alone (`taskset`, cpusets), which is what OpenMP knows."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Group(NamedTuple):
    """A control group that this process is in, itself or by one of its children."""

    folder: Path
    version: int


def _groups(root: Path, controller: str) -> Iterator[_Group]:
    """The groups of a controller, from the innermost up to the outermost that can be seen: each of them limits.

    In a container what is mounted may begin somewhere within the hierarchy, or a path lead out of it ("/../other").
    """
    for line in _lines(root / "proc/self/cgroup"):
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        version = 2 if number == "0" and not names else 1
        if version == 1 and controller not in names.split(","):
            continue
        for top, mounted in _mounts(root, version, controller):
            inside = PurePosixPath(path)
            relative = inside.relative_to(top) if inside.is_relative_to(top) else PurePosixPath()
            folder = mounted / ("." if ".." in relative.parts else relative)
            for each in (folder, *folder.parents):
                yield _Group(each, version)
                if each == mounted:
                    break


def _mounts(root: Path, version: int, controller: str) -> Iterator[tuple[str, Path]]:
    """Mounted hierarchies: which group is their top, and where they are."""
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        fields, (kind, _, *options) = before.split(), [*after.split(), "", ""][:3]
        right = kind == "cgroup2" if version == 2 else kind == "cgroup" and controller in ",".join(options).split(",")
        if right and len(fields) > 4:
            yield _plain(fields[3]), root / _plain(fields[4]).lstrip("/")


def _plain(path: str) -> str:
    """A path of mountinfo, which writes spaces and the like as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)


def _quotas(root: Path) -> Iterator[float]:
    """Limits of CPU time as numbers of CPUs."""
    for group in _groups(root, "cpu"):
        if group.version == 2:
            words = _text(group.folder / "cpu.max").split()
        else:
            words = [_text(group.folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
        numbers = [int(word) for word in words if word.isdecimal()]  # neither `max` nor -1
        if len(numbers) == 2 and numbers[1]:
            yield numbers[0] / numbers[1]


def _memory_limits(root: Path) -> Iterator[int]:
    for group in _groups(root, "memory"):
        text = _text(group.folder / ("memory.max" if group.version == 2 else "memory.limit_in_bytes"))
        if text.isdecimal():  # not `max`; version 1 has a number larger than any memory
            yield int(text)


def _physical(root: Path) -> int:
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) << 10
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _of_slurm(environment: Mapping[str, str]) -> Iterator[float]:
    """CPUs of a job on this machine, which a cluster without affinity or groups only asks one to respect.

    In a task that `srun` has started they are those of the task; in a batch script, which is one process, those of all
    tasks on its machine.
    """
    per_task, on_node = _number(environment, "SLURM_CPUS_PER_TASK"), _number(environment, "SLURM_CPUS_ON_NODE")
    tasks = _tasks(environment)
    if "SLURM_STEP_ID" in environment:
        if on_node:
            yield on_node / tasks
        tasks = 1
    elif on_node:
        yield on_node
    if per_task:
        yield per_task * tasks


def _tasks(environment: Mapping[str, str]) -> int:
    """Tasks on this machine, of a list such as 4(x2),1 for each machine in turn; 1 if nothing tells."""
    step = "SLURM_STEP_TASKS_PER_NODE" if "SLURM_STEP_ID" in environment else "SLURM_TASKS_PER_NODE"
    text = environment.get(step) or environment.get("SLURM_TASKS_PER_NODE", "")
    counts = [int(tasks) for tasks, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", text) for _ in range(int(times or 1))]
    node = int(_number(environment, "SLURM_NODEID") or 0)
    return max(1, counts[node]) if node < len(counts) else 1


def _memory_of_slurm(environment: Mapping[str, str]) -> Iterator[int]:
    on_node = _number(environment, "SLURM_CPUS_ON_NODE")
    for name, times in (("SLURM_MEM_PER_NODE", 1), ("SLURM_MEM_PER_CPU", on_node)):
        match = re.fullmatch(r"([1-9]\d*)([KMGT]?)", environment.get(name, "").upper())  # 0: all of it
        if match and times:
            yield (int(match[1]) << _BYTES[match[2]]) * times


def _number(environment: Mapping[str, str], name: str) -> int:
    """A whole number above 0, or 0 if there is none."""
    text = environment.get(name, "")
    return int(text) if text.isdecimal() else 0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _lines(path: Path) -> list[str]:
    return _text(path).splitlines()
