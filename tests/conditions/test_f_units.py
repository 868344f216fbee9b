"""What n counts: graphs, each once, whatever it was trained with and from however many seeds it came."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from report_helpers import BASE, Page, add_trial, write_design

from randwire.dag import graph_key
from randwire.records import Record
from randwire.report import write_report
from randwire.report.facts.correlations import networks
from randwire.report.facts.study import Section, StudyFacts
from randwire.statistics.variance import independent, split_variance
from randwire.study.design import Design
from randwire.study.detection import detection
from randwire.study.planning import plan
from randwire.wiring import dags_of, sample_graphs

OPS = ("sepconv", "conv", "maxpool", "avgpool")


def searched(folder: Path, seeds: int, train_seeds: int = 1) -> Path:
    """A random search over four operations of one setting, all of which were trained on the same graphs."""
    for number, op in enumerate(OPS):
        for seed in range(seeds):
            for run in range(train_seeds):
                top1 = 80 + number + 0.3 * ((7 * seed) % 5) + 0.1 * ((3 * seed + number + run) % 4)
                variant: Any = {"network__op": op, "runtime__variant": f"network.op={op}"}
                add_trial(folder, "ws:k=4,p=0.75", seed, top1, train__seed=run, **variant)
    write_design(folder, "random", space=[f"network.op={','.join(OPS)}"], seeds=[*range(seeds)])
    return folder


def section_of(folder: Path) -> Section:
    return StudyFacts.load(folder).sections[0]


def twin(folder: Path, seed: int, of: int) -> None:
    """Give the trials of one seed the graphs of another, as generators with few possible graphs do."""
    trials = {trial.config.graph.seed: trial for trial in StudyFacts.load(folder).trials}
    source, target = trials[of].record, trials[seed].record
    assert source is not None
    assert target is not None
    copy_graphs(source, target)


def copy_graphs(source: Record, target: Record) -> None:
    shutil.rmtree(target.folder / "graphs")
    shutil.copytree(source.folder / "graphs", target.folder / "graphs")
    shutil.copy(source.folder / "dag.json", target.folder / "dag.json")


@pytest.mark.condition("F", "a search over operations trains the same graphs four times", "each graph counts once")
def test_a_graph_under_several_operations_is_one_graph(tmp_path: Path) -> None:
    folder = searched(tmp_path / "study", seeds=6)
    assert len(networks(section_of(folder).group)) == 6
    text = Page(write_report(folder)).text
    assert "over 6 graphs of 1 setting" in text
    assert "24 graphs" not in text
    assert "A graph under several variants is one graph" in text


@pytest.mark.condition("F", "graphs that were trained with other values of a key", "are ranked among their like alone")
def test_graphs_are_ranked_among_those_trained_with_the_same_values(tmp_path: Path) -> None:
    folder = searched(tmp_path / "study", seeds=4)
    for seed in (4, 5):
        variant: Any = {"network__op": "conv", "runtime__variant": "network.op=conv"}
        add_trial(folder, "ws:k=4,p=0.75", seed, 99.0, **variant)
    names = [network.setting for network in networks(section_of(folder).group)]
    assert len(names) == 6
    assert sorted(names.count(name) for name in set(names)) == [2, 4]


@pytest.mark.condition("F", "two seeds make the same graph", "it is one replicate of its setting, everywhere")
def test_two_seeds_of_one_graph_are_one_replicate(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    for seed, top1 in enumerate((80.0, 82.0, 85.0, 86.0)):
        add_trial(folder, "ws:k=4,p=0.75", seed, top1)
    write_design(folder, "list", only=["ws:k=4,p=0.75"], seeds=[0, 1, 2, 3])
    assert section_of(folder).group.values == {"WS(4,0.75)": [80.0, 82.0, 85.0, 86.0]}
    twin(folder, seed=3, of=1)
    section = section_of(folder)
    assert section.group.values == {"WS(4,0.75)": [80.0, 84.0, 85.0]}
    assert section.ranking[0].n == 3
    assert Page(write_report(folder)).table("setting")["WS(4,0.75)"][0] == "3"


@pytest.mark.condition("F", "two seeds make the same graph in a study of variants", "it is one pair")
def test_two_seeds_of_one_graph_are_one_pair_of_variants(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    for number, op in enumerate(OPS[:2]):
        for seed in range(4):
            top1 = 80 + number + 0.1 * ((3 * seed + number) % 4)
            add_trial(folder, "ws:k=4,p=0.75", seed, top1, network__op=op, runtime__variant=op)
    write_design(folder, "grid", variants={op: {"network.op": op} for op in OPS[:2]}, seeds=[0, 1, 2, 3])

    def counted() -> tuple[int, list[int]]:
        paired = section_of(folder).variants
        assert paired is not None
        return paired.pairs[0].n[0], [len(cells) for cells in paired.cells.values()]

    assert counted() == (4, [4, 4])
    by_seed: dict[int, list[Record]] = {}
    for trial in StudyFacts.load(folder).trials:
        assert trial.record is not None
        by_seed.setdefault(trial.config.graph.seed, []).append(trial.record)
    copy_graphs(by_seed[0][0], by_seed[3][0])
    assert counted() == (4, [4, 4])  # of one variant alone: seed 3 is another graph under the other
    copy_graphs(by_seed[0][0], by_seed[3][1])
    assert counted() == (3, [3, 3])
    assert "n = 3 graphs" in Page(write_report(folder)).text


@pytest.mark.condition("F", "plan --detect of settings with few possible graphs", "n counts the graphs that come")
def test_a_plan_counts_the_graphs_that_will_be_trained(tmp_path: Path) -> None:
    keys = {**BASE, "graph.nodes": 5, "runtime.output": str(tmp_path)}
    only = ("ba:m=2", "ba:m=3")
    design = Design.load("digits", keys, name="study", search="list", only=only, seeds=12)
    planned = plan(design)
    distinct = [
        len({graph_key(dags_of(sample_graphs(one.config))) for one in planned if one.setting.spec == spec})
        for spec in only
    ]
    assert 1 < distinct[0] < 12
    assert detection(design, planned, 1.0, 0.3, "all").n == distinct[0]


@pytest.mark.condition("F", "a search's spread between graphs that settings share", "has their degrees of freedom once")
def test_a_spread_between_shared_graphs_is_as_uncertain_as_their_number(tmp_path: Path) -> None:
    folder = searched(tmp_path / "study", seeds=3, train_seeds=2)
    text = Page(write_report(folder)).text
    row = next(row for row in Page(folder / "report.html").tables if "std between graphs" in row[0])[-1]
    assert row[:3] == ["all, within settings", "3", "24"], text
    group = section_of(folder).group
    names = [group.graphs_of(name) for name in group.values]
    assert independent(names) == 2
    values = [[[trial.score for trial in same] for same in graphs] for graphs in group.replicates.values()]
    shared, apart = split_variance(values, names), split_variance(values)
    assert shared is not None
    assert apart is not None
    assert shared.interval is not None
    assert apart.interval is not None
    assert (shared.between_graphs, shared.between_runs) == (apart.between_graphs, apart.between_runs)
    assert (shared.interval.high - shared.interval.low) > (apart.interval.high - apart.interval.low)


@pytest.mark.parametrize(
    ("names", "freedom"),
    [
        ([["a", "b"], ["c", "d", "e"]], 3),
        ([["a", "b"], ["a", "b"]], 1),
        ([["a", "b"], ["c", "d"], ["b", "c"]], 3),
        ([["a"], []], 0),
    ],
)
@pytest.mark.condition("F", "settings that share all, some or none of their graphs", "degrees of freedom of the union")
def test_degrees_of_freedom_count_each_graph_once(names: list[list[str]], freedom: int) -> None:
    assert independent([own for own in names if own]) == freedom
