"""A study as a journal of Optuna's, read back by Optuna."""

from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from report_helpers import add_grid, add_reference, add_trial, write_design
from study_helpers import command

from randwire.errors import RecordError
from randwire.study.export import export
from randwire.study.folder import StudyFolder
from randwire.study.setting import Setting

SETTINGS = {"ws:k=4,p=0.75": 90.0, "ba:m=5": 88.0, "er:p=0.2": 86.0}


def plant(folder: Path, **more: Any) -> Path:
    """A random search with two graphs of three settings, one that was pruned, one rejected, and one not begun."""
    write_design(folder, "random", **{"seeds": [0, 1], **more})
    for spec, top1 in SETTINGS.items():
        StudyFolder(folder).add_suggestion(Setting(spec))
        for seed in range(2):
            add_trial(folder, spec, seed, top1 + 2 * seed)
    StudyFolder(folder).add_suggestion(Setting("er:p=0.6"), {Setting("ba:m=1"): ["depth<=4"]})
    add_trial(folder, "er:p=0.6", 0, 12.0, status="pruned", epochs=3, cause="stopped early after epoch 3")
    StudyFolder(folder).add_suggestion(Setting("er:p=0.4"))
    return folder


def read(path: Path) -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(str(path)))
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage)


def test_optuna_reads_back_what_the_records_say(tmp_path: Path) -> None:
    folder = plant(tmp_path / "my-study")
    assert export(folder, tmp_path / "study.log") == 0
    study = read(tmp_path / "study.log")
    assert study.study_name == "my-study"
    assert [direction.name for direction in study.directions] == ["MAXIMIZE"]
    assert study.metric_names == ["top1"]
    assert study.user_attrs == {"search": "random"}
    trials = study.trials
    assert [trial.user_attrs["setting"] for trial in trials] == [
        "WS(4,0.75)", "BA(5)", "ER(0.2)", "BA(1)", "ER(0.6)", "ER(0.4)"
    ]  # fmt: skip
    assert [trial.state for trial in trials] == [
        *[TrialState.COMPLETE] * 3, TrialState.PRUNED, TrialState.PRUNED, TrialState.WAITING
    ]  # fmt: skip
    assert [trial.value for trial in trials] == [91.0, 89.0, 87.0, None, None, None]
    assert study.best_trial.params == {"generator": "ws", "ws.k": 4, "ws.p": 0.75}
    assert trials[0].distributions == {
        "generator": CategoricalDistribution(["er", "ba", "ws"]),
        "ws.k": IntDistribution(2, 8, step=2),
        "ws.p": FloatDistribution(0, 1, step=0.05),
    }
    first = trials[0]
    assert (first.user_attrs["n"], first.user_attrs["std"]) == (2, pytest.approx(2**0.5))
    assert sorted(first.user_attrs["digests"]) == sorted(
        path.parent.name for path in folder.glob("*/config.yaml") if "ws:k=4" in path.read_text()
    )
    assert first.datetime_start is not None
    assert first.datetime_complete is not None
    assert first.datetime_start.astimezone() == datetime.fromisoformat("2025-01-02T03:04:05+00:00")
    assert (first.datetime_complete - first.datetime_start).total_seconds() == 16.5
    assert trials[3].user_attrs == {"setting": "BA(1)", "n": 0, "rejected": ["depth<=4"]}
    assert trials[4].user_attrs["cause"] == "stopped early after epoch 3"
    assert trials[5].datetime_start is None


