"""Correlations of graph measures and early epochs: what a network is, and between and within settings."""

import random
from pathlib import Path
from statistics import fmean

import pytest
from report_helpers import Page, add_grid, add_trial, write_design

from randwire.records import Record
from randwire.report import write_report
from randwire.report.facts.correlations import MIN_SETTINGS, correlate, correlation_text, networks
from randwire.report.facts.epochs import EarlyEpochs
from randwire.statistics.correlation import Correlation, rank_correlation
from randwire.study.groups import TrialGroup, groups
from randwire.study.results import design_of, load

OPS = {op: {"network.op": op} for op in ("conv", "sepconv", "avgpool")}
SETTINGS = ("er:p=0.2", "ba:m=5", "ws:k=4,p=0.75")


def group_of(folder: Path) -> TrialGroup:
    (group,) = groups(load(folder)[0], design_of(folder))
    return group


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three operations on nine graphs, of which one has not been trained with the last operation."""
    folder = tmp_path_factory.mktemp("studies") / "ops"
    noise = random.Random(0)
    for spec in SETTINGS:
        for seed in range(3):
            for points, op in enumerate(OPS):
                if (spec, seed, op) != (SETTINGS[0], 2, "avgpool"):
                    add_trial(folder, spec, seed, 80 + points + noise.gauss(0, 1), network__op=op)
    write_design(folder, "grid", variants=OPS)
    return folder


def test_a_correlation_within_settings_is_not_one_between_them() -> None:
    noise = random.Random(0)
    settings = [name for name in "abcde" for _ in range(40)] + ["alone"]
    xs = [10 * len(settings) * ord(name[0]) + noise.gauss(0, 1) for name in settings]
    ys = [-ord(name[0]) + (x - noise.gauss(0, 0.5)) / 1e5 for name, x in zip(settings, xs, strict=True)]
    pairs = list(zip(settings, xs, ys, strict=True))
    between, inside = (correlate(pairs, within) for within in (False, True))
    assert between.rho == pytest.approx(-1)
    assert (between.n, between.strata) == (6, 1)
    assert inside.rho is not None
    assert inside.rho > 0.8
    assert (inside.n, inside.strata) == (200, 5)
    constant = correlate([(name, ord(name[0]) / 3, y) for name, _, y in pairs], within=True)
    assert (constant.rho, correlation_text(constant)) == (None, "-")


def test_between_few_settings_there_is_no_correlation() -> None:
    pairs = [(str(k // 3), float(k), float(k % 5)) for k in range(3 * MIN_SETTINGS)]
    assert correlate(pairs, within=False).rho is not None
    assert correlate(pairs[3:], within=False) == Correlation(None, None, MIN_SETTINGS - 1, 1)
    assert correlate(pairs[:4], within=True).rho is None, "three graphs of one setting, and one of another"


def test_a_setting_counts_by_its_means(tmp_path: Path) -> None:
    add_grid(tmp_path, train_seeds=2)
    group = group_of(tmp_path)
    found = networks(group)
    assert len(found) == 21, "five graphs each, and the one of WS(4,0)"
    assert [network.name for network in found if network.setting in ("BA(5)", "WS(4,0)")] == [
        *(f"BA(5) g{seed}" for seed in range(5)),
        "WS(4,0)",
    ]
    (chain,) = [network for network in found if network.setting == "WS(4,0)"]
    assert chain.score == pytest.approx(fmean(trial.top1 for trial in group.by_setting["WS(4,0)"] if trial.top1))
    assert len(networks(group, trainings=True)) == 30, "each training of WS(4,0) by itself"
    pairs = [(network.setting, network.first.measures["depth"], network.score) for network in found]
    depths = {name: fmean(x for other, x, _ in pairs if other == name) for name in group.by_setting}
    expected = rank_correlation([""] * 5, list(depths.values()), [fmean(group.values[name]) for name in depths])
    assert correlate(pairs, within=False) == expected
    rows = Page(write_report(tmp_path)).table("graph measure")
    assert rows["depth (nodes on the longest path)"][0] == f"{expected.rho:+.2f}", "five settings have no interval"


def test_a_graph_under_several_variants_is_one_graph(variants: Path) -> None:
    group = group_of(variants)
    found = networks(group)
    assert len(found) == 8, "of nine, one lacks a variant"
    assert {network.setting for network in found} == {"ER(0.2)", "BA(5)", "WS(4,0.75)"}
    assert sorted(network.name for network in found)[:2] == ["BA(5) g0", "BA(5) g1"]
    scores = [trial.score for trial in group.counted if trial.graph == "BA(5) g1"]
    assert len(scores) == 3
    assert next(network.score for network in found if network.name == "BA(5) g1") == pytest.approx(fmean(scores))
    page = Page(write_report(variants))
    assert "Rank correlation with top-1 over 8 graphs of 3 settings. Between settings there is none" in page.text
    assert "A graph under several variants is one graph" in page.text
    figure = next(figure for label, figure in page.figures.items() if label.startswith("Graph measures"))
    assert sum(len(trace["x"]) for trace in figure["data"]) == 8
    assert "n = 8 graphs" in figure["layout"]["xaxis"]["title"]["text"]
    assert "within settings" in figure["layout"]["xaxis"]["title"]["text"]
    assert "between" not in figure["layout"]["xaxis"]["title"]["text"]


def test_early_epochs_of_variants_are_means_over_them(variants: Path) -> None:
    group = group_of(variants)
    early = EarlyEpochs(group)
    assert (len(early.final), len(early.top1[2])) == (8, 8)
    index = [network.name for network in networks(group, trainings=True)].index("BA(5) g1")
    rows = [trial.rows for trial in group.counted if trial.graph == "BA(5) g1"]
    assert early.top1[2][index] == pytest.approx(fmean(row[1]["val_top1"] for row in rows))
    assert early.final[index] == pytest.approx(fmean(row[-1]["val_top1"] for row in rows))
    page = Page(write_report(variants))
    early_heads = next(table[0] for table in page.tables if table[0][0] == "after epoch")
    assert early_heads[1:3] == ["within settings", "rank of the finally best"], "no column of dashes alone"
    assert [row[1].rpartition(" ")[2] for row in page.table("after epoch").values()] == ["8"] * 2
    figure = next(figure for label, figure in page.figures.items() if label.startswith("Do early epochs"))
    assert [trace["name"] for trace in figure["data"] if "name" in trace] == ["within settings"]


def test_values_of_a_suggested_key_are_settings_and_no_variants(tmp_path: Path) -> None:
    for number, rate in enumerate((0.1, 0.2, 0.4)):
        for seed in range(2):
            add_trial(tmp_path, "er:p=0.2", seed, 80.0 + number + seed / 10, train__lr=rate)
    write_design(tmp_path, "random", space=["train.lr=0.1..0.4"])
    trained = networks(group_of(tmp_path), trainings=True)
    assert (len({network.setting for network in trained}), len(trained)) == (3, 6)
    assert [(graph.setting, len(graph.trials)) for graph in networks(group_of(tmp_path))] == [("ER(0.2)", 3)] * 2


def test_a_study_whose_graphs_all_lack_a_variant_has_a_report_without_correlations(tmp_path: Path) -> None:
    for k in range(6):
        add_trial(tmp_path, SETTINGS[k % 3], k // 3, 80.0 + k, network__op=("conv", "avgpool")[k % 2])
    write_design(tmp_path, "grid", variants=OPS)
    assert networks(group_of(tmp_path)) == []
    page = Page(write_report(tmp_path))
    assert not any(label.startswith(("Graph measures", "Do early epochs")) for label in page.figures)


def test_measures_of_a_record_without_them_are_computed_for_the_table(tmp_path: Path) -> None:
    add_grid(tmp_path)
    expected = Page(write_report(tmp_path)).table("graph measure")
    assert {"nodes on the shortest path from input to output", "largest betweenness (directed)"} <= set(expected)
    for record in map(Record, tmp_path.glob("*/")):
        described = record.read_json("dag.json")
        for about in described["stages"].values():
            for name in ("shortest_path", "mean_path", "betweenness"):
                del about["measures"][name]
        record.write_json("dag.json", described)
    assert Page(write_report(tmp_path)).table("graph measure") == expected
