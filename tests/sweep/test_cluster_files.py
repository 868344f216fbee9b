"""The cluster files: read by Ray and by AWS's own client, and their commands run with stand-ins."""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import commands
import machines
import pytest
import yaml
from moto import mock_aws
from own_cluster import LINES
from ray.autoscaler._private.aws import config as ray_aws
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil

from cluster import account
from randwire.sweep import Cluster
from randwire.sweep.autoscaler import machines_of
from randwire.sweep.places import Machines, places

AWS, OWN = commands.ROOT / "cluster.yaml", commands.ROOT / "cluster/own.yaml"
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
    venv = "/nonexistent/venv"
    make = subprocess.run(["make", "-n", "-C", str(commands.ROOT), f"VENV={venv}", f"{venv}/.runtime"], check=True,
                          capture_output=True, text=True).stdout  # fmt: skip
    assert "sh .ci/system-packages libopencv-dev libturbojpeg0-dev pkg-config" in make
    assert f"{venv}/bin/python -m pip install --disable-pip-version-check -r requirements.txt" in make


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


def test_each_command_of_the_readme_for_a_cluster_is_run_on_one() -> None:
    run = re.findall(r'\.readme\("([^"]*)"', Path(__file__).with_name("test_own_cluster.py").read_text())
    assert len(LINES) == 8
    for line in LINES:
        assert len([start for start in run if line.startswith(start)]) == 1, line


def launched(availabilities: Mapping[str, float], gpus: int) -> dict[str, int]:
    """What Ray's autoscaler launches for trials of four ranks, which get what a sweep gives them there."""
    prepared_file = prepared(AWS)
    config = AutoscalingConfig(prepared_file, skip_content_hash=True)
    each = places(Cluster("10.0.0.1:6379", workers=4), "cuda", 64, Machines([], machines_of(prepared_file)))
    assert (each.cpus_per_worker, each.settings) == (12, 2)
    ranks = [ResourceRequestUtil.make({"CPU": each.cpus_per_worker, "GPU": 1}) for _ in range(gpus)]
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

    In an account made ready by cluster/account.py, with the lines that it prints.
    """
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with mock_aws():
        ec2 = boto3.resource("ec2", region_name="us-west-2")
        iam = boto3.client("iam", region_name="us-west-2")
        for _ in range(2):  # the second time finds all that the first has made
            assert account.main(["--ssh-from", "203.0.113.7", "--bucket", "sets"]) == 0
        region, group, efs = capsys.readouterr().out.splitlines()[:3]
        text = AWS.read_text()
        for start, line in (("region: ", region), ("SecurityGroupIds: ", group), ("RANDWIRE_EFS=", efs)):
            values = re.findall(rf"{start}(?:&security )?([^' #]+)(?='.*EDIT| # EDIT)", text)
            assert len(values) == 1
            text = text.replace(values[0], line.removeprefix(start))
        edited = tmp_path / "cluster.yaml"
        edited.write_text(text)
        for cache in (ray_aws._get_vpc_id_of_sg, ray_aws._resource, ray_aws._client):
            getattr(cache, "cache_clear", lambda: None)()
        config = ray_aws.bootstrap_aws(prepared(edited))  # type: ignore[no-untyped-call]
        provider = AWSNodeProvider(config["provider"], config["cluster_name"])  # type: ignore[no-untyped-call]
        launched_as: dict[str, Any] = {"config": config}
        asked: list[dict[str, Any]] = []
        provider.ec2_fail_fast.meta.client.meta.events.register(
            "provide-client-params.ec2.RunInstances", lambda params, **_: asked.append(params)
        )
        for name, kind in config["available_node_types"].items():
            provider.create_node(kind["node_config"], {"ray-user-node-type": name, "ray-node-name": name}, 1)
            launched_as[name] = asked.pop()
        launched_as["instances"] = {
            next(tag["Value"] for tag in instance.tags if tag["Key"] == "ray-user-node-type"): instance
            for instance in ec2.instances.all()
        }
        launched_as["groups"] = {each.group_name: each for each in ec2.security_groups.all()}
        launched_as["roles"] = {role["RoleName"] for role in iam.list_roles()["Roles"]}
        launched_as["policies"] = {
            name: iam.get_role_policy(RoleName=name, PolicyName="randwire")["PolicyDocument"]["Statement"]
            for name in ("randwire-head", "randwire-worker")
        }
        client = boto3.client("efs", region_name="us-west-2")
        (launched_as["efs"],) = client.describe_file_systems()["FileSystems"]
        targets = client.describe_mount_targets(FileSystemId=launched_as["efs"]["FileSystemId"])["MountTargets"]
        launched_as["mounted"] = {target["AvailabilityZoneName"] for target in targets}
        launched_as["zones"] = {subnet.availability_zone for subnet in ec2.subnets.all()}
        yield launched_as


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
        account.main(["--ssh-from", "0.0.0.0/0"])
    assert "lets too many in" in capsys.readouterr().err


# What runs in place of commands that would change the machine or download: each call is a line of $HOME/calls.
STAND_IN = r"""#!/bin/bash
name=$(basename "$0")
echo "$name $*" >>/home/ubuntu/calls
case $name in
sudo | env) exec "$@" ;;
dpkg-query | mountpoint) exit 1 ;;
lsblk) case $* in *MODEL*) echo "/dev/root Elastic Block Store"; echo "$FAKE_DISK" ;; *) echo "$FAKE_MOUNT" ;; esac ;;
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

    def run(of: str, disk: str = DISK, mounted_at: str = "", break_at: str | None = None) -> tuple[list[str], Path]:
        home = tmp_path / f"{of}-{len(list(tmp_path.iterdir()))}"
        (home / "bin").mkdir(parents=True)
        for name in STAND_INS:
            (home / "bin" / name).write_text(STAND_IN)
            (home / "bin" / name).chmod(0o755)
        machines.copy_checkout(home / "randwire")
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
                           "FAKE_DISK": disk, "FAKE_MOUNT": mounted_at, "RAY_HEAD_IP": "192.0.2.1"}  # fmt: skip
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
    calls, home = set_up("worker", mounted_at="/mnt/shared/../dlami")
    assert not [call for call in calls if "mkfs" in call]
    assert "export RANDWIRE_CACHE=/mnt/shared/../dlami/randwire" in (home / ".randwire-env").read_text()


def test_the_commands_set_up_the_head(set_up: Any) -> None:
    calls, home = set_up("head")
    in_order(calls, "apt-get install", "python -m pip install", "mount -t nfs4", "ray stop", "ray start --head")
    assert not [call for call in calls if call.startswith(("mkfs", "lsblk"))]
    assert 'export RANDWIRE_CACHE="$HOME/.cache/randwire"' in (home / ".randwire-env").read_text()
