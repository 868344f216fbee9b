"""What enters the statistics of a report, and what it says of all else."""

import re
from math import exp
from pathlib import Path
from statistics import stdev
from typing import Any

import pytest
from report_helpers import HOSTILE, Page, add_study, add_trial, write_design

from randwire.errors import RecordError
from randwire.records import Record
from randwire.report import write_report

LOSS = f"{2.3 * 0.72**8 + 0.45:.3f}"
"""Of all made-up trials."""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return add_study(tmp_path / "my-study")


def test_statistics_of_settings_and_generators_are_exact(study: Path) -> None:
    page = Page(write_report(study))
    ws, ba = [90.0, 91.0, 95.0], [88.25, 89.25]
    t = 4.3027  # Student's, 97.5 %, 2 degrees of freedom
    half = t * stdev(ws) / 3**0.5 / (92 * 8 / 100)  # on the logit scale
    low, high = (100 / (1 + 8 / 92 * exp(sign * half)) for sign in (1, -1))
    assert page.table("setting") == {
        "BA(5)": [
            "2",
            "88.75",
            f"{stdev(ba):.2f}",
            "-",
            "88.25 to 89.25",
            f"{LOSS} ± 0.000",
        ],
        "ER(0.2)": ["1", "77.50", "-", "-", "-", LOSS],
        "WS(4,0.75)": [
            "3",
            "92.00",
            f"{stdev(ws):.2f}",
            f"{low:.2f} to {high:.2f}",
            "90.00 to 95.00",
            f"{LOSS} ± 0.000",
        ],
    }
    assert page.table("generator") == {
        "WS": ["WS(4,0.75)", "1 setting", "3", *page.table("setting")["WS(4,0.75)"][1:4], f"{LOSS} ± 0.000"],
        "BA": ["BA(5)", "1 setting", "2", *page.table("setting")["BA(5)"][1:4], f"{LOSS} ± 0.000"],
        "ER": ["ER(0.2)", "1 setting", "1", "77.50", "-", "-", LOSS],
    }
    cards = re.sub(r"%(?=\S)", "% ", page.text)
    assert "92.00% mean top-1 of WS(4,0.75), n = 3standard deviation 2.65" in cards
    assert "95.00% top-1, best of 6 networks: WS(4,0.75)graph seed 2" in cards


def test_what_has_not_finished_is_left_out_of_the_leaders_and_named(study: Path) -> None:
    add_trial(study, "ba:m=5", 2, status=None, epochs=4)
    write_design(study, "tpe", generators=["er", "ba", "ws", "chain"])
    page = Page(write_report(study))
    assert list(page.table("generator")) == ["WS", "ER"], "BA(5) would have a mean of those that have finished so far"
    assert "BA(5)" in page.table("setting")
    assert "No setting of BA has finished. No setting of CHAIN has finished." in page.text
    assert "Left out, since not all of their trials have finished: BA(5), ER(0.6)." in page.text


def test_a_study_in_which_no_setting_has_all_its_trials_leads_with_none(tmp_path: Path) -> None:
    add_trial(tmp_path, "ba:m=5", 0, 70.0)
    add_trial(tmp_path, "ba:m=5", 1, status=None, epochs=4)
    page = Page(write_report(tmp_path))
    assert not [table for table in page.tables if table[0][0] == "generator"]
    assert "No setting of BA has finished." in page.text
    assert page.table("setting")["BA(5)"][:2] == ["1", "70.00"]


def test_only_finished_trials_are_drawn_as_scores_and_the_others_are_listed_with_their_cause(study: Path) -> None:
    page = Page(write_report(study))
    scores = next(figure for label, figure in page.figures.items() if label.startswith("Top-1 by setting"))
    drawn = sorted(x for trace in scores["data"] if trace.get("name") for x in trace["x"])
    assert drawn == [77.5, 88.25, 89.25, 90.0, 91.0, 95.0]
    assert "9 trials, 6 finished, 1 pruned, 1 failed, 1 unfinished." in page.text
    assert "3 trials excluded from all statistics" in page.text
    excluded = next(table for table in page.tables if table[0][1] == "setting and seeds")[1:]
    assert [row[1:] for row in excluded] == [
        ["ER(0.6) g0 t0", "pruned", "3/8", "stopped early after epoch 3"],
        ["ER(0.6) g1 t0", "failed", "2/8", HOSTILE],
        ["ER(0.6) g2 t0", "unfinished", "4/8", "4 of 8 epochs so far"],
    ]


def test_settings_that_could_not_be_run_are_told_until_they_have_been(study: Path) -> None:
    line = "WS(4,0.75) conv could not be run: a <machine> was lost."
    Record(study).append(
        "failures.jsonl", {"setting": "ws:k=4,p=0.75 conv", "time": 1.0, "cause": "a <machine> was lost"}
    )
    assert line in Page(write_report(study)).text
    Record(study).append("failures.jsonl", {"setting": "ws:k=4,p=0.75 conv", "time": 2.0, "cause": None})
    assert "could not be run" not in Page(write_report(study)).text


