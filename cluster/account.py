"""What cluster.yaml needs in an AWS account, made once: a security group, a file system, and roles for its machines.

python cluster/account.py --ssh-from 203.0.113.7 --bucket NAME    prints the three lines to edit in cluster.yaml

Called again, it makes what is missing, lets the new address in too, and changes nothing else. It acts with the
credentials that boto3 finds, in the default network of the region.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import boto3  # type: ignore[import-untyped]

NAME = "randwire"
"""Of the cluster, the group, the file system, and with -head and -worker of roles and profiles; as in cluster.yaml."""


def security_group(ec2: Any, vpc: str, ssh_from: str) -> str:
    """The id of a group that lets in ssh from an address, everything from its own members, and nothing else."""
    filters = [{"Name": "group-name", "Values": [NAME]}, {"Name": "vpc-id", "Values": [vpc]}]
    groups = ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
    if groups:
        group, rules = groups[0]["GroupId"], groups[0]["IpPermissions"]
    else:
        group = ec2.create_security_group(GroupName=NAME, Description="randwire cluster", VpcId=vpc)["GroupId"]
        rules = []
    pairs = {pair["GroupId"] for rule in rules for pair in rule["UserIdGroupPairs"]}
    ranges = {each["CidrIp"] for rule in rules for each in rule["IpRanges"]}
    missing: list[dict[str, Any]] = []
    if group not in pairs:
        missing.append({"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]})
    if ssh_from not in ranges:
        missing.append({"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": ssh_from}]})
    if missing:
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=missing)
    return str(group)


def file_system(efs: Any, subnets: Mapping[str, str], group: str) -> str:
    """The id of an encrypted EFS that machines of the group reach from every zone; `subnets` has one for each."""
    systems = efs.describe_file_systems(CreationToken=NAME)["FileSystems"]
    if not systems:
        tags = [{"Key": "Name", "Value": NAME}]
        systems = [efs.create_file_system(CreationToken=NAME, Encrypted=True, ThroughputMode="elastic", Tags=tags)]
    system = str(systems[0]["FileSystemId"])
    while efs.describe_file_systems(FileSystemId=system)["FileSystems"][0]["LifeCycleState"] != "available":
        time.sleep(2)
    targets = efs.describe_mount_targets(FileSystemId=system)["MountTargets"]
    served = {target["AvailabilityZoneName"] for target in targets}
    for zone, subnet in subnets.items():
        if zone not in served:
            efs.create_mount_target(FileSystemId=system, SubnetId=subnet, SecurityGroups=[group])
    return system


def statements(kind: str, account: str, bucket: str | None) -> list[dict[str, Any]]:
    """What a machine may do: a worker reads the bucket; the head writes there too, and starts and ends workers."""
    allowed: list[dict[str, Any]] = []
    if bucket:
        objects = ["s3:GetObject"] + (["s3:PutObject"] if kind == "head" else [])
        allowed += [
            {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": f"arn:aws:s3:::{bucket}"},
            {"Effect": "Allow", "Action": objects, "Resource": f"arn:aws:s3:::{bucket}/*"},
        ]
    if kind == "head":
        own = {"StringEquals": {"ec2:ResourceTag/ray-cluster-name": NAME}}
        allowed += [
            {"Effect": "Allow", "Action": ["ec2:Describe*", "ec2:RunInstances", "ec2:CreateTags"], "Resource": "*"},
            {"Effect": "Allow", "Action": ["ec2:TerminateInstances"], "Resource": "*", "Condition": own},
            {"Effect": "Allow", "Action": "iam:PassRole", "Resource": f"arn:aws:iam::{account}:role/{NAME}-worker"},
            # The images of cluster.yaml are names that stand for the newest one.
            {"Effect": "Allow", "Action": "ssm:GetParameters", "Resource": "arn:aws:ssm:*::parameter/aws/service/*"},
        ]
    return allowed


def role(iam: Any, kind: str, account: str, bucket: str | None) -> None:
    """A role with an instance profile of the same name."""
    name = f"{NAME}-{kind}"
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    with suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=_document([trust]))
    with suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_instance_profile(InstanceProfileName=name)
    if allowed := statements(kind, account, bucket):
        iam.put_role_policy(RoleName=name, PolicyName=NAME, PolicyDocument=_document(allowed))
    if not iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Roles"]:
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)


def spot_role(iam: Any) -> None:
    """The role by which EC2 manages spot machines: the head may not make it, and without it no spot machine starts."""
    taken = (iam.exceptions.InvalidInputException, iam.exceptions.EntityAlreadyExistsException)
    with suppress(*taken):
        iam.create_service_linked_role(AWSServiceName="spot.amazonaws.com")


def _document(allowed: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": allowed})


def _address(text: str) -> str:
    network = ipaddress.IPv4Network(text)
    if network.prefixlen < 16:
        raise argparse.ArgumentTypeError(f"{text} lets too many in; give your own address")
    return str(network)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="cluster/account.py", description=__doc__.partition("\n")[0])
    parser.add_argument("--region", default="us-west-2", help="[us-west-2]")
    parser.add_argument("--ssh-from", type=_address, required=True, metavar="ADDRESS", help="who may connect: you")
    parser.add_argument("--bucket", metavar="NAME", help="an S3 bucket that holds data sets")
    options = parser.parse_args(arguments)

    ec2, efs, iam, sts = (boto3.client(name, region_name=options.region) for name in ("ec2", "efs", "iam", "sts"))
    vpcs = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    if not vpcs:
        print(f"error: {options.region} has no default network; make one: aws ec2 create-default-vpc", file=sys.stderr)
        return 2
    vpc = vpcs[0]["VpcId"]
    in_vpc = [{"Name": "vpc-id", "Values": [vpc]}]
    subnets = {each["AvailabilityZone"]: each["SubnetId"] for each in ec2.describe_subnets(Filters=in_vpc)["Subnets"]}
    group = security_group(ec2, vpc, options.ssh_from)
    system = file_system(efs, subnets, group)
    for kind in ("head", "worker"):
        role(iam, kind, sts.get_caller_identity()["Account"], options.bucket)
    spot_role(iam)
    print(f"region: {options.region}")
    print(f"SecurityGroupIds: [{group}]")
    print(f"RANDWIRE_EFS={system}.efs.{options.region}.amazonaws.com")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
