"""The table of all trials and epochs, for other programs."""

import json
import re
from pathlib import Path
from statistics import fmean
from typing import Any

import commands
import pandas
import pytest
from report_helpers import add_grid, add_reference, add_study, add_trial
from scipy.stats import spearmanr

from randwire.dag import DAG
from randwire.errors import RecordError
from randwire.records import Record
from randwire.report import write_table
from randwire.statistics.describe import group
from randwire.study.results import load


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return add_study(tmp_path / "my-study")


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_the_table_has_every_epoch_of_every_trial(study: Path, tmp_path: Path, suffix: str) -> None:
    damaged = add_trial(study, "ba:m=7", 5, 99.0).digest
    (study / damaged / "config.yaml").write_text("graph: {colour: red}")
    add_trial(study, "er:p=0.4", 0, status="failed", epochs=0, cause="no data")
    path = tmp_path / f"trials.{suffix}"
    (broken,) = write_table(study, path)
    assert broken.folder == damaged
    read = pandas.read_parquet if suffix == "parquet" else pandas.read_csv
    table = read(path)
    assert len(table) == 6 * 8 + 3 + 2 + 4 + 1
    assert not table.duplicated(["digest", "epoch"]).any()
    assert set(table["study"]) == {"my-study"}
    assert set(table["design"]) == {"tpe"}
    assert table["budget"].nunique() == 1
    final = table[table["final"]]
    assert sorted(final["val_top1"]) == [77.5, 88.25, 89.25, 90.0, 91.0, 95.0]
    assert (final["val_top1"] == final["final_top1"]).all()
    assert (final["epoch"] == 8).all()
    assert set(table[~table["counted"]]["status"]) == {"pruned", "failed", "unfinished"}
    assert table[~table["counted"]]["final_top1"].isna().all()
    (row,) = table[(table["setting"] == "WS(4,0.75)") & (table["graph_seed"] == 2) & (table["epoch"] == 3)].to_dict(
        "records"
    )
    record = Record(study / row["digest"])
    assert (row["ws_k"], row["ws_p"], row["generator"], row["train_seed"]) == (4, 0.75, "ws", 0)
    assert pandas.isna(row["er_p"])
    assert pandas.isna(row["ba_m"])
    assert {key: row[key] for key in record.metrics()[2]} == pytest.approx(record.metrics()[2])
    measures = record.read_json("dag.json")["stages"]["conv3"]["measures"]
    assert {key: row[key] for key in measures} == pytest.approx(measures)
    assert (row["params"], row["mult_adds"]) == tuple(
        record.read_json("complexity.json")[k] for k in ("params", "mult_adds")
    )


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_the_last_row_of_each_trial_holds_its_graphs(study: Path, tmp_path: Path, suffix: str) -> None:
    write_table(study, tmp_path / f"trials.{suffix}")
    table = (pandas.read_parquet if suffix == "parquet" else pandas.read_csv)(tmp_path / f"trials.{suffix}")
    graphs = table[table.adjacency.notna()]
    assert (graphs.epoch == table.groupby("digest").epoch.transform("max")[graphs.index]).all()
    assert set(graphs.digest) == set(table.digest), "trials that do not count have theirs, too"
    assert len(graphs) == table.digest.nunique()
    for digest, text in graphs.set_index("digest").adjacency.items():
        record = Record(study / str(digest))
        stages = {stage: DAG.from_text(text) for stage, text in record.graphs().items()}
        assert json.loads(text) == {stage: list(map(list, dag.successors)) for stage, dag in stages.items()}


def test_a_trial_without_an_epoch_has_its_graphs_and_a_published_network_has_none(tmp_path: Path) -> None:
    add_trial(tmp_path, "er:p=0.4", status="failed", epochs=0, cause="no data")
    add_reference(tmp_path, "pytorchcv:resnet20_cifar10")
    write_table(tmp_path, tmp_path / "trials.csv")
    table = pandas.read_csv(tmp_path / "trials.csv")
    assert table[table.generator == "er"].adjacency.notna().tolist() == [True]
    assert table[table.generator != "er"].adjacency.isna().all()


def test_tables_of_different_studies_have_columns_of_the_same_types(tmp_path: Path) -> None:
    add_trial(tmp_path / "one", "ba:m=5")
    add_trial(tmp_path / "two", "ws:k=4,p=0.75", status=None, epochs=8)
    add_reference(tmp_path / "three", "pytorchcv:resnet20_cifar10")
    for name in ("one", "two", "three"):
        write_table(tmp_path / name, tmp_path / f"{name}.parquet")
    assert pandas.read_parquet(tmp_path / "three.parquet").adjacency.dtype == "str", "also where no trial has graphs"
    one, two = (pandas.read_parquet(tmp_path / f"{name}.parquet") for name in ("one", "two"))
    assert dict(one.dtypes) == dict(two.dtypes)
    assert set(two["design"]) == {"unknown"}
    assert not two["final"].any(), "a trial that has not ended does not count, whatever its epochs"


