"""Sweeps on a real cluster of several nodes that lose workers, nodes, drivers, their own process, and the disk."""

import os
import random
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from fault_harness import FAULTS, RAY, SmallCluster, Sweep, announce, small_disk, strip, undisturbed

from randwire.parts import parts_of
from randwire.records import MID_EPOCH_CHECKPOINT, Record, find_records

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900 + 120 * int(os.environ.get("RANDWIRE_FAULTS", "0")))]
COUNT = int(os.environ.get("RANDWIRE_FAULTS", "5"))
SEED = int(os.environ.get("RANDWIRE_FAULTS_SEED", "0"))
EPOCHS = max(8, 2 * COUNT)
"""Of each of two trials: a fault takes three at most."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallCluster]:
    cluster = SmallCluster(3, tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.close()


def trained(sweep: Sweep, cluster: SmallCluster) -> Record | None:
    """The record of the trial that all ranks train."""
    return sweep.training() if len(cluster.workers()) == 2 and cluster.drivers() else None


def test_every_trial_ends_once_as_if_nothing_had_happened(cluster: SmallCluster, tmp_path: Path) -> None:
    """Each kind of fault at a random moment: the rows are those of undisturbed runs, and no epoch is trained twice."""
    stream = random.Random(SEED)
    faults = [FAULTS[number % len(FAULTS)] for number in range(COUNT)]
    stream.shuffle(faults)
    table = []
    with Sweep(cluster, tmp_path / "runs", epochs=EPOCHS, seeds=2) as sweep:
        for fault in faults:
            rows = sweep.rows() + stream.randint(1, 2)
            sweep.await_that(partial(sweep.has, rows))
            record = sweep.await_that(partial(trained, sweep, cluster))
            assert record is not None
            # Of the last epoch, the checkpoint may not be there yet.
            lines = (record.folder / "metrics.jsonl").read_text().splitlines()[:-1]
            rows, struck = sweep.rows(), time.monotonic()
            fault(cluster, sweep, stream)
            sweep.await_that(partial(sweep.has, rows + 1))
            table.append((fault.__name__, time.monotonic() - struck))
            # The lines hold seconds and rates, which no second training of an epoch would give again.
            assert (record.folder / "metrics.jsonl").read_text().splitlines()[: len(lines)] == lines
        assert sweep.process.wait(300) == 0, sweep.stderr()
    log = sweep.stderr()
    assert "Traceback" not in log
    print(log, "\n".join(f"{name:8} {seconds:5.1f} s" for name, seconds in table))

    records = find_records(sweep.folder)
    assert len(records) == 2
    for record in records:
        summary = record.summary()
        assert summary is not None
        assert (summary["status"], summary["epochs"]) == ("finished", EPOCHS)
        again = undisturbed(record, tmp_path / "again")
        assert [strip(row) for row in record.metrics()] == [strip(row) for row in again.metrics()]
    starts = [(part["first_epoch"], part["first_step"]) for record in records for part in parts_of(record)]
    assert any(step > 1 for _, step in starts), "none has gone on in the middle of an epoch"
    # Each process tells of a trial once; of one that ended while there was none, or before it, it may tell nothing.
    processes = 1 + sum(fault.__name__ == "process" for fault in faults)
    assert all(log.count(f"g{seed} t0: finished") <= processes for seed in range(2))


def test_a_training_is_saved_when_a_machine_is_announced_to_go(cluster: SmallCluster, tmp_path: Path) -> None:
    """In the middle of an epoch, and long before it would be by the clock."""
    values = {"runtime.checkpoint_minutes": 60, "train.batch_size": 4}
    with Sweep(cluster, tmp_path / "runs", epochs=500, values=values) as sweep:
        record = sweep.await_that(partial(trained, sweep, cluster))
        assert record is not None
        saved = record.checkpoint / MID_EPOCH_CHECKPOINT
        assert not saved.exists()
        lost = cluster.node_of(cluster.workers()[0])
        announce(cluster, lost, seconds=120)
        sweep.await_that(saved.exists)
    cluster.lose(lost)
    cluster.add()


def test_records_survive_a_disk_that_is_full_or_away_for_a_while(cluster: SmallCluster, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        with small_disk(disk, 30), Sweep(cluster, disk / "runs", epochs=EPOCHS, losses=100) as sweep:
            sweep.await_that(lambda: sweep.rows() >= 2)
            with suppress(OSError), open(disk / "ballast", "wb") as ballast:
                while True:
                    ballast.write(bytes(1 << 16))
            sweep.await_that(lambda: "no space is left" in sweep.stderr())
            (disk / "ballast").unlink()
            rows = sweep.rows()
            sweep.await_that(lambda: sweep.rows() >= rows + 2)
            losses = sweep.stderr().count("goes on")
            with small_disk(disk, 1, "ro"):  # as when a network disk is not mounted: another one lies over it
                sweep.await_that(lambda: sweep.stderr().count("goes on") > losses)
            assert sweep.process.wait(300) == 0, sweep.stderr()
            (record,) = find_records(sweep.folder)
            assert [row["epoch"] for row in record.metrics()] == list(range(1, EPOCHS + 1))
            assert not [path for path in sweep.folder.rglob("*") if "partial" in path.name]
            assert "Traceback" not in sweep.stderr()
    except subprocess.CalledProcessError as error:
        if error.cmd[0] != "mount" or b"permission" not in error.stderr.lower():
            raise
        pytest.skip("needs the right to mount a small disk")


def test_a_job_without_the_token_is_refused(cluster: SmallCluster) -> None:
    command = [RAY, "job", "submit", "--address", cluster.dashboard, "--no-wait", "--", "true"]
    done = subprocess.run(command, env={**os.environ, "RAY_AUTH_MODE": "disabled"}, capture_output=True, text=True)
    assert done.returncode != 0
    assert "token authentication is enabled" in done.stderr.lower()
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{cluster.dashboard}/api/jobs/")
