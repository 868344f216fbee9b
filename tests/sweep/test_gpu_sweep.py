"""A real sweep on a Ray cluster of one machine that claims to have a GPU; PyTorch finds none, and takes the CPU."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import commands
import pytest
from fault_harness import SmallCluster

from randwire.records import find_records

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallCluster]:
    cluster = SmallCluster(0, tmp_path_factory.mktemp("cluster"), "--num-gpus", "1", head_cpus=4)
    yield cluster
    cluster.close()


MEETING = """
import sys
import time
from pathlib import Path
from uuid import uuid4

from randwire.study import Design
from randwire.sweep import Cluster
from randwire.sweep.steering import steered


def meet(config):
    "A rank that ends when another one is there."
    folder = Path(config["job"].scratch)
    (folder / f"rank-{uuid4().hex}").touch()
    while len(list(folder.glob("rank-*"))) < 2:
        time.sleep(0.1)


cluster = Cluster(sys.argv[1], gpus_per_worker=0.5)
design = Design.load("digits", {"runtime.output": sys.argv[2]}, name="met")
with steered(cluster) as start:
    from randwire.sweep import tuning
    from randwire.sweep.connection import capacity, connected
    from randwire.sweep.worker_group import WorkerGroup

    with connected(start, cluster, ()):
        each = capacity(design, cluster)
        print(each.workers, each.cpus_per_worker, each.gpus_per_worker, each.gpu_share, each.settings)
        job = tuning._job(design, cluster, each, Path(sys.argv[2]))
        groups = [WorkerGroup(meet, job) for _ in range(2)]
        for group in groups:
            group.ended.result(timeout=240)
print("met")
"""


def call(cluster: SmallCluster, *words: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *words],
        cwd=commands.ROOT, env=cluster.client, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def test_a_sweep_on_one_gpu_trains_trials_of_one_rank(cluster: SmallCluster, tmp_path: Path) -> None:
    keys = (*commands.TINY, "--runtime.output", str(tmp_path), "--runtime.wandb", "disabled", "--train.epochs", "1")
    options = ("--no-open", "--address", cluster.address, "--settings", "1", "--seeds", "1")
    done = call(cluster, "studies/generators.py", "sweep", *options, *keys)
    assert "1 rank a trial: no machine has room for more; --workers decides otherwise\n" in done.stderr
    (record,) = find_records(tmp_path / "generators")
    assert [part["world_size"] for part in record.read_json("environment.json")] == [1]


def test_two_trials_with_a_half_each_are_on_one_gpu_at_once(cluster: SmallCluster, tmp_path: Path) -> None:
    assert call(cluster, "-c", MEETING, cluster.address, str(tmp_path)).stdout.split("\n") == [
        "1 2 0.5 0.5 2", "met", ""
    ]  # fmt: skip
