"""The cluster files: read by Ray and by AWS's own client, their commands run, and machines really brought up."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3  # type: ignore[import-untyped]
import commands
import machines
import psutil
import pytest
import wandb
import yaml
from moto import mock_aws
from ray.autoscaler._private.aws import config as ray_aws
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil

import cluster_account
from randwire.records import find

AWS, OWN = commands.ROOT / "cluster.yaml", commands.ROOT / "cluster-own.yaml"
README = (commands.ROOT / "README.md").read_text()
both = pytest.mark.parametrize("file", [AWS, OWN], ids=lambda file: file.name)


def prepared(file: Path) -> dict[str, Any]:
    """The configuration as `ray up` sees it: with defaults, and checked against Ray's schema."""
    config: dict[str, Any] = prepare_config(yaml.safe_load(file.read_text()))
    validate_config(config)
    return config


def shell(config: Mapping[str, Any], of: str) -> list[str]:
    """What a machine runs, in order; `of` is head or worker. (Ray has put setup_commands before the others.)"""
    names = ("initialization_commands", f"{of}_setup_commands", f"{of}_start_ray_commands")
    return [command for name in names for command in config[name]]


@both
def test_ray_accepts_the_file_and_bash_its_commands(file: Path) -> None:
    config = prepared(file)
    for of in ("head", "worker"):
        assert len(shell(config, of)) >= 10
        for command in shell(config, of):
            subprocess.run(["bash", "-n", "-c", command], check=True)


@both
def test_three_lines_are_to_be_edited(file: Path) -> None:
    assert re.findall(r"EDIT.*?(?=:)", file.read_text()) == [f"EDIT {number} of 3" for number in (1, 2, 3)]


@both
def test_nobody_without_the_token_is_served(file: Path) -> None:
    config = prepared(file)
    assert [target for target, source in config["file_mounts"].items() if source == "~/.ray/auth_token"]
    for of in ("head", "worker"):
        text = "\n".join(shell(config, of))
        assert text.index("RAY_AUTH_MODE=token") < text.index("chmod 600 ~/.ray/auth_token") < text.index("ray start")
        assert "0.0.0.0" not in text
        for start in re.findall(r"ray start --head.*", text):
            assert "--dashboard-host=127.0.0.1" in start
    # A secret in the file would be on every machine, and in every clone.
    for secret in (r"AKIA", r"WANDB_", r"(?i)password\W*[:=]", r"(?i)secret", r"\b[0-9a-f]{40}\b"):
        assert not re.search(secret, file.read_text()), secret


@both
def test_the_environment_is_that_of_the_makefile(file: Path) -> None:
    for of in ("head", "worker"):
        text = "\n".join(shell(prepared(file), of))
        assert 'make -C ~/randwire VENV="$HOME/randwire-venv" "$HOME/randwire-venv/.runtime"' in text
        assert 'PATH="$HOME/randwire-venv/bin:$PATH"' in text
    place = "/nonexistent/venv"
    make = subprocess.run(["make", "-n", "-C", str(commands.ROOT), f"VENV={place}", f"{place}/.runtime"], check=True,
                          capture_output=True, text=True).stdout  # fmt: skip
    assert "sh .ci/system-packages libopencv-dev libturbojpeg0-dev pkg-config" in make
    assert f"{place}/bin/python -m pip install --disable-pip-version-check -r requirements.txt" in make


def test_the_head_trains_nothing_and_workers_come_and_go() -> None:
    config = prepared(AWS)
    types = config["available_node_types"]
    head = types[config["head_node_type"]]
    assert head["resources"] == {"CPU": 0, "GPU": 0}
    assert "InstanceMarketOptions" not in head["node_config"]
    assert 1 <= config["idle_timeout_minutes"] <= 15
    workers = {name: types[name] for name in ("gpu-spot", "gpu-on-demand")}
    assert set(types) == {"head", *workers}
    for worker in workers.values():
        assert worker["min_workers"] == 0
        assert worker["max_workers"] == config["max_workers"] == 2
    spot, on_demand = (dict(worker["node_config"]) for worker in workers.values())
    assert spot.pop("InstanceMarketOptions") == {"MarketType": "spot"}
    assert spot == on_demand


