"""Published networks in the report of a study, beside randomly wired ones."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from report_helpers import BASE, Page, add_reference, add_trial, write_design

from randwire.pages.style import style
from randwire.report.facts.budgets import budget_text
from randwire.report.facts.correlations import MEASURES, columns, networks
from randwire.report.page.study_page import write_report
from randwire.report.table import write_table
from randwire.study.groups import groups
from randwire.study.results import design_of, load

NAME = "pytorchcv:resnet20_cifar10"
SETTING = "resnet20_cifar10"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six random networks, and one published network trained three times."""
    folder = tmp_path_factory.mktemp("studies") / "both"
    for seed in range(6):
        add_trial(folder, "ws:k=4,p=0.75", seed, 90 + seed / 10)
    for seed in range(3):
        add_reference(folder, NAME, seed, 95 + seed / 10)
    return folder


def test_a_report_has_both(study: Path) -> None:
    page = Page(write_report(study))
    settings = page.table("setting")
    assert {name: row[0] for name, row in settings.items()} == {"WS(4,0.75)": "6", SETTING: "3"}
    assert settings[SETTING][1] == "95.10"
    assert list(page.table("generator")) == [SETTING, "WS"]
    assert "beside it, with the same data and training, the published resnet20_cifar10." in page.text
    assert f"best of 9 networks: {SETTING}training seed 2" in page.text
    trials = page.table("trial")
    assert sorted(row[2] for row in trials.values() if row[0] == SETTING) == ["-"] * 3
    assert "Settings with one graph vary by training alone: std 0.10 for resnet20_cifar10 (n=3)." in page.text
    marks = next(figure for label, figure in page.figures.items() if label.startswith("Top-1 by setting"))
    assert (SETTING, style(SETTING)[0]) in [(t.get("name"), t["marker"]["color"]) for t in marks["data"]]


def test_measures_of_graphs_stay_those_of_the_others(study: Path) -> None:
    """A network without a graph takes no measure away from the networks that have one."""
    (group,) = groups(load(study)[0], design_of(study))
    assert set(columns(networks(group))) == {*MEASURES.values(), "parameters"}
    page = Page(write_report(study))
    correlations = page.table("graph measure")
    assert {MEASURES["depth"], MEASURES["clustering"]} <= set(correlations)
    assert "Rank correlation with top-1 over 6 graphs of 1 setting." in page.text
    assert all(len(row) == 1 for row in correlations.values()), "one setting has none to be compared with"
    figures = {label.rpartition(" ")[0]: figure for label, figure in page.figures.items()}
    scatter = figures["Graph measures"]
    by_name = {trace["name"]: k for k, trace in enumerate(scatter["data"])}
    by_label = {choice["label"]: choice["data"]["x"] for choice in scatter["choices"]}
    depths = by_label[MEASURES["depth"]]
    assert depths[by_name[SETTING]] == [None]
    assert None not in depths[by_name["WS"]]
    assert by_label["parameters"][by_name[SETTING]] == [272_474]
    assert "n = 6 graphs" in scatter["layout"]["xaxis"]["title"]["text"]
    lines = figures["Parallel coordinates"]
    assert len(lines["data"][0]["customdata"]) == 6
    assert "Published networks have no graph, and are not drawn." in lines["note"]


def test_a_table_has_both(study: Path, tmp_path: Path) -> None:
    write_table(study, tmp_path / "table.csv")
    table = pd.read_csv(tmp_path / "table.csv")
    ours, theirs = (table[(table.generator == SETTING) == reference] for reference in (False, True))
    assert set(theirs.setting) == {SETTING}
    assert theirs[["graph_seed", "nodes", "depth", "ws_k"]].isna().all(axis=None)
    assert ours[["graph_seed", "nodes", "depth", "ws_k"]].notna().all(axis=None)
    assert set(theirs.params) == {272_474}
    assert len(set(table.budget)) == 1, "they are compared"


# With whom it is compared.


def test_it_is_with_the_random_networks_of_its_data_and_training(tmp_path: Path) -> None:
    """Whatever their size; and with the most of them, where those are of several budgets."""
    add_reference(tmp_path, NAME)
    add_trial(tmp_path, graph_seed=0, graph__nodes=12)
    for seed in range(2):
        add_trial(tmp_path, graph_seed=seed)
    first, second = groups(load(tmp_path)[0])
    assert [trial.name for trial in first.trials] == [f"{SETTING} t0", "WS(4,0.75) g0 t0", "WS(4,0.75) g1 t0"]
    assert [trial.name for trial in second.trials] == ["WS(4,0.75) g0 t0"]
    assert first.budget["graph.nodes"] == BASE["graph.nodes"]


@pytest.mark.parametrize("keys", [{"train__lr": 0.05}, {"data__flip": 0.5}, {"data__holdout": 100}], ids=str)
def test_another_training_is_another_budget(keys: dict[str, Any], tmp_path: Path) -> None:
    add_reference(tmp_path / "ours", NAME)
    add_trial(tmp_path / "ours", **keys)
    add_reference(tmp_path / "theirs", NAME, **keys)
    add_trial(tmp_path / "theirs")
    for folder in ("ours", "theirs"):
        assert len(groups(load(tmp_path / folder)[0])) == 2
    key = next(iter(keys)).replace("__", ".")
    budgets = groups(load(tmp_path / "ours")[0])
    texts = [budget_text(budget, budgets) for budget in budgets]
    # A budget that a key was added after says nothing of it.
    told = [text for text, budget in zip(texts, budgets, strict=True) if key in budget.budget]
    assert told
    assert all(text.startswith(f"{key} = ") and "; " not in text for text in told)


def test_a_study_of_published_networks_alone(tmp_path: Path) -> None:
    for seed in range(2):
        add_reference(tmp_path, NAME, seed, 95 + seed)
        add_reference(tmp_path, "pytorchcv:mobilenet_w1", seed, 93 + seed)
    page = Page(write_report(tmp_path))
    assert list(page.table("setting")) == ["mobilenet_w1", SETTING]
    assert "8 epochs, digits at 32 pixels, batch 64, learning rate 0.1." in page.text
    assert not any(label.startswith("Parallel") for label in page.figures)


def test_it_is_part_of_a_fixed_design(tmp_path: Path) -> None:
    """A list that names it holds it; in the paper's grid it is outside."""
    add_trial(tmp_path, "ws:k=4,p=0.75")
    add_reference(tmp_path, NAME)
    write_design(tmp_path, "list", only=["ws:k=4,p=0.75", NAME])
    trials, _ = load(tmp_path)
    assert [group.origin for group in groups(trials, design_of(tmp_path))] == ["list"]
    write_design(tmp_path, "grid")
    assert [group.origin for group in groups(trials, design_of(tmp_path))] == ["grid", "outside"]
