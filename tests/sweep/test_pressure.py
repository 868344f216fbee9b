"""Sweeps on a real cluster that has too little: memory of a machine, object stores and disks, a head."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from fault_harness import Ballast, Memory, SmallCluster, Sweep, named, strip, undisturbed

from randwire.records import Record, find_records

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

EPOCHS = 8
GENERATORS = ("ws", "ba")
SMALL = ("--object-store-memory", "80000000")
# To Ray, the disk is full from the start: what does not fit the object store has no other place.
NO_DISK = {"RAY_local_fs_capacity_threshold": "0.01"}
# What a lost head leaves behind ends after this, by default after a minute.
ORPHANS = {"RAY_gcs_rpc_server_reconnect_timeout_s": "5"}
# Of the memory of a machine, what Ray leaves to its processes; more than a worker takes in a moment is left above it.
THRESHOLD = 0.8


@pytest.fixture(scope="module")
def memory() -> Iterator[Memory | None]:
    """The memory of a machine, of which a train worker needs a quarter. None where it cannot be limited."""
    try:
        memory = Memory(1500)
    except (OSError, StopIteration):
        yield None
    else:
        yield memory
        memory.close()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, memory: Memory | None) -> Iterator[SmallCluster]:
    cluster = SmallCluster(1, tmp_path_factory.mktemp("cluster"), *SMALL, variables={**NO_DISK, **ORPHANS})
    variables = {"RAY_memory_usage_threshold": str(THRESHOLD), "RAY_memory_monitor_refresh_ms": "100"}
    cluster.add(memory.within if memory else (), **variables)
    yield cluster
    cluster.close()


def as_undisturbed(record: Record, output: Path) -> None:
    again = undisturbed(record, output)
    assert [row["epoch"] for row in record.metrics()] == list(range(1, EPOCHS + 1))
    assert [strip(row) for row in record.metrics()] == [strip(row) for row in again.metrics()]


def test_a_worker_for_which_there_is_no_memory_is_started_again_and_given_up_in_the_end(
    cluster: SmallCluster, memory: Memory | None, tmp_path: Path
) -> None:
    if memory is None:
        pytest.skip("needs the right to limit the memory of a control group")
    cause = "a worker was ended because its machine ran out of memory"
    memory.fill(THRESHOLD - 0.08)  # a worker can start, but not import what it needs
    with Sweep(cluster, tmp_path / "runs", epochs=EPOCHS, generators=GENERATORS, settings=2, losses=2) as sweep:
        sweep.await_that(lambda: "could not be run" in sweep.stderr(), 500)
        assert sweep.stderr().count(f"{cause}; goes on") == 1
        assert f"could not be run: {cause}\n" in sweep.stderr()
        memory.empty()
        sweep.await_that(lambda: sweep.has(2))  # of the other setting
        memory.fill(THRESHOLD + 0.1)
        sweep.await_that(lambda: sweep.stderr().count(f"{cause}; goes on") == 2)
        memory.empty()
        assert sweep.process.wait(300) == 1, sweep.stderr()
    assert "Traceback" not in sweep.stderr()
    (record,) = (record for record in find_records(sweep.folder) if record.summary())  # the other one is not begun
    as_undisturbed(record, tmp_path / "again")


def test_full_object_stores_do_not_disturb_a_training_and_delay_its_start(
    cluster: SmallCluster, tmp_path: Path
) -> None:
    with Ballast(cluster) as ballast:
        ballast.fill()
        with Sweep(cluster, tmp_path / "runs", epochs=EPOCHS) as sweep:
            assert sweep.process.wait(120) == 2, sweep.stderr()
        assert sweep.stderr().splitlines()[-1].startswith("error: the object store of the cluster's head is full")
        assert "Traceback" not in sweep.stderr()
        ballast.empty()
        with Sweep(cluster, tmp_path / "runs", epochs=EPOCHS, losses=100) as sweep:
            sweep.await_that(lambda: sweep.has(1))
            ballast.fill()
            rows = sweep.rows()
            sweep.await_that(lambda: sweep.has(rows + 2))
            assert "goes on" not in sweep.stderr()
            cluster.workers()[0].kill()
            full = "the object store of a machine is full, and its disk too; goes on"
            sweep.await_that(lambda: full in sweep.stderr())
            ballast.empty()
            assert sweep.process.wait(300) == 0, sweep.stderr()
    assert "Traceback" not in sweep.stderr()
    (record,) = find_records(sweep.folder)
    as_undisturbed(record, tmp_path / "again")


def test_a_sweep_that_has_lost_its_head_ends_and_goes_on_with_another_one(
    cluster: SmallCluster, tmp_path: Path
) -> None:
    """The last one here: it takes the cluster of the others."""
    with Sweep(cluster, tmp_path / "runs", epochs=EPOCHS) as sweep:
        sweep.await_that(lambda: sweep.has(3))
        record = sweep.training()
        assert record is not None
        left = [process for word in ("raylet", "RayTrainWorker") for process in named(word, cluster.nodes)]
        assert len(left) >= 4
        cluster.head.kill()
        (tmp_path / "cluster").mkdir()
        sweep.cluster = SmallCluster(0, tmp_path / "cluster", head_cpus=2)
        try:
            assert sweep.process.wait(60) == 1
            advice, *told = [line for line in sweep.stderr().splitlines() if "started" not in line]
            assert advice.startswith("the same images choose and tell")
            assert told == [
                f"error: the head of the cluster, {cluster.address}, has been away for 3 s; the same command goes on "
                "from the last checkpoints, here or with --address of another cluster"
            ]
            # Of the last epoch, the checkpoint may not be there yet.
            lines = (record.folder / "metrics.jsonl").read_text().splitlines()[:-1]
            sweep.start()
            assert sweep.process.wait(300) == 0, sweep.stderr()
        finally:
            sweep.cluster.close()
    assert "Traceback" not in sweep.stderr()
    # The lines hold seconds and rates, which no second training of an epoch would give again.
    assert (record.folder / "metrics.jsonl").read_text().splitlines()[: len(lines)] == lines
    as_undisturbed(record, tmp_path / "again")
    _, alive = psutil.wait_procs(left, timeout=60)
    assert not alive