def test_a_record_without_the_later_measures_gets_them_from_its_graphs(tmp_path: Path) -> None:
    record = Record(tmp_path / add_trial(tmp_path, "er:p=0.2").digest)
    (expected,) = load(tmp_path)[0]
    described = record.read_json("dag.json")
    for about in described["stages"].values():
        for name in ("shortest_path", "mean_path", "betweenness"):
            del about["measures"][name]
    del described["stages"]["conv4"]["measures"]["path_length"]  # as of a graph that is not connected
    described["stages"]["conv4"]["measures"]["depth"] = 99
    record.write_json("dag.json", described)
    (old,) = load(tmp_path)[0]
    changed = {"path_length", "depth"}
    assert {name: old.measures[name] for name in old.measures.keys() - changed} == {
        name: expected.measures[name] for name in expected.measures.keys() - changed
    }
    assert "path_length" not in old.measures, "what was not recorded because it does not exist stays away"
    assert old.measures["depth"] > expected.measures["depth"], "what was recorded is told as it was"


def test_generators_outside_the_default_study_have_columns_where_they_have_trials(tmp_path: Path) -> None:
    add_trial(tmp_path / "one", "ba:m=5")
    add_trial(tmp_path / "two", "newman_watts:k=4,p=0.5")
    add_trial(tmp_path / "two", "chain")
    for name in ("one", "two"):
        write_table(tmp_path / name, tmp_path / f"{name}.csv")
    one, two = (pandas.read_csv(tmp_path / f"{name}.csv") for name in ("one", "two"))
    assert set(two.columns) - set(one.columns) == {"newman_watts_k", "newman_watts_p"}
    assert set(two[two["setting"] == "NEWMAN_WATTS(4,0.5)"]["newman_watts_k"]) == {4}
    assert two[two["setting"] == "CHAIN"]["newman_watts_k"].isna().all()
    assert {"ba_m", "er_p", "ws_k", "ws_p"} <= set(one.columns)


def test_the_table_is_written_whole_or_not_at_all(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "trials.csv"
    path.write_text("before")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pandas.DataFrame, "to_csv", fail)
    with pytest.raises(RecordError, match="No space left on device"):
        write_table(study, path)
    assert path.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["trials.csv"]


def test_the_report_command_writes_a_table(study: Path, tmp_path: Path) -> None:
    options = ("--name", "my-study", "--runtime.output", str(tmp_path))
    done = commands.call("studies/generators.py", "report", "--table", str(tmp_path / "trials.csv"), *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(study / "report.html"), str(tmp_path / "trials.csv")]
    assert len(pandas.read_csv(tmp_path / "trials.csv")) == 57
    done = commands.call("studies/generators.py", "report", "--table", "trials.xlsx", *options)
    assert done.returncode == 2
    assert "must end in .parquet or .csv" in done.stderr


def test_the_query_of_the_readme_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (commands.ROOT / "README.md").read_text()
    (code,) = re.findall(r"^```python\n(import pandas as pd\n.*?)^```", text, re.MULTILINE | re.DOTALL)
    add_grid(tmp_path / "study")
    write_table(tmp_path / "study", tmp_path / "trials.parquet")
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    shown = capsys.readouterr().out
    assert "WS(4,0.75)" in shown
    trials = load(tmp_path / "study")[0]
    settings = group(trials, lambda trial: trial.setting).values()
    depths = [fmean(trial.measures["depth"] for trial in same) for same in settings]
    scores = [fmean(trial.score for trial in same) for same in settings]
    (row,) = re.findall(r"^.*depth +1\.0.*$", shown, re.MULTILINE)
    assert float(row.split()[-1]) == pytest.approx(spearmanr(depths, scores).statistic, abs=1e-6)


def test_networkx_reads_the_graphs_as_the_readme_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (commands.ROOT / "README.md").read_text()
    (code,) = re.findall(r"^```python\n(import json, networkx.*?)^```", text, re.MULTILINE | re.DOTALL)
    add_trial(tmp_path / "study", "er:p=0.2")
    (trial,) = load(tmp_path / "study")[0]
    write_table(tmp_path / "study", tmp_path / "trials.parquet")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(code, names)
    assert {stage: (len(graph), sorted(graph.edges)) for stage, graph in names["graphs"].items()} == {
        stage: (dag.nodes, list(dag.edges)) for stage, dag in trial.dags.items()
    }