def test_an_adaptive_search_is_called_one_and_a_grid_is_not(study: Path) -> None:
    warning = (
        "so n is unequal and the means are biased by adaptivity. To compare generators, confirm their best on fresh "
        "seeds with --confirm."
    )
    assert warning in Page(write_report(study)).text
    write_design(study, "grid")
    text = Page(write_report(study)).text
    assert "adaptivity" not in text
    assert "n differs between settings" in text
    write_design(study, "random", early_stopping=True)
    assert "Early stopping was on" in Page(write_report(study)).text
    assert "fixed grid, 3 graph seeds (0, 1, 2), 1 training seed (0), study seed 7" in text


def test_unequal_budgets_are_never_pooled(tmp_path: Path) -> None:
    for seed, top1 in enumerate((50.0, 60.0)):
        add_trial(tmp_path, graph_seed=seed, top1=top1, train__epochs=5)
    add_trial(tmp_path, graph_seed=0, top1=90.0, train__epochs=10)
    add_trial(tmp_path, graph_seed=0, top1=70.0, graph__nodes=32, train__epochs=5)
    page = Page(write_report(tmp_path))
    settings = [table[1:] for table in page.tables if table[0][0] == "setting"]
    assert sorted(rows[0][:3] for rows in settings) == [
        ["WS(4,0.75)", "1", "70.00"],
        ["WS(4,0.75)", "1", "90.00"],
        ["WS(4,0.75)", "2", "55.00"],
    ]
    assert "3 different budgets" in page.text
    assert "train.epochs = 10" in page.text


def test_a_single_trial_has_no_deviation(tmp_path: Path) -> None:
    add_trial(tmp_path, top1=90.0)
    page = Page(write_report(tmp_path))
    assert page.table("setting") == {"WS(4,0.75)": ["1", "90.00", LOSS]}
    assert "1 trial, 1 finished." in page.text
    assert "mean top-1 of WS(4,0.75), n = 1no standard deviation" in page.text
    assert "There is no study.json" in page.text


@pytest.mark.parametrize(
    "states", [[(None, 0)], [("failed", 0)], [("failed", 2), (None, 3)], [("pruned", 1), ("failed", 0), (None, 0)]]
)
def test_a_study_without_a_finished_trial_has_a_report(tmp_path: Path, states: list[tuple[str | None, int]]) -> None:
    for seed, (status, epochs) in enumerate(states):
        add_trial(tmp_path, graph_seed=seed, status=status, epochs=epochs, cause=None)
    page = Page(write_report(tmp_path))
    assert "nothing to compare" in page.text
    assert not [table for table in page.tables if table[0][0] == "setting"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.yaml", "graph: {colour: red}"),
        ("dag.json", "{"),
        ("complexity.json", "[]"),
        ("summary.json", "1"),
        ("metrics.jsonl", '{"lr": 1}\n'),
        ("graphs/conv3.txt", "0 1\n"),
    ],
)
def test_a_damaged_record_is_excluded_and_named(study: Path, name: str, content: str) -> None:
    damaged = study / add_trial(study, "ba:m=7", 5, 99.0).digest
    (damaged / name).write_text(content)
    page = Page(write_report(study))
    assert "1 unreadable" in page.text
    assert damaged.name in page.text
    assert "99.00" not in page.text
    assert sum(int(row[0]) for row in page.table("setting").values()) == 6


def test_a_summary_that_contradicts_its_budget_does_not_count(tmp_path: Path) -> None:
    add_trial(tmp_path, status="finished", epochs=3)
    text = Page(write_report(tmp_path)).text
    assert "1 unfinished" in text
    assert "finished after 3 of 8 epochs, not counted" in text


def test_missing_files_of_a_running_trial_are_no_error(study: Path) -> None:
    started = study / add_trial(study, "ba:m=3", 0, status=None, epochs=0).digest
    for path in [*started.glob("*.json"), *started.glob("graphs/*"), *started.glob("*.jsonl")]:
        path.unlink()
    assert "no epoch has ended yet" in Page(write_report(study)).text


def test_no_record_is_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="holds no record") as caught:
        write_report(tmp_path / "nothing")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "nothing").exists()


def test_what_differs_between_trials_is_told(tmp_path: Path) -> None:
    names = [add_trial(tmp_path, graph_seed=seed).digest for seed in range(5)]
    text = Page(write_report(tmp_path)).text
    assert "different" not in text
    assert "71160f4c0ffee" in text
    different: list[dict[str, Any]] = [
        {"commit": "abc123"},
        {"packages": {"torch": "2.14.0", "ray": "2.60.0"}},
        {"dirty": True, "hardware": {"gpu": "Some GPU"}},
    ]
    for name, changes in zip(names, different, strict=False):
        environment = Record(tmp_path / name).read_json("environment.json")
        Record(tmp_path / name).write_json("environment.json", {**environment, **changes})
    (tmp_path / names[3] / "environment.json").unlink()
    text = Page(write_report(tmp_path)).text
    assert "The trials come from 3 different commits." in text
    assert "71160f4c0ffee (2 trials); abc123 (1 trial); 71160f4c0ffee with uncommitted changes (1 trial)" in text
    assert "different package versions: torch 2.13.0 and 2.14.0." in text
    assert "The trials ran on 2 kinds of hardware." in text
    assert "1 trial without environment.json: commit and versions are not known." in text