def test_the_readme_names_the_machines_of_the_file() -> None:
    named = set(re.findall(r"\b[a-z]\d\w*\.\d*x?large\b", README))
    assert named == {kind["node_config"]["InstanceType"] for kind in prepared(AWS)["available_node_types"].values()}


def launched(availabilities: Mapping[str, float], gpus: int) -> dict[str, int]:
    """What Ray's autoscaler launches for trials of four ranks of a GPU each."""
    config = AutoscalingConfig(prepared(AWS), skip_content_hash=True)
    ranks = [ResourceRequestUtil.make({"CPU": 1, "GPU": 1}) for _ in range(gpus)]
    request = SchedulingRequest(
        node_type_configs=config.get_node_type_configs(),
        max_num_nodes=config.get_max_num_nodes(),
        resource_requests=[ResourceRequestUtil.group_by_count(ranks)[0]],
        cloud_resource_availabilities=dict(availabilities),
        recoverable_resource_availabilities=dict(availabilities),
        disable_launch_config_check=True,
    )
    reply = ResourceDemandScheduler(None).schedule(request)
    return {launch.instance_type: launch.count for launch in reply.to_launch if launch.instance_type != "head"}


def test_spot_machines_are_preferred_while_there_are_any() -> None:
    assert launched({}, gpus=4) == {"gpu-spot": 1}
    assert launched({}, gpus=8) == {"gpu-spot": 2}
    assert launched({"gpu-spot": 0.0}, gpus=4) == {"gpu-on-demand": 1}


