"""A sweep outlives its output, and ends in order with its terminal."""

import os
import subprocess
import sys
from pathlib import Path

import commands
import psutil
import pytest
from terminals import Terminal

from randwire.records import find_records

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]


def words(folder: Path, epochs: int) -> list[str]:
    keys = ["--settings", "1", "--seeds", "1", "--workers", "1", "--train.epochs", str(epochs)]
    output = ["--runtime.output", str(folder), "--runtime.wandb", "disabled", "--data.holdout", "100"]
    return ["studies/generators.py", "sweep", "--no-open", *commands.TINY, *keys, *output]


@pytest.mark.condition("A", "sweep | head -0, and a full disk behind stderr", "trains all that is left; exit 0")
def test_a_sweep_outlives_its_streams(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open("/dev/full", "w") as full:
        command = [sys.executable, *words(tmp_path, epochs=2)]
        code = subprocess.run(command, cwd=commands.ROOT, stdin=subprocess.DEVNULL, stdout=writer, stderr=full)
    os.close(writer)
    assert code.returncode == 0
    (record,) = find_records(tmp_path / "generators")
    summary = record.summary()
    assert summary is not None
    assert (summary["status"], summary["epochs"]) == ("finished", 2)
    assert (tmp_path / "generators" / "report.html").exists()


@pytest.mark.condition(
    "A", "the terminal of a sweep is closed", "it ends as after Ctrl-C: in order, and nothing is left"
)
def test_a_sweep_ends_in_order_with_its_terminal(tmp_path: Path) -> None:
    terminal = Terminal(*words(tmp_path, epochs=500))
    terminal.until(lambda _: list(tmp_path.glob("generators/*/checkpoint/newest.pt")))
    family = psutil.Process(terminal.process.pid).children(recursive=True)
    assert terminal.close() == 130
    assert "\x1b" not in terminal.shown
    (record,) = find_records(tmp_path / "generators")
    assert record.summary() is None
    assert (tmp_path / "generators" / "report.html").exists()
    _, left = psutil.wait_procs(family, timeout=10)
    assert [process for process in left if process.status() != psutil.STATUS_ZOMBIE] == []


PUBLISH = """
import logging, signal, sys, time
import ray
from ray._private.utils import publish_error_to_driver
from randwire.sweep.ray_internals import quiet, signals_kept

signal.signal(signal.SIGTERM, lambda *_: print("own handler"))
with quiet():
    with signals_kept():
        ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    gcs = ray._private.worker.global_worker.gcs_client
    publish_error_to_driver("worker_died", "a worker has died", gcs)
    ray.get(ray.remote(lambda: 1).remote())
    time.sleep(2)
    signal.raise_signal(signal.SIGTERM)
    ray.shutdown()
"""


@pytest.mark.condition("J", "an error of the cluster: Ray prints '(raylet) ...' in colours", "not on a sweep's streams")
def test_lines_of_ray_stay_out(tmp_path: Path) -> None:
    done = commands.run("-c", PUBLISH, environment={"RAY_AUTH_MODE": "disabled"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "own handler\n", "")
