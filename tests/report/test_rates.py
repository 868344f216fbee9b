"""The logged learning rates against the closed form of their schedule."""

import re
from pathlib import Path

import pytest
from report_helpers import Page, add_study, add_trial, write_design

from randwire.records import Record
from randwire.report import write_report


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return add_study(tmp_path / "my-study")


def test_a_trial_with_another_schedule_is_found(study: Path) -> None:
    agrees = "Agrees: all 57 logged rates of 9 trials are those of the closed form (linear warm-up, half a cosine)"
    page = Page(write_report(study))
    assert f"{agrees}; largest deviation 0." in page.text
    assert "are not those of the schedule" not in page.text

    planted = study / add_trial(study, "ba:m=7", 5, 88.0).digest
    rows = Record(planted).metrics()
    for row in rows[2:5]:
        Record(planted).append_metrics({**row, "lr": row["lr"] + row["epoch"] / 100})
    Record(planted).append_metrics({**rows[6], "lr": None})
    page = Page(write_report(study))
    assert "The logged learning rates of 1 trial are not those of the schedule (see below)." in page.text
    assert "Not the schedule in 1 of 10 trials" in page.text
    assert "largest deviation 0.05. 1 epoch without a logged rate." in page.text
    heads = ["trial", "epochs that disagree", "worst epoch", "logged", "closed form"]
    (cells,) = next(table for table in page.tables if table[0] == heads)[1:]
    assert cells[:3] == [f"{planted.name} BA(7) g5 t0", "3", "5"]
    assert float(cells[3]) - float(cells[4]) == pytest.approx(0.05)
    drawn = next(figure for label, figure in page.figures.items() if label.startswith("Learning rate"))["data"]
    assert "BA(7) g5 t0" in [trace.get("text") for trace in drawn], "the trial at fault is drawn, whichever are"


def test_variants_of_the_schedule_are_checked_each_by_its_own(tmp_path: Path) -> None:
    variants = {"fast": {"train.lr": 0.1}, "slow": {"train.lr": 0.05}}
    for keys in variants.values():
        add_trial(tmp_path, train__lr=keys["train.lr"])
    write_design(tmp_path, "grid", variants=variants)
    page = Page(write_report(tmp_path))
    assert "Agrees: all 16 logged rates of 2 trials" in page.text
    assert re.search(r"8 epochs, .*, sepconv, batch \d+\.", page.text)  # and no learning rate: it is what varies
    drawn = next(figure for label, figure in page.figures.items() if label.startswith("Learning rate"))["data"]
    assert sorted(max(trace["y"]) for trace in drawn if trace["name"] == "closed form") == [0.05, 0.1]


def test_rates_that_differ_by_rounding_agree(tmp_path: Path) -> None:
    record = Record(tmp_path / add_trial(tmp_path).digest)
    for row in record.metrics():
        record.append_metrics({**row, "lr": float(f"{row['lr']:.12g}")})
    assert "Agrees: all 8 logged rates of 1 trial" in Page(write_report(tmp_path)).text
