"""Saved graphs: networks on graphs that were drawn once, or written by hand."""

import shutil
from pathlib import Path

import commands
import pytest
from trained_helpers import CPU, refused, settings

import randwire
from randwire import config as configuration
from randwire import run, wiring
from randwire.dag import DAG
from randwire.errors import ConfigError
from randwire.records import Record, find_records
from randwire.report.page.study_page import write_report
from randwire.study.groups import groups
from randwire.study.results import Trial, read
from randwire.training.worker import ProcessWorker


def test_saved_graphs_are_taken_as_they_are(trained: Path, tmp_path: Path) -> None:
    drawn = {stage: DAG.from_text(text) for stage, text in Record(trained).graphs().items()}
    randwire.export(trained, tmp_path / "net.safetensors")
    for path in (trained, trained / "graphs", tmp_path / "net.safetensors"):
        config = settings(tmp_path, graph__path=str(path), graph__seed=99, graph__generator="er:p=0.5")
        samples = wiring.sample_graphs(config)
        assert {stage: sample.dag for stage, sample in samples.items()} == drawn
        assert all(sample.redraws == 0 for sample in samples.values())


def test_no_generator_is_asked_for_saved_graphs(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings(Path("unused"), graph__path=str(trained))

    def fail(*_: object) -> None:
        raise AssertionError("a graph was drawn")

    monkeypatch.setattr("randwire.graphs.Generator.sample", fail)
    monkeypatch.setattr("randwire.graphs.ws.WS.draw", fail)
    assert len(wiring.sample_graphs(config)) == 3


def test_one_file_is_the_graph_of_every_stage(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("0 1 1\n0 0 1\n0 0 0\n")
    config = settings(tmp_path, graph__path=str(tmp_path / "mine.txt"), network__regime="regular")
    expected = DAG(3, ((0, 1), (0, 2), (1, 2)))
    assert {s: sample.dag for s, sample in wiring.sample_graphs(config).items()} == dict.fromkeys(
        ("conv2", "conv3", "conv4", "conv5"), expected
    )


def test_the_content_of_saved_graphs_names_the_run_and_their_path_does_not(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "graphs", tmp_path / "moved")
    config = settings(tmp_path, graph__path=str(trained))
    assert config.digest == settings(tmp_path, graph__path=str(tmp_path / "moved")).digest
    assert config.digest == settings(tmp_path, graph__path=str(trained), graph__seed=5).digest
    assert config.digest != settings(tmp_path).digest
    (tmp_path / "moved" / "conv4.txt").write_text("0 1\n0 0\n")
    assert config.digest != settings(tmp_path, graph__path=str(tmp_path / "moved")).digest
    assert config.label == f"saved {config.graph.path_sha256[:8]}" if config.graph.path_sha256 else False
    assert config.graph.path is not None
    assert config.graph.path.is_absolute()


def test_a_run_on_saved_graphs_equals_the_one_that_drew_them_and_replays_without_them(tmp_path: Path) -> None:
    first = settings(tmp_path / "first")
    run.run(first, ProcessWorker(CPU))
    record = run.record_of(first)
    shutil.copytree(record.folder / "graphs", tmp_path / "copy")
    second = settings(tmp_path / "second", graph__path=str(tmp_path / "copy"))
    run.run(second, ProcessWorker(CPU))
    top1 = [row["val_top1"] for row in record.metrics()]
    assert [row["val_top1"] for row in run.record_of(second).metrics()] == top1
    shutil.rmtree(tmp_path / "copy")
    replayed = configuration.load(str(run.record_of(second).folder), {"runtime.study": "replay"})
    assert replayed.digest == second.digest
    run.run(replayed, ProcessWorker(CPU))
    assert [row["val_top1"] for row in run.record_of(replayed).metrics()] == top1


def test_saved_graphs_that_change_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("0 1 1\n0 0 1\n0 0 0\n")
    config = settings(tmp_path, graph__path=str(tmp_path / "mine.txt"))
    (tmp_path / "mine.txt").write_text(" 0 1  1\n0 0 1 \n0 0 0\n\n")  # spaces are not content
    wiring.sample_graphs(config)
    (tmp_path / "mine.txt").write_text("0 1 0\n0 0 1\n0 0 0\n")
    with pytest.raises(ConfigError, match=r"graph.path: .*mine.txt has changed since"):
        wiring.sample_graphs(config)
    assert wiring.sample_graphs(configuration.resolve(config.override({"graph.path": str(tmp_path / "mine.txt")})))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("0 1\n1 0\n", "row 2, column 1: only entries above the diagonal"),
        ("0 1\n0 2\n", "row 2, column 2 is '2', expected 0 or 1"),
        ("0 1 0\n0 0 1\n", "row 1 has 3 entries, expected 2"),
        ("", "a DAG needs at least one node"),
        ("\xff\xfe", "mine.txt"),
    ],
)
def test_wrong_adjacency_text_is_a_line(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError, match=message) as caught:
        settings(tmp_path, graph__path=str(tmp_path / "mine.txt"))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("graph.path: ")


def test_graphs_of_other_stages_are_a_line(trained: Path, tmp_path: Path) -> None:
    assert "needs conv2, conv3, conv4, conv5" in refused(
        "digits", "--show", "--graph.path", str(trained), "--network.regime", "regular"
    )
    (tmp_path / "empty").mkdir()
    assert "holds no adjacency matrix" in refused("digits", "--show", "--graph.path", str(tmp_path / "empty"))
    path = tmp_path / "net.safetensors"
    assert "net.safetensors: cannot be read" in refused("digits", "--show", "--graph.path", str(path))
    for content in (b"", b"\xff" * 20, b"\x02" + b"\0" * 7 + b"[]", b"\x02" + b"\0" * 7 + b"{}"):
        path.write_bytes(content)
        assert "net.safetensors: damaged, or not a network" in refused("digits", "--show", "--graph.path", str(path))


def test_a_study_does_not_take_saved_graphs(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(settings(tmp_path, graph__path=str(trained)).to_yaml())
    for arguments in (
        ("--graph.path", str(trained)),
        ("--base", str(tmp_path / "base.yaml")),
        ("--train.pretrained", str(trained)),
    ):
        done = commands.call("studies/generators.py", "plan", *arguments, "--runtime.output", str(tmp_path))
        assert done.returncode == 2
        assert "graphs are what the study varies" in done.stderr


def test_a_report_shows_trials_on_saved_graphs_apart(trained: Path, tmp_path: Path) -> None:
    for keys in ({"train__schedule": "step"}, {"graph__path": str(trained), "graph__seed": 5}):
        run.run(settings(tmp_path, train__epochs=1, **keys), ProcessWorker(CPU))
    page = write_report(tmp_path / "local").read_text()
    name = settings(tmp_path, graph__path=str(trained)).label
    assert name in page
    assert "WS(4,0.75)" in page
    assert "(linear warm-up, steps); largest deviation 0." in page
    assert "(linear warm-up, half a cosine); largest deviation 0." in page
    trials = [trial for record in find_records(tmp_path / "local") if isinstance(trial := read(record), Trial)]
    assert {(trial.generator, trial.setting) for trial in trials} == {("ws", "WS(4,0.75)"), ("saved", name)}
    assert "saved graphs, sepconv" in page
    assert len(groups(trials)) == 2, "what was drawn is not compared with what was saved"
