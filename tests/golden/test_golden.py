"""What must not change unless it is meant to: digests, and all that is made of the records of one study.

tests/golden/study.tar.xz   the records of a sweep at commit 216d0d3, of which one failed, one did not end, and one
                            cannot be read: `python studies/generators.py sweep` with KEYS and `--workers 1`
tests/golden/record.tar.xz  a training of `python train.py digits` then, with its checkpoint after 2 of 3 epochs
tests/golden/*              what that commit made of the study

`RANDWIRE_GOLDEN=write` writes the latter anew; then the difference is to be read, and said in the commit.
"""

import json
import os
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
from plotly.offline import get_plotlyjs
from study_helpers import command

from randwire.config import load

GOLDEN = Path(__file__).parent
WRITE = os.environ.get("RANDWIRE_GOLDEN") == "write"
PLACE = ("--name", "golden")
KEYS = (
    *PLACE, "--search", "grid", "--generators", "er,ba", "--seeds", "3", "--graph.nodes", "8",
    "--network.channels", "4", "--network.head", "16", "--train.epochs", "3", "--runtime.wandb", "disabled",
)  # fmt: skip
TOLERANCE = 1e-5
"""Relative, of numbers in figures and tables: kinds of processors may differ in the last digits."""

DIGESTS = {
    "cifar10": "2a372e590c7d",
    "darts": "0d287fb5fe4c",
    "digits": "0ff78b188587",
    "large": "f8b1e56589bb",
    "mnist": "236bea1a7e79",
    "mobilenet": "c5168b09d51d",
    "nasnet-a": "374f1eec6475",
    "regular-109": "8eca0dfd5535",
    "regular-154": "0777c93a798a",
    "resnet-101": "4c5039927373",
    "resnet-50": "d807b0f6d37c",
    "resnext-101": "847738b511ee",
    "resnext-50": "486536cc4d43",
    "shufflenet-v2": "c43c504c85ee",
    "small": "703411074cae",
    "small-100": "b1c183b534af",
}


@pytest.mark.parametrize("preset", DIGESTS)
def test_digests_of_the_presets(preset: str) -> None:
    assert load(preset).digest == DIGESTS[preset]


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the golden study, below the working directory as its records say."""
    monkeypatch.chdir(tmp_path)
    return _unpacked("study", tmp_path / "runs") / "golden"


def test_the_status_of_a_study(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("status", "--json", *PLACE) == 1  # one of its trials has failed
    _compare("status.json", json.loads(capsys.readouterr().out))


def test_the_plan_of_a_study(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("plan", "--json", "--images-per-s", "1000", *KEYS) == 0
    _compare("plan.json", json.loads(capsys.readouterr().out))


def test_the_report_of_a_study(study: Path) -> None:
    assert command("report", *PLACE) == 0
    page = (study / "report.html").read_text()
    page = re.sub(r"generated [\d-]+ [\d:+]+ from", "generated TIME from", page)
    page = page.replace(get_plotlyjs(), "PLOTLY")
    found = re.search(r'<script type="application/json" id="figures">(.*?)</script>', page, re.DOTALL)
    assert found, "the page has its figures"
    _compare("figures.json", json.loads(found[1]))
    _compare_text("report.html", page.replace(found[1], "FIGURES"))


def test_the_table_of_a_study(study: Path) -> None:
    assert command("report", "--table", "table.csv", *PLACE) == 0
    rows = [line.split(",") for line in Path("table.csv").read_text().splitlines()]
    _compare("table.json", [[_number(cell) for cell in row] for row in rows])


def test_a_training_goes_on_from_a_record_of_that_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import randwire

    monkeypatch.chdir(tmp_path)
    folder = next((_unpacked("record", tmp_path) / "resumed").iterdir())
    before = (folder / "metrics.jsonl").read_text()
    assert len(before.splitlines()) == 2
    assert randwire.evaluate(folder)["epoch"] == 2
    assert randwire.train(str(folder)).absolute() == folder
    after = (folder / "metrics.jsonl").read_text()
    assert after.startswith(before), "what has been trained is not trained again"
    assert [json.loads(line)["epoch"] for line in after.splitlines()] == [1, 2, 3]
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["status"], summary["epochs"]) == ("finished", 3)
    assert command("report", "--name", "resumed", "--runtime.output", ".") == 0


def _unpacked(name: str, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    with tarfile.open(GOLDEN / f"{name}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _compare(name: str, found: Any) -> None:
    path = GOLDEN / name
    if WRITE:
        path.write_text(json.dumps(found, separators=(",", ":")).replace('{"', '{\n"').replace("[{", "[\n{") + "\n")
    _same(json.loads(path.read_text()), json.loads(json.dumps(found)), name)


def _same(expected: Any, found: Any, where: str) -> None:
    if isinstance(expected, dict) and isinstance(found, dict):
        assert list(expected) == list(found), where
        for key in expected:
            _same(expected[key], found[key], f"{where}: {key}")
    elif isinstance(expected, list) and isinstance(found, list):
        assert len(expected) == len(found), where
        for number, (one, other) in enumerate(zip(expected, found, strict=True)):
            _same(one, other, f"{where}[{number}]")
    elif isinstance(expected, float) and isinstance(found, int | float):
        assert found == pytest.approx(expected, rel=TOLERANCE, abs=1e-9), where
    else:
        assert found == expected, where


def _compare_text(name: str, found: str) -> None:
    path = GOLDEN / name
    if WRITE:
        path.write_text(found)
    assert found.splitlines() == path.read_text().splitlines()
