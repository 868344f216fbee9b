"""The benchmark of checkpoints measures what a training writes."""

import json
import re
from pathlib import Path

import commands


def test_it_measures_a_file_of_a_training(tmp_path: Path) -> None:
    done = commands.call(
        "-m", "benchmarks.checkpoints", "--presets", "digits", "--repeats", "2", "--minutes", "0.1",
        "--json", str(tmp_path / "costs.json"),
    )  # fmt: skip
    assert done.returncode == 0
    (cost,) = json.loads((tmp_path / "costs.json").read_text())["costs"]
    assert (len(cost["checkpoint_s"]), len(cost["step_s"])) == (2, 2)
    assert cost["megabytes"] > 0.1
    assert re.search(r"^digits +2 ", done.stdout, re.MULTILINE)
