"""A cluster of cluster/own.yaml is brought up, used and taken down by the commands of the README."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import machines
import psutil
import pytest
import wandb
from own_cluster import KEY, RANKS, SMALL, Own

from randwire.records import find_records

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    """The cluster, brought up as the README says it."""
    if missing := machines.missing():
        pytest.skip(f"cannot make machines of this one: {missing}")
    cluster = Own(tmp_path_factory.mktemp("machines"))
    try:
        cluster.run(cluster.readme("ray get-auth-token"))
        cluster.run(cluster.readme("ray up"))
        netrc = cluster.laptop / "home" / ".netrc"
        netrc.touch(0o600)
        netrc.write_text(f"machine {urlsplit(wandb.Settings().base_url).hostname}\nlogin user\npassword {KEY}\n")
        cluster.run(cluster.readme("ray rsync-up"))
        cluster.awaited(lambda: cluster.states.get(machines.ADDRESSES["worker"]) == "up-to-date")
        yield cluster
    finally:
        cluster.machines.close()


PROBE = """
import json, pathlib, socket, sys, urllib.error, urllib.request
token = pathlib.Path("~/.ray/auth_token").expanduser().read_text()
def status(headers, data=None, url="http://127.0.0.1:8265/api/jobs/"):
    headers = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(url, data, headers)
    try:
        return urllib.request.urlopen(request).status
    except urllib.error.HTTPError as error:
        return error.code
job = json.dumps({"entrypoint": "touch /tmp/intruder"}).encode()
reached = socket.socket().connect_ex((sys.argv[1], 8265)) == 0
right, wrong = ({"Authorization": "Bearer " + text} for text in (token, "0" * 64))
agent = f"http://{sys.argv[1]}:52365/api/job_agent/jobs/"
print(json.dumps([reached, status({}), status({}, job), status(wrong, job), status({}, job, agent), status(right)]))
"""


@pytest.fixture(scope="module")
def tunnel(own: Own) -> Iterator[psutil.Process]:
    """The connection of the laptop to the dashboard, where jobs are submitted too."""
    process = psutil.Popen(own.machines.laptop(own.readme("ray dashboard")), stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    own.awaited(lambda: subprocess.run(own.machines.laptop("exec 3<>/dev/tcp/127.0.0.1/8265"),
                                       stderr=subprocess.DEVNULL).returncode == 0, 60)  # fmt: skip
    yield process
    close(process)


def close(tunnel: psutil.Process) -> None:
    if tunnel.is_running():
        for process in tunnel.children(recursive=True):
            process.terminate()
        tunnel.wait(20)


@pytest.fixture(scope="module")
def study(own: Own, tunnel: psutil.Process) -> Path:
    """The folder of a study, on the disk that machines share, whose job has ended while the laptop was away."""
    submitted = own.run(own.readme("ray exec cluster.yaml 'ray job submit"))
    assert SMALL in submitted
    assert "submitted successfully" in submitted
    close(tunnel)
    own.awaited(lambda: "report.html" in own.job_log or "error" in own.job_log, 300)
    print(own.job_log)
    return own.folder / "shared" / "runs" / "generators"


def test_jobs_are_taken_with_the_token_alone(own: Own, tunnel: psutil.Process) -> None:
    probe = f"python -c {shlex.quote(PROBE)} {machines.ADDRESSES['head']}"
    # Over the network the dashboard is not there. Neither it, through the tunnel, nor the agent of a machine, which
    # the others must reach, takes anything without the token.
    assert json.loads(own.run(probe).splitlines()[-1]) == [False, 401, 401, 403, 401, 200]
    submit = "ray job submit --address http://127.0.0.1:8265 --no-wait -- "
    refused = own.run(submit + "touch /tmp/intruder", returns=None, RAY_AUTH_MODE="disabled")
    assert "401" in refused or "token" in refused.lower()
    assert "submitted successfully" not in refused
    direct = f"ray status --address {machines.ADDRESSES['head']}:6379"
    assert "InvalidAuthToken" in own.run(direct, returns=1, RAY_AUTH_MODE="disabled")
    assert not list(own.folder.glob("*/tmp/intruder"))


def test_a_job_goes_on_without_the_laptop_which_fetches_its_records(own: Own, study: Path) -> None:
    # Ray needs a moment to notice that the job has ended.
    ended = 'timeout 90 bash -c "until ray job list | grep -o JobStatus.SUCCEEDED; do sleep 1; done"'
    status = own.run(own.readme("ray exec cluster.yaml 'cd randwire").removesuffix("'") + f" && {ended}'")
    assert "1 finished; all has ended" in status
    assert "JobStatus.SUCCEEDED" in status
    (record,) = find_records(study)
    assert [part["world_size"] for part in record.read_json("environment.json")] == [RANKS]
    assert (study / "report.html").is_file()
    assert not (study / ".ray").exists()
    own.run(own.readme("ray rsync-down"))
    fetched = own.laptop / "randwire" / "runs" / "generators"
    assert (fetched / "report.html").read_bytes() == (study / "report.html").read_bytes()
    assert find_records(fetched)[0].metrics() == record.metrics()


def test_the_key_of_wandb_is_on_the_head_alone(own: Own, study: Path) -> None:
    netrc = own.head / "home" / ".netrc"
    assert KEY in netrc.read_text()
    assert netrc.stat().st_mode & 0o777 == 0o600
    assert not (own.worker / "home" / ".netrc").exists()
    assert "W&B: offline" in own.job_log  # the server cannot be reached from here
    assert "no API key" not in own.job_log
    read = 0
    for top in (own.head, own.worker, own.folder / "shared"):
        for folder, _, names in os.walk(top):
            for path in (Path(folder, name) for name in names):
                if path != netrc and path.is_file() and path.stat().st_size < 50_000_000:
                    read += 1
                    assert KEY.encode() not in path.read_bytes(), path
    assert read > 100


def test_ray_down_leaves_nothing_running(own: Own) -> None:
    """The last one here: it takes the cluster of the others."""
    assert len(own.ray_processes()) > 4
    own.run(own.readme("ray down"))
    own.awaited(lambda: not own.ray_processes(), 60)
