"""A cluster of cluster/own.yaml, on the machines of `machines`, and the commands of the README for it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import commands
import machines
import psutil
import pytest

OWN = commands.ROOT / "cluster/own.yaml"
README = (commands.ROOT / "README.md").read_text()

KEY = "sentinel0key0" + "b" * 27
# Of one CPU each, on two machines with two CPUs: they need both.
RANKS = 3
# Instead of the README's options, which want GPUs.
SMALL = (
    f"--no-open --workers {RANKS} --settings 1 --seeds 1 "
    f"{' '.join(commands.TINY)} --train.epochs 2 --train.batch_size {16 * RANKS}"
)
(BLOCK,) = re.findall(r"^## On a cluster$.*?^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
# The commands of the README, on the cluster of this test: each of them is run below.
LINES: dict[str, str] = {line: line.replace("cluster.yaml", "cluster/own.yaml") for line in BLOCK.splitlines()}


class Own:
    """Machines brought up with cluster/own.yaml."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        unpack = ["sh", str(commands.ROOT / ".ci" / "ssh-server"), os.environ["RANDWIRE_CACHE"] + "/ssh"]
        done = subprocess.run(unpack, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no ssh server, and none can be had: {done.stderr.strip()}")
        shutil.copytree(unpack[-1], folder / "ssh", symlinks=True)
        self.laptop, self.head, self.worker = (folder / name for name in machines.NAMES)
        machines.copy_checkout(self.laptop / "randwire")
        self._edit()
        (folder / "shared").mkdir()
        ssh = self.laptop / "home" / ".ssh"
        ssh.mkdir(parents=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(ssh / "randwire")], check=True)
        for machine in (self.head, self.worker):
            self._prepare(machine / "home", (ssh / "randwire.pub").read_text())
        self.machines = machines.Machines(folder)

    def _edit(self) -> None:
        file = self.laptop / "randwire" / OWN.relative_to(commands.ROOT)
        text = file.read_text()
        for documented, here in {
            "head_ip: 192.0.2.1 ": f"head_ip: {machines.ADDRESSES['head']} ",
            "[192.0.2.2, 192.0.2.3]": f"[{machines.ADDRESSES['worker']}]",
            "/mnt/shared": f"{machines.INSIDE}/shared",
            "ssh_user: randwire": "ssh_user: root",
            "ray start --head": "ray start --num-cpus=2 --head",
            "ray start --address": "ray start --num-cpus=2 --address",
        }.items():
            assert text.count(documented) == 1
            text = text.replace(documented, here)
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
        (here,) = (run for line, run in LINES.items() if line.startswith(start))
        here = here.replace("ray up ", "ray up -y ").replace("ray down ", "ray down -y ")
        return here.replace("--concurrent 2 --workers 4 --runtime.device cuda", SMALL)

    def awaited(self, condition: Callable[[], object], seconds: float = 150) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "timed out"
            time.sleep(0.2)

    def ray_processes(self) -> list[str]:
        """Ray's processes on these machines, without its agents: they look for their machine's raylet once a minute."""
        lines = []
        for process in psutil.Process(self.machines.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                line = " ".join(process.cmdline())
                if re.search(r"ray::(?!DashboardAgent|RuntimeEnvAgent)|raylet|gcs_server|ray/dashboard", line):
                    lines.append(line)
        return lines

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