@pytest.fixture
def launches(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[dict[str, Any]]:
    """What AWS's own client was asked for, by type of machine, by Ray's launch of one of each; moto is the cloud.

    In an account made ready by cluster_account.py, with the lines that it prints.
    """
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with mock_aws():
        ec2 = boto3.resource("ec2", region_name="us-west-2")
        iam = boto3.client("iam", region_name="us-west-2")
        for _ in range(2):  # the second time finds all that the first has made
            assert cluster_account.main(["--ssh-from", "203.0.113.7", "--bucket", "sets"]) == 0
        region, group, efs = capsys.readouterr().out.splitlines()[:3]
        text = AWS.read_text()
        for start, line in (("region: ", region), ("SecurityGroupIds: ", group), ("RANDWIRE_EFS=", efs)):
            known = re.findall(rf"{start}(?:&security )?([^' #]+)(?='.*EDIT| # EDIT)", text)
            assert len(known) == 1
            text = text.replace(known[0], line.removeprefix(start))
        edited = tmp_path / "cluster.yaml"
        edited.write_text(text)
        for cache in (ray_aws._get_vpc_id_of_sg, ray_aws._resource, ray_aws._client):
            getattr(cache, "cache_clear", lambda: None)()
        config = ray_aws.bootstrap_aws(prepared(edited))  # type: ignore[no-untyped-call]
        provider = AWSNodeProvider(config["provider"], config["cluster_name"])  # type: ignore[no-untyped-call]
        found: dict[str, Any] = {"config": config}
        asked: list[dict[str, Any]] = []
        provider.ec2_fail_fast.meta.client.meta.events.register(
            "provide-client-params.ec2.RunInstances", lambda params, **_: asked.append(params)
        )
        for name, kind in config["available_node_types"].items():
            provider.create_node(kind["node_config"], {"ray-user-node-type": name, "ray-node-name": name}, 1)
            found[name] = asked.pop()
        found["instances"] = {
            next(tag["Value"] for tag in instance.tags if tag["Key"] == "ray-user-node-type"): instance
            for instance in ec2.instances.all()
        }
        found["groups"] = {each.group_name: each for each in ec2.security_groups.all()}
        found["roles"] = {role["RoleName"] for role in iam.list_roles()["Roles"]}
        found["policies"] = {
            name: iam.get_role_policy(RoleName=name, PolicyName="randwire")["PolicyDocument"]["Statement"]
            for name in ("randwire-head", "randwire-worker")
        }
        client = boto3.client("efs", region_name="us-west-2")
        (found["efs"],) = client.describe_file_systems()["FileSystems"]
        targets = client.describe_mount_targets(FileSystemId=found["efs"]["FileSystemId"])["MountTargets"]
        found["mounted"] = {target["AvailabilityZoneName"] for target in targets}
        found["zones"] = {subnet.availability_zone for subnet in ec2.subnets.all()}
        yield found


def test_aws_is_asked_for_what_the_file_says(launches: dict[str, Any]) -> None:
    """Names and types of the fields are checked by AWS's client itself, which the file's are passed through."""
    assert launches["instances"]["gpu-spot"].instance_lifecycle == "spot"
    assert launches["instances"]["gpu-on-demand"].instance_lifecycle is None
    assert launches["instances"]["head"].instance_lifecycle is None
    for name in ("head", "gpu-spot", "gpu-on-demand"):
        asked = launches[name]
        groups = asked.get("SecurityGroupIds") or asked["NetworkInterfaces"][0]["Groups"]
        assert groups == [launches["groups"]["randwire"].id]
        assert asked["MetadataOptions"]["HttpTokens"] == "required"
        assert asked["IamInstanceProfile"] == {"Name": "randwire-head" if name == "head" else "randwire-worker"}
        assert all(disk["Ebs"]["Encrypted"] for disk in asked["BlockDeviceMappings"])
        assert asked["ImageId"].startswith("resolve:ssm:/aws/service/")
    # Ray makes no group that is open to all, and no role that may do everything.
    assert sorted(launches["groups"]) == ["default", "randwire"]
    assert {"randwire-head", "randwire-worker"} <= launches["roles"]
    assert all(role.startswith(("randwire-", "AWSServiceRoleFor")) for role in launches["roles"])


def test_the_account_lets_in_ssh_from_one_address_and_machines_do_little(launches: dict[str, Any]) -> None:
    group = launches["groups"]["randwire"]
    outside = [rule for rule in group.ip_permissions if rule["IpRanges"] or rule.get("Ipv6Ranges")]
    assert [(rule["IpProtocol"], rule["FromPort"], rule["ToPort"], rule["IpRanges"]) for rule in outside] == [
        ("tcp", 22, 22, [{"CidrIp": "203.0.113.7/32"}])
    ]
    inside = [rule["UserIdGroupPairs"] for rule in group.ip_permissions if rule not in outside]
    assert [[pair["GroupId"] for pair in pairs] for pairs in inside] == [[group.id]]
    worker, head = launches["policies"]["randwire-worker"], launches["policies"]["randwire-head"]
    assert {action for each in worker for action in each["Action"]} == {"s3:ListBucket", "s3:GetObject"}
    for each in worker + head:
        actions = [each["Action"]] if isinstance(each["Action"], str) else each["Action"]
        assert not {"*", "ec2:*", "s3:*", "iam:*"} & set(actions)
        assert each["Resource"] != "*" or all(action.startswith("ec2:") for action in actions)
    assert launches["efs"]["Encrypted"]
    assert launches["mounted"] == launches["zones"]
    assert f"{launches['efs']['FileSystemId']}.efs.us-west-2" in "\n".join(shell(launches["config"], "worker"))


def test_an_account_is_not_opened_to_everybody(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cluster_account.main(["--ssh-from", "0.0.0.0/0"])
    assert "lets too many in" in capsys.readouterr().err


# What runs in place of commands that would change the machine or download: each call is a line of $HOME/calls.
STAND_IN = r"""#!/bin/bash
name=$(basename "$0")
echo "$name $*" >>/home/ubuntu/calls
case $name in
sudo | env) exec "$@" ;;
dpkg-query | mountpoint) exit 1 ;;
lsblk) case $* in *MODEL*) echo "/dev/root Elastic Block Store"; echo "$FAKE_DISK" ;; *) echo "$FAKE_PLACE" ;; esac ;;
python3) case $* in "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && cp "$0" "$3/bin/ray" ;; esac ;;
ray) case $* in start*) pwd >>/home/ubuntu/calls ;; esac ;;
esac
"""
STAND_INS = ("sudo", "dpkg-query", "mountpoint", "lsblk", "python3", "apt-get", "cloud-init", "systemctl", "mkfs.ext4",
             "mount")  # fmt: skip
DISK = "/dev/nvme9n1 Amazon EC2 NVMe Instance Storage"


@pytest.fixture
def set_up(tmp_path: Path) -> Any:
    """A function that runs all commands of an AWS machine, on file systems of their own, and returns its calls."""
    if missing := machines.missing():
        pytest.skip(f"cannot isolate the commands of a machine: {missing}")

    def run(of: str, disk: str = DISK, place: str = "", break_at: str | None = None) -> tuple[list[str], Path]:
        home = tmp_path / f"{of}-{len(list(tmp_path.iterdir()))}"
        (home / "bin").mkdir(parents=True)
        for name in STAND_INS:
            (home / "bin" / name).write_text(STAND_IN)
            (home / "bin" / name).chmod(0o755)
        copy_checkout(home / "randwire")
        (home / ".ray").mkdir()
        (home / ".ray" / "auth_token").write_text("0" * 64)
        (home / ".bashrc").write_text("case $- in *i*) ;; *) return;; esac\nexport PATH=/home/ubuntu/bin:$PATH\n")
        for again in (1, 2):  # `ray up` again runs what has been run before
            lines = ["set -e", "mount -t tmpfs none /home", "mount -t tmpfs none /mnt", "mkdir /home/ubuntu",
                     f"mount --bind {shlex.quote(str(home))} /home/ubuntu", "cd /home/ubuntu"]  # fmt: skip
            lines += [f"echo pass {again} >>calls"]
            for command in shell(prepared(AWS), of):
                inside = f"source ~/.bashrc; export OMP_NUM_THREADS=1 PYTHONWARNINGS=ignore && ({command})"
                lines.append(f"bash --login -c -i {shlex.quote(inside)} 2>>/home/ubuntu/errors")
            environment = {"HOME": "/home/ubuntu", "USER": "root", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                           "FAKE_DISK": disk, "FAKE_PLACE": place, "RAY_HEAD_IP": "192.0.2.1"}  # fmt: skip
            done = subprocess.run(
                ["unshare", "-m", "bash", "-c", "\n".join(lines)], env=environment, stdin=subprocess.DEVNULL
            )
            assert done.returncode == 0, (home / "errors").read_text() + (home / "calls").read_text()
        return (home / "calls").read_text().splitlines(), home

    return run


def in_order(calls: list[str], *expected: str) -> None:
    """Assert that calls that begin so were made, in this order."""
    left = iter(calls)
    for start in expected:
        assert any(call.startswith(start) for call in left), (start, calls)


def test_the_commands_set_up_a_worker(set_up: Any) -> None:
    calls, home = set_up("worker")
    in_order(
        calls,
        "pass 1",
        "cloud-init status --wait",
        "systemctl disable --now unattended-upgrades.service",
        "apt-get install -y -qq --no-install-recommends make nfs-common python3-dev python3-venv",
        "apt-get install -y -qq --no-install-recommends libopencv-dev libturbojpeg0-dev pkg-config g++",
        "python3 -m venv /home/ubuntu/randwire-venv",
        "python -m pip install --disable-pip-version-check -r requirements.txt",
        "mount -t nfs4 -o nfsvers=4.1,",
        "mkfs.ext4 -q -F /dev/nvme9n1",
        "mount /dev/nvme9n1 /mnt/nvme",
        "ray stop",
        "ray start --address=192.0.2.1:6379",
        "/home/ubuntu/randwire",
        "pass 2",
    )
    mount = next(call for call in calls if call.startswith("mount -t nfs4"))
    assert mount.endswith(" fs-0123456789abcdef0.efs.us-west-2.amazonaws.com:/ /mnt/shared")
    second = calls[calls.index("pass 2") :]
    assert not [call for call in second if "pip install" in call]
    variables = (home / ".randwire-env").read_text()
    assert variables.rstrip().endswith("export RANDWIRE_CACHE=/mnt/nvme/randwire")
    assert (home / ".bashrc").read_text().count(".randwire-env") == 1
    assert (home / ".ray" / "auth_token").stat().st_mode & 0o777 == 0o600
    assert str((home / "randwire" / "runs").readlink()) == "/mnt/shared/runs"


def test_a_disk_that_is_mounted_already_is_used_and_not_made_anew(set_up: Any) -> None:
    calls, home = set_up("worker", place="/mnt/shared/../dlami")
    assert not [call for call in calls if "mkfs" in call]
    assert "export RANDWIRE_CACHE=/mnt/shared/../dlami/randwire" in (home / ".randwire-env").read_text()


def test_the_commands_set_up_the_head(set_up: Any) -> None:
    calls, home = set_up("head")
    in_order(calls, "apt-get install", "python -m pip install", "mount -t nfs4", "ray stop", "ray start --head")
    assert not [call for call in calls if call.startswith(("mkfs", "lsblk"))]
    assert 'export RANDWIRE_CACHE="$HOME/.cache/randwire"' in (home / ".randwire-env").read_text()


def copy_checkout(folder: Path) -> None:
    """What `ray up` copies to a machine: neither what git ignores, nor git's own folder."""
    listed = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=commands.ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (source := commands.ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / name)


KEY = "sentinel0key0" + "b" * 27
# Of one CPU each, on two machines with two CPUs: they need both.
RANKS = 3
# In the place of the README's options, which want GPUs.
SMALL = (
    f"--no-open --workers {RANKS} --settings 1 --seeds 1 "
    f"{' '.join(commands.TINY)} --train.epochs 2 --train.batch_size {16 * RANKS}"
)
(BLOCK,) = re.findall(r"^## On a cluster$.*?^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
# The commands of the README, on the cluster of this test: each of them is run below.
LINES: dict[str, str] = {line: line.replace("cluster.yaml", "cluster-own.yaml") for line in BLOCK.splitlines()}


class Own:
    """Machines brought up with cluster-own.yaml."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        unpack = ["sh", str(commands.ROOT / ".ci" / "ssh-server"), os.environ["RANDWIRE_CACHE"] + "/ssh"]
        done = subprocess.run(unpack, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no ssh server, and none can be had: {done.stderr.strip()}")
        shutil.copytree(unpack[-1], folder / "ssh", symlinks=True)
        self.laptop, self.head, self.worker = (folder / name for name in machines.NAMES)
        self.left = dict(LINES)
        copy_checkout(self.laptop / "randwire")
        self._edit()
        (folder / "shared").mkdir()
        ssh = self.laptop / "home" / ".ssh"
        ssh.mkdir(parents=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(ssh / "randwire")], check=True)
        for machine in (self.head, self.worker):
            self._prepare(machine / "home", (ssh / "randwire.pub").read_text())
        self.machines = machines.Machines(folder)

    def _edit(self) -> None:
        file = self.laptop / "randwire" / OWN.name
        text = file.read_text()
        for known, here in {
            "head_ip: 192.0.2.1 ": f"head_ip: {machines.ADDRESSES['head']} ",
            "[192.0.2.2, 192.0.2.3]": f"[{machines.ADDRESSES['worker']}]",
            "/mnt/shared": f"{machines.INSIDE}/shared",
            "ssh_user: randwire": "ssh_user: root",
            "ray start --head": "ray start --num-cpus=2 --head",
            "ray start --address": "ray start --num-cpus=2 --address",
        }.items():
            assert text.count(known) == 1
            text = text.replace(known, here)
        file.write_text(text)

    def _prepare(self, home: Path, key: str) -> None:
        """A home in which packages and environment are there already: nothing is downloaded in this test."""
        venv = home / "randwire-venv"
        for folder in (venv, home / "bin", home / ".ssh"):
            folder.mkdir(parents=True)
        (home / ".ssh" / "authorized_keys").write_text(key)
        for name in ("bin", "lib", "pyvenv.cfg"):
            (venv / name).symlink_to(Path(sys.prefix) / name)
        for stamp in (".system", ".runtime"):
            (venv / stamp).touch()
        (home / "bin" / "dpkg-query").write_text("#!/bin/sh\necho install ok installed\n")
        (home / "bin" / "dpkg-query").chmod(0o755)
        # The environment's randwire is wherever it was installed from; this is the copy that `ray up` makes.
        lines = 'export PATH="$HOME/bin:$PATH" PYTHONPATH="$HOME/randwire" PYTHONDONTWRITEBYTECODE=1\n'
        # `ray down` stops Ray on the head; the others end when they have missed it for this long: by default a minute.
        lines += "export RAY_gcs_rpc_server_reconnect_timeout_s=10\n"
        (home / ".bashrc").write_text(lines)

    def run(self, command: str, returns: int | None = 0, **environment: str) -> str:
        """What a command on the laptop prints."""
        began = time.monotonic()
        done = subprocess.run(
            self.machines.laptop(command, **environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=200,
        )  # fmt: skip
        print(f"{command}: {done.returncode} after {time.monotonic() - began:.1f} s\n{done.stdout}")
        assert returns is None or done.returncode == returns
        return done.stdout

    def readme(self, start: str) -> str:
        """The command of the README that begins so, as it can be run here."""
        (line,) = (line for line in self.left if line.startswith(start))
        here: str = self.left.pop(line)
        here = here.replace("ray up ", "ray up -y ").replace("ray down ", "ray down -y ")
        return here.replace("--concurrent 2 --workers 4 --runtime.device cuda", SMALL)

    def awaited(self, condition: Callable[[], object], seconds: float = 150) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "timed out"
            time.sleep(0.2)

    def ray_processes(self) -> list[str]:
        """Ray's processes on these machines, without its agents: they look for their machine's raylet once a minute."""
        found = []
        for process in psutil.Process(self.machines.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                line = " ".join(process.cmdline())
                if re.search(r"ray::(?!DashboardAgent|RuntimeEnvAgent)|raylet|gcs_server|ray/dashboard", line):
                    found.append(line)
        return found

    @property
    def job_log(self) -> str:
        """What the submitted job has printed. (Not by `session_latest`: it leads to this machine's own /tmp.)"""
        logs = (self.head / "tmp" / "ray").glob("session_2*/logs/job-driver-*.log")
        return "".join(log.read_text() for log in logs)

    @property
    def states(self) -> Mapping[str, str]:
        """What Ray's autoscaler on the head knows of the machines."""
        try:
            nodes = json.loads((self.head / "tmp" / "ray" / "cluster-randwire-own.state").read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return {address: node["tags"].get("ray-node-status", "") for address, node in nodes.items()}


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


@pytest.mark.timeout(600)
def test_jobs_are_taken_with_the_token_alone_and_go_on_without_the_laptop(own: Own) -> None:
    tunnel = subprocess.Popen(own.machines.laptop(own.readme("ray dashboard")), stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    probe = f"python -c {shlex.quote(PROBE)} {machines.ADDRESSES['head']}"
    own.awaited(lambda: subprocess.run(own.machines.laptop("exec 3<>/dev/tcp/127.0.0.1/8265"),
                                       stderr=subprocess.DEVNULL).returncode == 0, 60)  # fmt: skip
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
    submitted = own.run(own.readme("ray exec cluster.yaml 'ray job submit"))
    assert SMALL in submitted
    assert "submitted successfully" in submitted
    for process in psutil.Process(tunnel.pid).children(recursive=True):
        process.terminate()
    tunnel.wait(20)

    study = own.folder / "shared" / "runs" / "generators"
    own.awaited(lambda: "report.html" in own.job_log or "error" in own.job_log, 300)
    print(own.job_log)
    # Ray needs a moment to notice that the job has ended.
    ended = 'timeout 90 bash -c "until ray job list | grep -o JobStatus.SUCCEEDED; do sleep 1; done"'
    told = own.run(own.readme("ray exec cluster.yaml 'cd randwire").removesuffix("'") + f" && {ended}'")
    assert "1 finished; all has ended" in told
    assert "JobStatus.SUCCEEDED" in told
    (record,) = find(study)
    environment = record.read_json("environment.json")
    assert environment["world_size"] == RANKS
    assert (study / "report.html").is_file()
    assert not (study / ".ray").exists()
    own.run(own.readme("ray rsync-down"))
    fetched = own.laptop / "randwire" / "runs" / "generators"
    assert (fetched / "report.html").read_bytes() == (study / "report.html").read_bytes()
    assert find(fetched)[0].metrics() == record.metrics()


def test_the_key_of_wandb_is_on_the_head_alone(own: Own) -> None:
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
    assert len(own.ray_processes()) > 4
    own.run(own.readme("ray down"))
    own.awaited(lambda: not own.ray_processes(), 60)
    assert not own.left, "commands of the README that were not run"
