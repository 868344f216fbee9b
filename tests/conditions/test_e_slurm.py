"""Limits of the machine: the page on SLURM, command by command, with stand-ins for SLURM's programs."""

import json
import re
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import commands
import psutil
import pytest
from fake_slurm import FakeSlurm

from randwire.records import find_records

PAGE = (commands.ROOT / "docs" / "slurm.md").read_text()
LINES = [line for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S) for line in block.splitlines()]
FIRST, QUEUE, STATUS, REQUEUE, AGAIN, CANCEL = LINES
SMALL = (
    "--settings", "1", "--seeds", "1", "--generators", "ws", "--train.epochs", "40", "--runtime.wandb", "disabled",
    *commands.TINY,
)  # fmt: skip
"""Long enough to be interrupted, after the options of the page."""


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[FakeSlurm]:
    slurm = FakeSlurm(tmp_path, commands.ROOT)
    yield slurm
    slurm.kill()


def until(condition: Callable[[], object], slurm: FakeSlurm) -> None:
    deadline = time.monotonic() + 2 * commands.PATIENCE  # two clusters start, one after the other
    while not condition():
        assert slurm.runs(), slurm.log()
        assert time.monotonic() < deadline, slurm.log()
        time.sleep(0.1)


def rows(study: Path) -> int:
    return sum(len(record.metrics()) for record in find_records(study))


def left(slurm: FakeSlurm) -> list[object]:
    """Processes, folders and tokens that a job has left."""
    processes = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("FAKE_SLURM") == str(slurm.state) and process.status() != psutil.STATUS_ZOMBIE:
                processes.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    _, alive = psutil.wait_procs(processes, timeout=30)
    return [*alive, *slurm.temporary(), *(slurm.checkout / "runs").glob(".slurm-*")]


@pytest.mark.cluster
@pytest.mark.timeout(900)
@pytest.mark.condition("E", "SLURM: the time of a job is over in mid-training, and it is cancelled later",
                       "both end cleanly, and the study goes on where it was; nothing is left")  # fmt: skip
def test_a_job_of_slurm_goes_on_where_it_was(slurm: FakeSlurm) -> None:
    assert slurm.call(FIRST, *SMALL) == f"Submitted batch job {slurm.job}\n"
    study = slurm.checkout / "runs" / "generators"
    until(lambda: study.exists() and rows(study) >= 2, slurm)
    assert slurm.job in slurm.call(QUEUE)
    (private,) = (slurm.checkout / "runs").glob(f".slurm-{slurm.job}.*")
    (temporary,) = slurm.temporary()
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (private, private / "token", temporary)]
    assert modes == [0o700, 0o600, 0o700]
    assert "running" in slurm.call(STATUS)

    slurm.call(REQUEUE)
    slurm.await_end(commands.PATIENCE)
    trained = rows(study)
    assert slurm.calls()[-1] == f"scontrol requeue {slurm.job}"
    assert "interrupted; the same command goes on" in slurm.log()
    assert left(slurm) == []

    slurm.call(AGAIN, *SMALL, "--workers", "1")  # of the one machine
    until(lambda: rows(study) >= trained + 2, slurm)
    slurm.call(CANCEL)
    slurm.await_end(commands.PATIENCE)
    assert left(slurm) == []
    assert len([call for call in slurm.calls() if call.startswith("srun")]) == 2
    assert len([call for call in slurm.calls() if call.startswith("scontrol requeue")]) == 1
    assert "Traceback" not in slurm.log()
    (record,) = find_records(study)
    epochs = [row["epoch"] for row in record.metrics()]
    assert epochs == list(range(1, len(epochs) + 1))
    parts = json.loads((record.folder / "environment.json").read_text())
    assert [part["world_size"] for part in parts] == [2, 1]


@pytest.mark.condition("E", "SLURM: the script outside of a job, or of the repository", "one line, exit code 2")
def test_the_script_of_slurm_says_what_is_missing(slurm: FakeSlurm, tmp_path: Path) -> None:
    script = commands.ROOT / "cluster" / "slurm.sh"
    for folder, job, said in (
        (slurm.checkout, "", "this is a batch script of SLURM: sbatch cluster/slurm.sh"),
        (tmp_path, "1", f"studies/generators.py is not below {tmp_path}: give the command in the repository"),
    ):
        done = subprocess.run(
            ["bash", str(script)],
            cwd=folder,
            env={**slurm.environment, "SLURM_JOB_ID": job},
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {said}\n")
    assert {path.name for path in slurm.checkout.iterdir()} == {"studies", "cluster"}


def test_the_script_asks_slurm_for_what_the_page_says() -> None:
    text = (commands.ROOT / "cluster" / "slurm.sh").read_text()
    directives = dict(re.findall(r"^#SBATCH --([\w-]+)(?:=(.*))?$", text, re.MULTILINE))
    assert directives["signal"] == "B:USR1@120"
    assert "requeue" in directives
    assert directives["ntasks-per-node"] == "1"
    assert "--signal=B:USR1@120" in PAGE
    named = set(re.findall(r"\bRANDWIRE_[A-Z_]+(?=:-|=\$\{)", text)) & {"RANDWIRE_STUDY", "RANDWIRE_PYTHON"}
    assert named == {"RANDWIRE_STUDY", "RANDWIRE_PYTHON"}
    assert set(re.findall(r"\$\{(RANDWIRE_\w+):-", text)) == set(
        re.findall(r"^\| `(RANDWIRE_\w+)`", PAGE, re.MULTILINE)
    )


@pytest.mark.condition("E", "SLURM: no head answers where machines are to join", "one line, exit code 2")
def test_machines_are_not_awaited_for_ever() -> None:
    done = commands.run("-m", "randwire.sweep.machines", "127.0.0.1:1", "2", "0.5")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: --address: nothing can be reached at 127.0.0.1:1")
