"""What of this machine a cluster that is started here gets: the CPUs and memory that the process may use.

`python -m randwire.sweep.share` prints them as options of `ray start`, for one machine of a larger cluster.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import torch

from randwire import machine
from randwire.study.design import Design
from randwire.sweep.cluster import Cluster
from randwire.sweep.places import Machine, Machines, places
from randwire.sweep.progress import note
from randwire.training import gpus

GIB = 1 << 30
OF_RAY = GIB
"""Memory of the cluster's own processes, in bytes."""
OF_SETTING = GIB
"""Memory of a setting beside its ranks: its driver, and what Ray Train starts for it."""
OF_RANK = GIB // 2
"""Memory of a rank whose network is small. That of a large one is not known before it trains."""
STORE_SHARE, STORE_MOST, STORE_LEAST = 0.3, 2 * GIB, 80_000_000
"""The object store, in parts of the memory and bytes: a sweep keeps next to nothing there."""


class Share(NamedTuple):
    """CPUs, and bytes of memory and of the object store."""

    cpus: int
    memory: int
    store: int
    settings: int | None
    """Settings at a time, where memory bounds them and neither CPUs nor GPUs."""


def share(cluster: Cluster, design: Design) -> Share:
    """The share of a cluster on this machine: all CPUs, and at least those of one setting.

    Where memory is scarce they are fewer, so that settings do not take it from each other; `concurrent` leaves that to
    who sets it. CPUs of ranks on GPUs are not fewer: what they have would be divided by all of the GPUs.
    """
    memory, cpus = machine.memory(), machine.cpus()
    base = design.base
    number = 0 if base.runtime.device == "cpu" else gpu_count()
    alone = Machine(max(cpus, (cluster.workers or 1) * (cluster.cpus_per_worker or 1)), number)
    each = places(cluster, base.runtime.device, base.train.batch_size, Machines([alone]))
    of_setting = each.workers * each.cpus_per_worker
    fit = max(1, (memory - OF_RAY) // (OF_SETTING + each.workers * OF_RANK))
    short = cluster.concurrent is None and fit < each.settings
    given = fit * of_setting if short and not each.gpu else alone.cpus
    return Share(given, memory, _store(memory), fit if short else None)


def gpu_count() -> int:
    """The GPUs of this machine that PyTorch can use: Ray by itself counts also those that it cannot."""
    return torch.cuda.device_count() if gpus.usable() else 0


def _store(memory: int) -> int:
    return max(STORE_LEAST, min(STORE_MOST, int(STORE_SHARE * memory)))


def start_options() -> list[str]:
    """The same for `ray start` on a machine of a cluster: all that this process may use."""
    memory = machine.memory()
    return [f"--num-cpus={machine.cpus()}", f"--num-gpus={gpu_count()}", f"--object-store-memory={_store(memory)}"]


def local_options(cluster: Cluster, design: Design) -> dict[str, Any]:
    """What Ray is told of this machine when it starts: by itself it counts CPUs and memory that others have."""
    mine = share(cluster, design)
    if mine.settings is not None:
        note(
            f"memory of {mine.memory / GIB:.1f} GiB: {mine.settings} at a time, though CPUs and GPUs are there "
            "for more; --concurrent N decides otherwise"
        )
    memory = max(mine.memory - mine.store, STORE_LEAST)
    return {
        "num_cpus": mine.cpus,
        "num_gpus": gpu_count(),
        "_memory": memory,
        "object_store_memory": mine.store,
    }


if __name__ == "__main__":
    if seen := gpus.unusable():
        print(f"--num-gpus=0: {seen}", file=sys.stderr)
    print(*start_options())
