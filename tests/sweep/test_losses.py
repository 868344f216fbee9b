"""What has ended a training, and the watchdog that ends one that makes no step."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from ray.train import WorkerGroupError

from randwire.config import load
from randwire.study.design import Design
from randwire.sweep.job import Job
from randwire.sweep.losses import cause_of
from randwire.sweep.watchdog import Watchdog, stall_files


@pytest.mark.parametrize(
    ("failures", "cause"),
    [
        (["RuntimeError: Connection closed by peer", "... its node has died. Node Id: 1"], "a machine was lost"),
        (
            ["Task was killed due to the node running low on memory."],
            "a worker was ended because its machine ran out of",
        ),
        (
            ["RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes. Error code 12"],
            "a worker was ended because its machine ran out of",
        ),
        (["torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."], "the memory of a GPU is too"),
        (
            ["Local disk is full\nThe object cannot be created because the local object store is full and so on"],
            "the object store of a machine is full",
        ),
        (["... its worker process has died. Worker exit type: SYSTEM_ERROR"], "a worker process was lost"),
        (["Traceback ...\nOSError: [Errno 28] No space left on device: 'a'"], "no space is left for the records"),
        (["Traceback ...\n  line\nKeyError: 'conv3'\n"], "KeyError: 'conv3'"),
        ([], "unknown cause"),
    ],
)
def test_what_ended_a_training_is_told_in_one_line(failures: list[str], cause: str, tmp_path: Path) -> None:
    design = Design(load("digits", {"runtime.output": str(tmp_path)}))
    error = WorkerGroupError("", {rank: Exception(text) for rank, text in enumerate(failures)})
    assert cause_of(error, Job(design, workers=1, scratch=""), "er:p=0.2", 0.0).startswith(cause)


def test_a_process_that_makes_no_step_is_ended_with_its_stacks(tmp_path: Path) -> None:
    program = """
import sys, threading, time
from pathlib import Path
from randwire.sweep.watchdog import Watchdog
watchdog = Watchdog(Path(sys.argv[1]), 0.5, 60)
def waits_for_ever(): threading.Event().wait()
with watchdog.watching():
    for _ in range(20):
        watchdog.feed()
        time.sleep(0.1)
    print("fed", flush=True)
    waits_for_ever()
"""
    path = tmp_path / "record" / "stall-rank0.txt"
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "fed\n")
    assert "waits_for_ever" in path.read_text()
    assert stall_files(path.parent, time.time() - 60) == [path]
    assert not stall_files(path.parent, time.time() + 60)


def test_a_watchdog_that_is_fed_leaves_nothing(tmp_path: Path) -> None:
    watchdog = Watchdog(tmp_path / "stall-rank0.txt", 30, 60)
    with watchdog.watching():
        watchdog.feed()
    assert not list(tmp_path.iterdir())
