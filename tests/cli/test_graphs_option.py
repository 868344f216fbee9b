"""`train.py PRESET --graphs FOLDER`: the graphs of a configuration as files, ahead of its run."""

import io
import json
from contextlib import AbstractContextManager
from pathlib import Path

import commands
import pytest
from trained_helpers import SMALL, refused

from randwire import graph_files, wiring
from randwire.config import load
from randwire.records import Record, atomic

FILES = ["conv3.txt", "conv4.txt", "conv5.txt", "dag.json", "dag.svg"]


def _write(folder: Path, *keys: str) -> None:
    done = commands.call("train.py", "digits", *commands.TINY, "--graphs", str(folder), *keys)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{folder}\n", "")


def _content(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(folder.iterdir())}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    _write(tmp_path / "some" / "graphs")
    return tmp_path / "some" / "graphs"


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"graph.generator": "er:p=0.3", "graph.seed": 7},
        {"graph.stages": "independent", "graph.generator": "random_geometric:radius=0.5"},
        {"network.regime": "regular", "graph.generator": "random_regular:d=3", "graph.nodes": 12},
    ],
)
def test_saved_graphs_are_those_of_the_configuration(values: dict[str, object], tmp_path: Path) -> None:
    config = load("digits", values)
    graph_files.write_graphs(config, tmp_path / "graphs")
    regime = {key: value for key, value in values.items() if key == "network.regime"}
    again = load("digits", {**regime, "graph.path": str(tmp_path / "graphs")})
    samples = wiring.sample_graphs(config)
    assert wiring.dags_of(wiring.sample_graphs(again)) == wiring.dags_of(samples)
    assert json.loads((tmp_path / "graphs" / "dag.json").read_text()) == wiring.dag_json(samples)
    assert config.title in (tmp_path / "graphs" / "dag.svg").read_text()


def test_the_files_are_those_of_the_record(trained: Path, tmp_path: Path) -> None:
    values = {key: value for key, value in SMALL.items() if key.startswith("graph.")}
    for folder, name in ((tmp_path / "a", "digits"), (tmp_path / "b", str(trained))):
        graph_files.write_graphs(load(name, values), folder)
        assert [path.name for path in sorted(folder.iterdir())] == FILES
        for path in folder.iterdir():
            recorded = trained / ("graphs" if path.suffix == ".txt" else "") / path.name
            assert path.read_bytes() == recorded.read_bytes(), path.name


def test_nothing_is_trained_and_the_same_graphs_may_be_written_again(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("randwire.run._Rank", None)
    before = _content(written)
    assert list(before) == FILES
    _write(written, "--train.epochs", "9", "--runtime.output", str(tmp_path / "runs"))  # keys of other parts
    assert _content(written) == before
    (written / "conv4.txt").unlink()
    (written / "notes.md").write_text("mine")
    _write(written, "--network.channels", "20")
    assert _content(written).keys() == {*FILES, "notes.md"}
    assert _content(written)["conv5.txt"] == before["conv5.txt"]
    assert (written / "conv4.txt").read_text() == (written / "conv3.txt").read_text()
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (("--graph.seed", "1"), "conv3.txt: holds something else, and stays; name another folder, or remove it"),
        (("--graph.stages", "independent"), "holds something else, and stays"),
        (("--network.regime", "regular", "--graph.nodes", "12"), "holds something else, and stays"),
    ],
)
def test_other_graphs_are_not_overwritten(keys: tuple[str, ...], message: str, written: Path) -> None:
    before = _content(written)
    assert message in refused("digits", *commands.TINY, *keys, "--graphs", str(written))
    assert _content(written) == before


def test_a_folder_that_would_be_read_otherwise_is_refused(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "conv2.txt").write_text("0 1\n0 0\n")
    line = refused("digits", "--graphs", str(tmp_path))
    assert "conv2.txt: is no graph of this network, but --graph.path would read it" in line
    assert [path.name for path in tmp_path.iterdir()] == ["conv2.txt"]
    assert "holds a folder `graphs`" in refused("digits", "--graphs", str(trained))
    assert Record(trained).summary() is not None


def test_a_folder_that_cannot_be_written_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "graphs", tmp_path / ("long" * 100)):
        assert "cannot be written (" in refused("digits", "--graphs", str(folder))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert "invalid folder value: ''" in refused("digits", "--graphs", "")


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> AbstractContextManager[io.BytesIO]:
        if path.name == "dag.json":
            raise OSError(28, "No space left on device")
        return atomic(path)  # type: ignore[return-value]

    monkeypatch.setattr("randwire.graph_files.atomic", full)
    assert "(No space left on device)" in refused("digits", "--graphs", str(tmp_path / "new" / "graphs"))
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "notes.md").write_text("mine")
    refused("digits", "--graphs", str(tmp_path / "old"))
    assert [path.name for path in (tmp_path / "old").iterdir()] == ["notes.md"]


def test_a_published_network_has_no_graphs(tmp_path: Path) -> None:
    words = ("digits", "--network.reference", "pytorchcv:resnet20_cifar10", "--graphs", str(tmp_path / "graphs"))
    assert "error: resnet20_cifar10 has no random graphs: there is nothing to write" in refused(*words)
    assert not (tmp_path / "graphs").exists()


def test_impossible_graphs_are_a_line(tmp_path: Path) -> None:
    line = refused("digits", "--graph.generator", "random_regular:d=3", "--graph.nodes", "9", "--graphs", str(tmp_path))
    assert "random_regular:d=3: d times the number of nodes must be even; with 9 nodes take an even d" in line


@pytest.mark.parametrize(
    "other", [("--show",), ("--evaluate",), ("--predict", "a.png"), ("--export", "a.pt2"), ("--json",)]
)
def test_one_thing_at_a_time(other: tuple[str, ...], tmp_path: Path) -> None:
    assert other[0] in refused("digits", "--graphs", str(tmp_path / "graphs"), *other)
    assert not (tmp_path / "graphs").exists()
