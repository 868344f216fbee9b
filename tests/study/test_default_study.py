"""The default study: all generators of the registry that say so, the paper's first; a new file joins by itself."""

import json
from pathlib import Path

import new_files
import pytest
from study_helpers import command, design, drain, every_spec

from randwire import graphs
from randwire.cli import damage
from randwire.config import RunConfig
from randwire.study import sizes, space
from randwire.study.design import Design
from randwire.study.search import SettingSearch

HEAD = """
from collections.abc import Iterable
from dataclasses import dataclass
import random
from typing import ClassVar

from randwire.graphs import Domain, Generator


@dataclass(frozen=True)
"""
NEW = {
    # Deterministic, without parameters, and without a setting of the paper.
    "path": HEAD
    + """class Path(Generator):
    deterministic = True

    def check(self, nodes: int) -> None: ...

    def draw(self, nodes: int, stream: random.Random) -> Iterable[tuple[int, int]]:
        return [(node, node + 1) for node in range(nodes - 1)]
""",
    "a_tree": HEAD
    + """class Tree(Generator):
    arity: int
    domains: ClassVar = {"arity": Domain(2, 4, 1)}

    def check(self, nodes: int) -> None: ...

    def draw(self, nodes: int, stream: random.Random) -> Iterable[tuple[int, int]]:
        return [((node - 1) // self.arity, node) for node in range(1, nodes)]
""",
    "apart": HEAD
    + """class Apart(Generator):
    default: ClassVar = False

    def check(self, nodes: int) -> None: ...

    def draw(self, nodes: int, stream: random.Random) -> Iterable[tuple[int, int]]:
        return [(0, node) for node in range(1, nodes)]
""",
}
PAPER = ("er", "ba", "ws")


@pytest.fixture
def _new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    new_files.add(monkeypatch, folder, graphs.__name__, NEW)


def test_the_default_study_is_that_of_the_paper() -> None:
    assert space.default() == PAPER


@pytest.mark.usefixtures("_new")
def test_a_new_generator_joins_the_default_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert space.default() == (*PAPER, "a_tree", "path")
    study: Design = design(tmp_path, search="grid", seeds=2)
    assert [str(setting) for setting in study.fixed_settings()][29:] == ["a_tree:arity=3", "path"]
    variants = design(tmp_path, search="grid", variants={"one": {}, "two": {"network.op": "conv"}})
    assert [str(setting) for setting in variants.fixed_settings()][-2:] == ["path one", "path two"]
    assert [setting.label for setting in drain(SettingSearch(design(tmp_path / "search", settings=6)), 5)] == [
        "ER(0.2)", "BA(5)", "WS(4,0.75)", "A_TREE(3)", "PATH"
    ]  # fmt: skip
    assert command("plan", "--settings", "5", "--json", "--runtime.output", str(tmp_path)) == 0
    planned = json.loads(capsys.readouterr().out)["trials"]
    assert [(row["setting"], row["graph_seed"], row["train_seed"]) for row in planned[-2:]] == [
        ("path", 0, 0), ("path", 1, 1)
    ]  # fmt: skip
    Design.load(None, {"runtime.output": str(tmp_path)}, name="generators", settings=5).open()
    assert command("status", "--json", "--runtime.output", str(tmp_path)) == 0
    assert [row["setting"] for row in json.loads(capsys.readouterr().out)["trials"]][-1] == "path"


@pytest.mark.usefixtures("_new")
def test_the_space_of_generators_without_parameters_is_searched_to_its_end(tmp_path: Path) -> None:
    study = design(tmp_path, settings=9, generators=("path", "a_tree", "apart"))
    assert sorted(map(str, drain(SettingSearch(study), 9))) == [
        "a_tree:arity=2",
        "a_tree:arity=3",
        "a_tree:arity=4",
        "apart",
        "path",
    ]
    assert every_spec(["path", "a_tree"]) == ["path", "a_tree:arity=2", "a_tree:arity=3", "a_tree:arity=4"]
    assert space.parameters("path") == {"generator": "path"}


def test_wirings_that_are_named_are_planned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = "chain,residual,complete,random_regular,newman_watts,powerlaw_cluster,stochastic_block,random_geometric"
    keys = ("--generators", names, "--seeds", "2", "--json", "--runtime.output", str(tmp_path))
    assert command("plan", "--search", "grid", *keys) == 0
    rows = json.loads(capsys.readouterr().out)["trials"]
    assert list(dict.fromkeys(row["setting"] for row in rows)) == [
        "chain", "residual", "complete", "random_regular:d=4", "newman_watts:k=4,p=0.5", "powerlaw_cluster:m=4,p=0.5",
        "stochastic_block:blocks=4,p_in=0.6,p_out=0.2", "random_geometric:radius=0.35",
    ]  # fmt: skip
    assert [(row["graph_seed"], row["train_seed"]) for row in rows[:6]] == [(0, 0), (1, 1)] * 3, "nothing is random"
    assert [(row["graph_seed"], row["train_seed"]) for row in rows[6:]] == [(0, 0), (1, 0)] * 5
    study = design(tmp_path / "search", settings=20, generators=tuple(names.split(",")))
    suggested = drain(SettingSearch(study), 20)
    assert len(set(suggested)) == 20
    assert {"chain", "residual", "complete"} <= set(map(str, suggested))


def test_a_generator_that_cannot_be_searched_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = NEW["a_tree"].replace('    domains: ClassVar = {"arity": Domain(2, 4, 1)}\n', "")
    new_files.add(monkeypatch, tmp_path, graphs.__name__, {"a_tree": source})
    assert command("plan", "--runtime.output", str(tmp_path)) == 2
    assert capsys.readouterr().err == (
        "error: randwire/graphs/a_tree.py: `domains` lacks arity: what may a search try?\n"
    )


@pytest.mark.usefixtures("_new")
def test_a_new_generator_joins_graph_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[RunConfig] = []
    monkeypatch.setattr("randwire.cli.train_command.train_one", lambda config: trained.append(config))
    monkeypatch.setattr("signal.signal", lambda *_: None)  # pytest's own stay
    monkeypatch.setattr("randwire.damage.measure.run", lambda *_: None)
    monkeypatch.setattr("randwire.damage.page.write_report", lambda folder: folder / "report.html")
    assert damage(None, ["run", "--output", str(tmp_path)]) == 0
    assert [config.graph.generator for config in trained] == [
        "er:p=0.2", "ba:m=5", "ws:k=4,p=0.75", "a_tree:arity=3", "path"
    ]  # fmt: skip


@pytest.mark.usefixtures("_new")
def test_the_sizes_of_figure_4_are_those_of_the_paper() -> None:
    assert len(list(sizes.settings(1))) == 29
