"""A race on a real cluster: interrupted, it goes on with the rounds and trainings of an undisturbed one."""

import signal
from pathlib import Path

import commands
import pytest
import yaml
from study_helpers import command

from randwire.records import find_records
from randwire.study import race
from randwire.study.design import Design

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

ONLY = ("ws:k=4,p=0", "ba:m=2", "er:p=0.4")
DOTTED = {
    **{key.removeprefix("--"): value for key, value in zip(commands.TINY[::2], commands.TINY[1::2], strict=True)},
    "train.epochs": "1", "train.warmup_epochs": "0", "runtime.wandb": "disabled",
}  # fmt: skip
KEYS = (
    "--name", "race", "--search", "race", *(word for spec in ONLY for word in ("--only", spec)),
    *(word for key, value in DOTTED.items() for word in (f"--{key}", value)),
)  # fmt: skip
TRAININGS = 3 + 2


def rounds(output: Path) -> list[race.Round]:
    values = {**{key: yaml.safe_load(value) for key, value in DOTTED.items()}, "runtime.output": str(output)}
    return race.rounds(Design.load("digits", values, name="race", search="race", only=ONLY))


def digests(output: Path) -> set[str]:
    return {record.folder.name for record in find_records(output / "race") if record.summary()}


def test_an_interrupted_race_goes_on_with_the_same_rounds(tmp_path: Path) -> None:
    struck, undisturbed = tmp_path / "struck", tmp_path / "undisturbed"
    keys = (
        "studies/generators.py",
        "sweep",
        "--no-open",
        "--workers",
        "1",
        "--concurrent",
        "1",
        *KEYS,
        "--runtime.output",
        str(struck),
    )
    process = commands.popen(keys)
    commands.await_that(lambda: len(find_records(struck / "race")) > 3, process)  # the second round has begun
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130, stderr
    assert "round 1 of 2: 3 settings, 1 graph seed each" in stderr
    assert 3 <= len(digests(struck)) < TRAININGS
    before = rounds(struck)
    done = commands.run(*keys)
    assert done.returncode == 0, done.stderr
    assert "round 2 of 2: 2 settings, 2 graph seeds each" in done.stderr
    assert "round 1" not in done.stderr
    for number in range(1, TRAININGS + 1):  # one by one in this process
        assert command("trial", str(number), *KEYS, "--runtime.output", str(undisturbed)) == 0
    assert rounds(struck) == rounds(undisturbed)
    assert [each.specs for each in before] == [each.specs for each in rounds(undisturbed)]
    assert digests(struck) == digests(undisturbed)
    assert len(digests(struck)) == TRAININGS
