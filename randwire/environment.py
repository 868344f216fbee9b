"""Where a run happened: commit, versions, hardware and command line."""

import json
import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

import torch

from randwire import machine
from randwire.training import gpus
from randwire.training.precision import in_force
from randwire.training.worker import Worker

PACKAGES = ("torch", "ray", "optuna", "wandb", "networkx", "ffcv", "numba", "numpy", "scikit-learn", "pytorchcv")


def environment(worker: Worker, command: str) -> dict[str, Any]:
    """Commit, versions, hardware and command line of this process; never an environment variable.

    `cuda` has the versions beneath PyTorch, and `arithmetic` what fp32 numbers are multiplied in now: None on a CPU.
    """
    commit, dirty = _commit()
    gpu = worker.device.type == "cuda"
    return {
        "commit": commit,
        "dirty": dirty,
        "packages": {name: _version(name) for name in PACKAGES},
        "hardware": {
            "cpu": _cpu(),
            "cores": machine.cpus(),
            "gpu": torch.cuda.get_device_name(worker.device) if gpu else None,
            "gpu_share": worker.gpu_share if gpu else None,
        },
        "cuda": {**gpus.versions(), "Triton": _version("triton")} if gpu else None,
        "arithmetic": in_force(worker.device),
        "python": platform.python_version(),
        "world_size": worker.world_size,
        "command": command or shlex.join(sys.argv),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> tuple[str | None, bool | None]:
    """The commit of this package, and whether its tracked files have changes; None for what is not known.

    A copy that lies in the repository of another project without being part of it, such as an installed one, is of no
    commit of that repository.
    """
    if _git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return _installed_commit(), None
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return _git("rev-parse", "HEAD"), None if changes is None else bool(changes)


def _installed_commit() -> str | None:
    """The commit that pip installed this copy from, if it was from a repository."""
    try:
        installed = distribution("randwire")
        if Path(str(installed.locate_file("randwire"))).resolve() != Path(__file__).resolve().parent:
            return None
        origin = json.loads(installed.read_text("direct_url.json") or "{}")
        return str(origin["vcs_info"]["commit_id"])
    except (PackageNotFoundError, ValueError, KeyError, TypeError, OSError):
        return None


def _git(*arguments: str) -> str | None:
    """What git says in the folder of this file; None if it fails."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}  # of another repository
    try:
        done = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=10,
            check=True,
            env=own,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
