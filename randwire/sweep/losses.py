"""Why a training was lost."""

from __future__ import annotations

import errno
import re

import ray.train

from randwire.study.setting import Setting
from randwire.sweep.job import Job
from randwire.sweep.watchdog import stall_files


def cause_of(error: Exception, job: Job, setting: str, started: float) -> str:
    """What has ended a training, in one line. The loss of a process explains the errors of the ones beside it."""
    if isinstance(error, ray.train.WorkerGroupError):
        failures = [str(failure) for failure in error.worker_failures.values()]
    else:
        failures = [str(error)]
    text = "\n".join(failures)
    for trial in job.design.trials(Setting.parse(setting)):
        if stacks := stall_files(job.design.record(trial).folder, started):
            return f"no step for {job.timeouts.stall_s / 60:g} minutes; where its threads were: {stacks[-1]}"
    for pattern, cause in _CAUSES:
        if re.search(pattern, text):
            return cause
    lines = [failure.strip().splitlines()[-1] for failure in failures if failure.strip()]
    return next(iter(lines), "unknown cause").strip()


_CAUSES = (
    ("CUDA out of memory", "the memory of a GPU is too small"),
    (
        "running low on memory|OutOfMemory|can't allocate memory|MemoryError",
        "a worker was ended because its machine ran out of memory",
    ),
    ("local object store is full", "the object store of a machine is full, and its disk too"),
    ("node (has died|was preempted|.* preempt)|NodeDied|owner's node", "a machine was lost"),
    (f"Errno {errno.ENOSPC}\\b", "no space is left for the records"),
    ("Connection (closed by peer|reset)|NCCL error|ncclInternal", "the connection to another worker was lost"),
    ("worker process has died|ActorDiedError|actor died|died unexpectedly", "a worker process was lost"),
)
