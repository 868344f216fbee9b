"""What a report infers from a fixed grid: separated settings, sources of spread, power, ranks of early epochs."""

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from plotly.graph_objects import Figure
from report_helpers import GRID, Page, add_grid, add_trial, write_design

from randwire import report
from randwire.report import write_report
from randwire.report.facts.correlations import correlate, correlation_text
from randwire.study.groups import groups
from randwire.study.results import load


def test_a_grid_is_tested_in_sentences_and_a_matrix(tmp_path: Path) -> None:
    add_grid(tmp_path)
    page = Page(write_report(tmp_path))
    assert "with Holm's correction for all 10 pairs" in page.text
    best = next(table[0][0].removesuffix(" against") for table in page.tables if table[0][0].endswith(" against"))
    rows = page.table(f"{best} against")
    assert len(rows) == 4
    assert rows["WS(4,0)"][-1] == "separated"
    others = [name for name in rows if name != "WS(4,0)"]
    assert all(rows[name][-1] == "not separated" for name in others)
    assert isinstance(report.pairs(tmp_path), Figure)
    assert f"It is separated from 1 of the 4 other tested settings, and not from {', '.join(others)}." in page.text
    assert page.text.index("What came out") < page.text.index("Appendix") < page.text.index("against all others")
    (heatmap,) = next(figure for label, figure in page.figures.items() if label.startswith("All pairs"))["data"]
    assert sum(cell.startswith("<b>") for row in heatmap["text"] for cell in row) == 8
    assert all(heatmap["z"][k][k] is None and heatmap["text"][k][k] == "" for k in range(5))
    assert heatmap["text"][0][4] == f"<b>{heatmap['z'][0][4]:.2f}</b>"
    assert heatmap["text"][1][0] == f"{heatmap['z'][1][0]:.2f}"
    bands = next(figure for label, figure in page.figures.items() if label.startswith("Error distribution"))["data"]
    assert [trace.get("fill") for trace in bands] == ["none", "tonexty", None] * 3


@pytest.mark.parametrize(
    ("search", "more", "why"),
    [
        ("tpe", {}, "Read it as a search"),
        ("random", {}, "Read it as a search"),
        ("grid", {"early_stopping": True}, "Early stopping was on: what is left was chosen by its results"),
    ],
)
def test_what_was_chosen_by_its_results_is_not_tested(
    tmp_path: Path, search: str, more: dict[str, Any], why: str
) -> None:
    add_grid(tmp_path, search=search, **more)
    page = Page(write_report(tmp_path))
    assert "No tests between settings." in page.text
    assert why in page.text
    assert "Holm" not in page.text
    assert "separated at n" not in page.text
    assert not any(label.startswith("All pairs") for label in page.figures)
    bands = next(figure for label, figure in page.figures.items() if label.startswith("Error distribution"))["data"]
    assert not any("fill" in trace for trace in bands)
    assert ("How many graphs would tell" in page.text) == (not more)


def test_a_setting_with_too_few_graphs_is_named_and_not_tested(tmp_path: Path) -> None:
    add_grid(tmp_path)
    for seed in range(2):
        add_trial(tmp_path, "ba:m=7", seed, 99.0 + seed / 10)
    for seed in range(3):
        add_trial(tmp_path, "ba:m=1", seed, 12.0 + seed, status="pruned", epochs=4)
    page = Page(write_report(tmp_path))
    assert "Not tested, with fewer than 3 graphs or no spread: BA(7) (n=2)." in page.text
    assert "all 10 pairs" in page.text
    assert "3 pruned" in page.text
    assert "BA(1)" not in page.table("setting")


def test_generators_outside_the_default_study_are_outside_of_a_grid_that_names_none(tmp_path: Path) -> None:
    for seed in range(3):
        add_trial(tmp_path, "chain", seed, 70.0 + seed, train__seed=seed)
        add_trial(tmp_path, "ws:k=4,p=0.75", seed, 80.0 + seed)
    found = groups(load(tmp_path)[0], {"search": "grid"})
    assert [(group.origin, list(group.by_setting)) for group in found] == [
        ("grid", ["WS(4,0.75)"]),
        ("outside", ["CHAIN"]),
    ]


