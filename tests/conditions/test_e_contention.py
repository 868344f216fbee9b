"""Limits of the machine: more threads that compute than CPUs."""

import os
import sys
import threading

import commands
import pytest

from randwire import contention
from randwire.contention import STATED, Waiting, sleep_when_waiting

ONE_CPU = """
import os, subprocess, sys, time
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
others = [subprocess.Popen([sys.executable, "-c", "print(flush=True)\\nwhile True: pass"], stdout=subprocess.PIPE)
          for _ in range(2)]
for other in others:
    other.stdout.readline()
try:
    from randwire import contention
    waiting = contention.Waiting()
    print(contention.sleep_when_waiting(), os.environ["OMP_WAIT_POLICY"])
    began = time.monotonic()
    while time.monotonic() < began + 1:
        pass
    contention.WANTED_S = 0.5
    print(waiting.told(threads=1))
    waiting = contention.Waiting()
    while time.monotonic() < began + 2:
        pass
    print(waiting.told(threads=2))
finally:
    for other in others:
        other.kill()
        other.wait()
"""


@pytest.mark.condition("E", "train.py while others use the CPUs", "waiting threads sleep; it is told with the remedy")
def test_what_others_take_of_the_cpus_is_seen() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in STATED}
    done = commands.run("-c", f"import os; os.environ.clear(); os.environ.update({environment!r})\n{ONE_CPU}")
    assert done.returncode == 0, done.stderr
    decided, alone, told = done.stdout.splitlines()
    assert decided == "True passive"
    assert alone == "None"
    assert told.startswith("threads of this training waited for a CPU for ")
    assert "OMP_NUM_THREADS=1" in told


@pytest.mark.condition("E", "train.py alone, or with OpenMP's variables set", "threads wait as they would")
def test_on_free_cpus_and_where_the_user_has_decided_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "modules", {name: module for name, module in sys.modules.items() if name != "torch"})
    monkeypatch.setattr(contention, "free_share", lambda _: 0.9)
    free: dict[str, str] = {}
    assert not sleep_when_waiting(free)
    assert free == {}
    monkeypatch.setattr(contention, "free_share", lambda _: 0.2)
    for name in STATED:
        stated = {name: "1"}
        assert not sleep_when_waiting(stated)
        assert stated == {name: "1"}
    assert sleep_when_waiting(free)
    assert free == {"OMP_WAIT_POLICY": "passive"}


@pytest.mark.condition("E", "train.py whose threads wait for CPUs, epoch after epoch", "one line, once")
def test_a_training_tells_once_that_its_threads_wait(
    tmp_path: "os.PathLike[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Waiting, "told", lambda self, threads: f"{threads} threads wait")
    done = commands.call(
        "train.py", "digits", *commands.TINY, "--train.epochs", "2", "--runtime.wandb", "disabled",
        "--runtime.output", str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stderr.splitlines().count("1 threads wait") == 1


def test_time_on_the_cpu_is_no_waiting() -> None:
    waiting = Waiting()
    threads = [threading.Thread(target=sum, args=[range(10)]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert waiting.told(threads=2) is None  # less than WANTED_S
