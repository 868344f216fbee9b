"""Clusters with tokens and without, by `ray start`, as one user meets them: RAY_AUTH_MODE is set nowhere."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import commands
import psutil
import pytest
from fault_harness import SmallCluster

from randwire.errors import ConfigError
from randwire.records import find_records
from randwire.sweep.head import reach

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

PROGRAM = """
import stat, sys, time, urllib.error, urllib.request
import ray  # before any of it is chosen, as a caller from Python may have done
from randwire.arguments import guarded
from randwire.sweep.cluster import Cluster
from randwire.sweep.connection import connected
from randwire.sweep.steering import steered

def refuses(url):
    try:
        return urllib.request.urlopen(f"http://{url}/api/jobs/").status
    except urllib.error.HTTPError as error:
        return error.code

def main():
    for address in sys.argv[1:]:
        cluster = Cluster(None if address == "here" else address, workers=1)
        with steered(cluster) as start, connected(start, cluster, ()):
            if start.folder:
                url = ray._private.worker._global_node.webui_url
                print(url.partition(":")[0], refuses(url), oct(start.folder.stat().st_mode & 0o777))
            print("runs", ray.get(ray.remote(num_cpus=0)(lambda: 6 * 7).remote()), flush=True)
            while address == sys.argv[-1] == "here":
                time.sleep(1)

guarded(main)
"""


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallCluster]:
    cluster = SmallCluster(0, tmp_path_factory.mktemp("strict"), head_cpus=1)
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def tokenless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallCluster]:
    cluster = SmallCluster(0, tmp_path_factory.mktemp("tokenless"), head_cpus=1, token=False)
    yield cluster
    cluster.close()


@pytest.fixture
def root() -> Iterator[Path]:
    """The temporary folder of clusters that are started here; empty at the end."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as folder:
        yield Path(folder)
        assert list(Path(folder).iterdir()) == []


@pytest.mark.condition("B", "--address of clusters with tokens and without after a local sweep", "each is used")
def test_one_user_and_three_clusters(strict: SmallCluster, tokenless: SmallCluster, root: Path) -> None:
    environment = {**strict.client, "RAY_TMPDIR": str(root), "HOME": "/proc"}
    addresses = ("here", strict.address, tokenless.address)
    done = subprocess.run([sys.executable, "-c", PROGRAM, *addresses], env=environment, capture_output=True, text=True)
    assert done.stdout == "127.0.0.1 401 0o700\n" + "runs 42\n" * 3, done.stderr
    assert done.stderr == ""


@pytest.mark.condition("B", "a sweep on a cluster without tokens by a user who has one", "its trials are trained")
def test_a_sweep_on_a_cluster_without_tokens(tokenless: SmallCluster, tmp_path: Path) -> None:
    sweep = ("studies/generators.py", "sweep", "--no-open", "--address", tokenless.address, *commands.TINY, "--workers",
             "1", "--concurrent", "1", "--settings", "1", "--seeds", "1", "--train.epochs", "1",
             "--runtime.wandb", "disabled", "--runtime.output", str(tmp_path / "runs"))  # fmt: skip
    done = commands.run(*sweep, environment={**tokenless.client, "TMPDIR": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert "InvalidAuthToken" not in done.stderr
    (record,) = find_records(tmp_path / "runs" / "generators")
    assert record.summary() is not None
    assert not list(tmp_path.glob("randwire-*"))


@pytest.mark.condition("B", "the head of a real cluster, without its token or with another", "one line")
def test_the_token_of_a_real_head(
    strict: SmallCluster, tokenless: SmallCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("RAY_AUTH_TOKEN_PATH", str(strict.folder)), ("RAY_AUTH_TOKEN", "another")):
        monkeypatch.setenv(name, value)
        with pytest.raises(ConfigError, match="token"):
            reach(strict.address)
        assert reach(tokenless.address).token is None
    dashboard = strict.dashboard.removeprefix("http://")
    with pytest.raises(ConfigError, match="no head of a Ray cluster"):
        reach(dashboard)


@pytest.mark.condition("B", "Ctrl-C while a cluster of this machine runs", "nothing is left of it")
def test_an_interrupt_leaves_nothing(root: Path) -> None:
    process = commands.popen(["-c", PROGRAM, "here"], {"RAY_TMPDIR": str(root)})
    assert process.stdout is not None
    while not process.stdout.readline().startswith("runs"):
        assert process.poll() is None
    started = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert err == "interrupted; the same command goes on from the last checkpoint\n"
    assert not [child for child in started if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def test_these_tests_set_no_mode(strict: SmallCluster) -> None:
    assert "RAY_AUTH_MODE" not in os.environ
    assert "RAY_AUTH_MODE" not in strict.client