def test_a_partial_grid_has_a_report_that_tests_nothing(tmp_path: Path) -> None:
    add_trial(tmp_path, GRID[0], 0, 73.0)
    add_trial(tmp_path, GRID[1], 0, 72.0)
    write_design(tmp_path, "grid")
    text = Page(write_report(tmp_path)).text
    assert "Fewer than two settings can be tested. Not tested, with fewer than 3 graphs or no spread:" in text
    assert "cannot be told from variance between training runs here" in text


def test_training_seeds_of_a_graph_are_averaged_first(tmp_path: Path) -> None:
    add_grid(tmp_path, seeds=4, train_seeds=2)
    page = Page(write_report(tmp_path))
    settings = page.table("setting")
    assert {name: row[:2] for name, row in settings.items()} == {
        **{name: ["4", "8"] for name in ("BA(5)", "ER(0.2)", "WS(4,0.5)", "WS(4,0.75)")},
        "WS(4,0)": ["8", "8"],
    }
    table = next(table for table in page.tables if "std between graphs" in table[0])
    split = {row[0]: row[1:] for row in table[1:]}
    assert "WS(4,0)" not in split, "it has no graphs to be between"
    assert split["all, within settings"][:2] == ["16", "32"]
    graphs, runs = (float(split["all, within settings"][k].rstrip("*")) for k in (2, 3))
    assert 0.15 < graphs < 0.5
    assert 0.06 < runs < 0.14
    assert re.search(r"Settings with one graph vary by training alone: std 0\.\d\d for WS\(4,0\) \(n=8\)\.", page.text)
    measures = page.table("graph measure")
    assert "over 17 graphs of 5 settings" in page.text, "the one graph of WS(4,0) counts once"
    assert set(measures) >= {"clustering coefficient", "parameters"}


def test_the_power_table_is_of_the_best_settings(tmp_path: Path) -> None:
    add_grid(tmp_path)
    noise = random.Random(1)
    for seed in range(5, 9):
        add_trial(tmp_path, "ws:k=4,p=0", seed, 50 + noise.gauss(0, 9), train__seed=seed)
    rows = next(table for table in Page(write_report(tmp_path)).tables if table[0][0] == "settings")
    assert [row[2] for row in rows[1:]] == ["alone", "one of 3 pairs"] * 3
    assert all(float(std) < 1 for row in rows[1:] for std in row[1].split(" and "))
    numbers = [int(row[4].split()[0].replace(",", "")) for row in rows[1:]]
    assert all(alone < many for alone, many in zip(numbers[::2], numbers[1::2], strict=True))


def test_settings_outside_the_grid_are_apart_from_it(tmp_path: Path) -> None:
    add_grid(tmp_path)
    for seed in range(5):
        add_trial(tmp_path, "ws:k=4,p=0.65", seed, 99.0 + seed / 10)
    page = Page(write_report(tmp_path))
    assert "5 trials of settings that are not of the study's fixed grid" in page.text
    assert "Outside the fixed grid" in page.text
    assert "different budgets" not in page.text
    for label, figure in page.figures.items():
        names = json.dumps(figure)
        assert not ("WS(4,0.65)" in names and "WS(4,0.75)" in names), label
    assert "WS(4,0.65)" not in page.table("setting")
    assert "with Holm's correction for all 10 pairs" in page.text
    assert "These settings are not of the fixed design" in page.text


def test_early_epochs_are_ranked_against_the_last(tmp_path: Path) -> None:
    add_grid(tmp_path)
    page = Page(write_report(tmp_path))
    figure = next(figure for label, figure in page.figures.items() if label.startswith("Do early epochs"))
    lines = [trace for trace in figure["data"] if "name" in trace]
    assert [trace["name"] for trace in lines] == ["between settings", "within settings"]
    assert all(trace["x"] == [1, 2, 3, 4, 5, 6, 7] for trace in lines), "the last epoch is what they are compared with"
    assert [shape["x0"] for shape in figure["layout"]["shapes"]] == [2, 6]
    rows = page.table("after epoch")
    assert list(rows) == ["2", "6"]
    assert all(row[2].endswith("of 25") and row[3] in ("kept", "stopped") for row in rows.values())
    trials = load(tmp_path)[0]
    early, final = ([trial.rows[epoch]["val_top1"] for trial in trials] for epoch in (1, -1))
    rank = 1 + sum(score > early[final.index(max(final))] for score in early)
    assert rows["2"][2] == f"{rank} of 25"
    pairs = list(zip([trial.setting for trial in trials], early, final, strict=True))
    assert rows["2"][:2] == [correlation_text(correlate(pairs, within)) for within in (False, True)]
