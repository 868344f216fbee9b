"""The rows of "Reproducing the paper" in the README: each can be run, and takes the trainings and GPU-hours it says."""

import json
import re
import shlex
from pathlib import Path

import commands
import pytest
from study_helpers import score

from randwire import data
from randwire.metrics import TEST_TOP1, VAL_TOP1
from randwire.study import race
from randwire.study.design import Design
from randwire.sweep import launch

ROWS = re.findall(
    r"`python studies/(\w+)\.py (sweep .*?)` \| ([\d,]+) \| ([\d,]+) at ([\d,]+) images/s \|",
    (commands.ROOT / "README.md").read_text(),
)
"""Study, arguments, trainings, GPU-hours and rate."""


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def test_each_row_takes_the_trainings_and_gpu_hours_that_it_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other, in one folder: a confirmation is of the race above it. Then as a reader goes on with it."""
    assert len(ROWS) == 9
    monkeypatch.setattr(data, "check", lambda *_: None)  # ImageNet is not here
    monkeypatch.setattr(launch, "sweep", lambda design, cluster, retry=False: 0)
    output = ("--runtime.output", str(tmp_path))
    for name, row, trainings, hours, rate in ROWS:
        words = shlex.split(row)
        study = words[words.index("--name") + 1]
        rate = rate.replace(",", "")
        assert commands.call(f"studies/{name}.py", *words, *output).returncode == 0, row
        again = commands.call(f"studies/{name}.py", "plan", "--name", study, "--json", "--images-per-s", rate, *output)
        assert again.returncode == 0, again.stderr
        planned = json.loads(again.stdout)
        assert (planned["planned_trials"], round(planned["gpu_hours"])) == (_number(trainings), _number(hours)), row
        if "race" in words:
            _play(Design.load(None, {"runtime.output": str(tmp_path)}, name=study))


def _play(design: Design) -> None:
    """Leave what a race leaves when all of its rounds have been trained."""
    while not (current := race.rounds(design)[-1]).complete:
        played = race.of_round(design, current)
        for setting in played.fixed_settings():
            top1 = {VAL_TOP1.key: score(setting), TEST_TOP1.key: score(setting)}
            for trial in played.trials(setting):
                played.record(trial).write_text("config.yaml", trial.to_yaml())
                summary = {"status": "finished", "cause": None, "epochs": trial.train.epochs, **top1}
                played.record(trial).write_json("summary.json", summary)
