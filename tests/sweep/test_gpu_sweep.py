"""A real sweep on a Ray cluster of one machine that claims to have a GPU; PyTorch finds none, and takes the CPU."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import commands
import pytest
from fault_harness import SmallCluster, named

from randwire.records import find_records

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallCluster]:
    cluster = SmallCluster(0, tmp_path_factory.mktemp("cluster"), "--num-gpus", "1", head_cpus=4)
    yield cluster
    cluster.close()


def swept(cluster: SmallCluster, output: Path, *words: str) -> tuple[str, int]:
    """What a sweep on the cluster has said on standard error, and the most ranks that were there at once."""
    options = ("--no-open", "--address", cluster.address, *commands.TINY, "--runtime.wandb", "disabled")
    log, ranks = cluster.folder / "sweep.log", 0
    with open(log, "w") as told, subprocess.Popen(
        [sys.executable, "studies/generators.py", "sweep", *options, "--runtime.output", str(output), *words],
        cwd=commands.ROOT, env=cluster.client, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=told,
    ) as process:  # fmt: skip
        try:
            while process.poll() is None:
                ranks = max(ranks, len(named("RayTrainWorker", [cluster.head])))
                time.sleep(0.1)
        finally:
            process.kill()
    assert process.returncode == 0, log.read_text()
    return log.read_text(), ranks


def test_one_gpu_trains_a_trial_of_one_rank_or_two_that_have_a_half_each(cluster: SmallCluster, tmp_path: Path) -> None:
    told, ranks = swept(cluster, tmp_path, "--settings", "1", "--seeds", "1", "--train.epochs", "1")
    assert "1 rank a trial: the cluster has room for 1; --workers decides otherwise\n" in told
    (record,) = find_records(tmp_path / "generators")
    assert [part["world_size"] for part in record.read_json("environment.json")] == [1]
    assert ranks == 1
    told, ranks = swept(cluster, tmp_path, "--settings", "3", "--gpus-per-worker", "0.5")
    assert "rank a trial" not in told
    assert len(find_records(tmp_path / "generators")) == 3
    assert ranks == 2  # at once: Ray gives each a half
