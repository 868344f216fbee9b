"""SLURM's commands as far as cluster/slurm.sh and its page use them: what they start, they start on this machine.

They show that the script hands on what it should, at the right times, and cleans up. They do not show that a real SLURM
accepts the directives, binds CPUs and GPUs, or sends signals when it should.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

SRUN = """#!/bin/bash
# Starts the command once for each machine, and hands on signals to all of them.
echo "srun $*" >>"$FAKE_SLURM/calls"
while [[ $1 == -* ]]; do
    case $1 in --nodes=*) nodes=${1#*=} ;; esac
    shift
done
pids=()
for ((node = 0; node < nodes; node++)); do
    SLURM_STEP_ID=0 SLURM_NODEID=$node SLURM_PROCID=$node SLURM_STEP_TASKS_PER_NODE="1(x$nodes)" "$@" &
    pids+=($!)
done
trap 'kill -TERM "${pids[@]}" 2>/dev/null' TERM INT
for pid in "${pids[@]}"; do
    while kill -0 "$pid" 2>/dev/null; do wait "$pid"; done
done
"""
SCONTROL = """#!/bin/bash
echo "scontrol $*" >>"$FAKE_SLURM/calls"
case "$1 $2" in
"show hostnames") for _ in $(seq "$SLURM_JOB_NUM_NODES"); do hostname; done ;;
requeue*) echo "$2" >"$FAKE_SLURM/requeued" ;;
esac
"""
SBATCH = """#!/bin/bash
# Starts the script of a job, with the variables that SLURM sets from its directives and options.
nodes=$(sed -n 's/^#SBATCH --nodes=//p' cluster/slurm.sh)
while [[ $1 == -* ]]; do
    case $1 in --nodes=*) nodes=${1#*=} ;; esac
    shift
done
export SLURM_JOB_ID=$FAKE_JOB SLURM_JOB_NUM_NODES=$nodes SLURM_JOB_NODELIST="machine[1-$nodes]" SLURM_NODEID=0
export SLURM_CPUS_PER_TASK=1 SLURM_CPUS_ON_NODE=1 SLURM_TASKS_PER_NODE="1(x$nodes)" SLURM_MEM_PER_NODE=4096
if test -e "$FAKE_SLURM/requeued"; then export SLURM_RESTART_COUNT=1; fi
cp "$1" "$FAKE_SLURM/slurm_script" # it runs from the spool of the machine
shift
setsid bash "$FAKE_SLURM/slurm_script" "$@" >>"slurm-$FAKE_JOB.log" 2>&1 </dev/null &
echo $! >"$FAKE_SLURM/pid"
echo "Submitted batch job $FAKE_JOB"
"""
SCANCEL = """#!/bin/bash
name=TERM
for word in "$@"; do case $word in --signal=*) name=${word#*=} ;; esac; done
kill -s "$name" "$(cat "$FAKE_SLURM/pid")"
"""
SQUEUE = """#!/bin/bash
kill -0 "$(cat "$FAKE_SLURM/pid")" 2>/dev/null && echo "$FAKE_JOB randwire R"
exit 0
"""
COMMANDS: Mapping[str, str] = {
    "srun": SRUN, "scontrol": SCONTROL, "sbatch": SBATCH, "scancel": SCANCEL, "squeue": SQUEUE,
}  # fmt: skip


class FakeSlurm:
    """SLURM's commands, and a checkout of the repository in which they are given. There is one job."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.state, self.checkout = folder / "slurm", folder / "checkout"
        self.job = str(random.randrange(10**6, 10**7))
        programs = self.state / "bin"
        programs.mkdir(parents=True)
        self.checkout.mkdir()
        for name in ("studies", "cluster"):
            (self.checkout / name).symlink_to(root / name)
        for name, text in COMMANDS.items():
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "SLURM_"))}
        self.environment = {
            **kept,
            "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "FAKE_SLURM": str(self.state),
            "FAKE_JOB": self.job,
            "RANDWIRE_PYTHON": sys.executable,
            "PYTHONPATH": str(root),
        }

    def call(self, command: str, *more: str) -> str:
        """What a command says, of which the exit code is 0."""
        words = [*command.split(), *more]
        done = subprocess.run(words, cwd=self.checkout, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def calls(self) -> list[str]:
        """The calls of srun and scontrol so far."""
        return (self.state / "calls").read_text().splitlines()

    def log(self) -> str:
        """What the job has said."""
        file = self.checkout / f"slurm-{self.job}.log"
        return file.read_text() if file.exists() else ""

    def runs(self) -> bool:
        return bool(self.call("squeue --me"))

    def await_end(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.runs():
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.2)

    def kill(self) -> None:
        """End the job and what it has started, if it runs: its session."""
        if (self.state / "pid").exists() and self.runs():
            os.killpg(int((self.state / "pid").read_text()), signal.SIGKILL)
        for folder in self.temporary():
            shutil.rmtree(folder)

    def temporary(self) -> list[Path]:
        """Ray's folders of the job, one on each machine."""
        return list(Path("/tmp").glob(f"randwire-slurm-{self.job}-*"))