def test_several_objectives_and_further_keys_are_exported(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    space = ["network.channels=4,8,16", "network.op=conv,sepconv", "ws.p=0.5:1:0.25"]
    write_design(folder, "tpe", seeds=[0], space=space, objective=["top1", "-mult_adds"])
    for channels, op in ((4, "conv"), (16, "sepconv")):
        variant = f"network.channels={channels} network.op={op}"
        keys: dict[str, Any] = {"network__channels": channels, "network__op": op, "runtime__variant": variant}
        add_trial(folder, "ws:k=4,p=0.75", 0, 80.0 + channels, **keys)
    export(folder, tmp_path / "study.log")
    study = read(tmp_path / "study.log")
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == ["top1", "mult_adds"]
    assert sorted(trial.params["network.channels"] for trial in study.trials) == [4, 16]
    distributions = study.trials[0].distributions
    assert distributions["network.channels"] == IntDistribution(4, 16, step=4)
    assert distributions["network.op"] == CategoricalDistribution(["conv", "sepconv"])
    assert distributions["ws.p"] == FloatDistribution(0.5, 1, step=0.25)
    assert sorted(trial.values[0] for trial in study.trials) == [84.0, 96.0]
    assert all(trial.values[1] > 1e6 for trial in study.trials)


def test_a_grid_is_exported_and_values_outside_of_the_domain_widen_it(tmp_path: Path) -> None:
    folder = tmp_path / "grid"
    add_grid(folder, seeds=3, generators=["er", "ba", "ws"])
    add_trial(folder, "ba:m=11", 0, 70.0)
    add_reference(folder, "pytorchcv:resnet20_cifar10")
    add_trial(folder, "er:p=0.2", 0, 12.0, train__epochs=9)
    write_design(folder, "list", only=["ba:m=11", "er:p=0.2", "ws:k=4,p=0.75", "pytorchcv:resnet20_cifar10"])
    assert export(folder, tmp_path / "study.log") == 10, "trials outside of the list have no part"
    study = read(tmp_path / "study.log")
    assert {trial.user_attrs["setting"]: trial.user_attrs["n"] for trial in study.trials} == {
        "BA(11)": 1, "ER(0.2)": 3, "WS(4,0.75)": 3, "resnet20_cifar10": 1
    }  # fmt: skip
    by_generator = {trial.params["generator"]: trial for trial in study.trials}
    assert by_generator["ba"].distributions["ba.m"] == IntDistribution(1, 11)
    assert by_generator["resnet20_cifar10"].params == {"generator": "resnet20_cifar10"}
    assert all(trial.state == TrialState.COMPLETE for trial in study.trials)


def test_values_off_the_grid_have_no_step(tmp_path: Path) -> None:
    add_trial(tmp_path / "study", "er:p=0.33")
    add_trial(tmp_path / "study", "er:p=0.95")
    export(tmp_path / "study", tmp_path / "study.log")
    assert read(tmp_path / "study.log").trials[0].distributions["er.p"] == FloatDistribution(0.1, 0.95)


def test_variants_are_a_parameter(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    for op, top1 in (("conv", 80.0), ("avgpool", 70.0)):
        add_trial(folder, "er:p=0.2", 0, top1, network__op=op, runtime__variant=op)
    write_design(folder, "grid", variants={op: {"network.op": op} for op in ("conv", "avgpool")})
    export(folder, tmp_path / "study.log")
    study = read(tmp_path / "study.log")
    assert {trial.params["variant"]: trial.value for trial in study.trials} == {"conv": 80.0, "avgpool": 70.0}
    assert study.trials[0].distributions["variant"] == CategoricalDistribution(["conv", "avgpool"])


def test_a_record_without_times_and_sizes_is_exported_without_them(tmp_path: Path) -> None:
    folder = plant(tmp_path / "study", objective=["top1", "-mult_adds"])
    for path in folder.glob("*/environment.json"):
        path.unlink()
    for path in folder.glob("*/complexity.json"):
        path.unlink()
    export(folder, tmp_path / "study.log")
    trials = read(tmp_path / "study.log").trials
    assert [trial.state for trial in trials[:3]] == [TrialState.FAIL] * 3, "it has no value of an objective"
    assert {trial.datetime_start for trial in trials} == {None}


def test_a_file_that_exists_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = plant(tmp_path / "study")
    path = tmp_path / "study.log"
    path.write_text("mine")
    options = ("report", "--name", "study", "--runtime.output", str(tmp_path), "--optuna", str(path))
    assert command(*options) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"error: {path}: exists already; name a new file, or remove it\n"
    assert path.read_text() == "mine"
    assert not (folder / "report.html").exists(), "nothing was done"


def test_the_command_writes_a_file_and_says_what_is_not_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = plant(tmp_path / "study")
    add_trial(folder, "er:p=0.2", 0, 12.0, train__epochs=9)
    path = tmp_path / "new" / "study.log"
    assert command("report", "--name", "study", "--runtime.output", str(tmp_path), "--optuna", str(path)) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [str(folder / "report.html"), str(path)]
    assert f"{path} is without 1 trial of other budgets" in shown.err
    assert [file.name for file in path.parent.iterdir()] == ["study.log"], "no lock and no half of a file is left"


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = plant(tmp_path / "study")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(RecordError, match=r"study\.log: cannot be written \(No space left on device\)"):
        export(folder, tmp_path / "study.log")
    assert [file.name for file in tmp_path.iterdir()] == ["study"]
