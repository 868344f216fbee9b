"""Published networks in a list, beside randomly wired ones, and the study of baselines that is made of both."""

import json
from pathlib import Path
from typing import Any

import commands
import pytest
from study_helpers import end

from randwire.errors import ConfigError
from randwire.study.design import Design
from randwire.study.planning import listing, plan
from randwire.study.progress import status
from randwire.study.results import load as load_trials
from randwire.study.setting import Setting

RESNET = "pytorchcv:resnet20_cifar10"
KEYS: dict[str, Any] = {"data.resolution": 16, "graph.seed": 7}


def listed(folder: Path, **options: Any) -> Design:
    only = ("ws:k=4,p=0.75", RESNET)
    return Design.load("digits", {"runtime.output": folder, **KEYS}, name="mine", only=only, seeds=3, **options)


def test_its_replicates_are_trainings_and_its_keys_its_own(tmp_path: Path) -> None:
    design = listed(tmp_path, train_seeds=2)
    setting = Setting(RESNET)
    trials = design.trials(setting)
    assert [trial.train.seed for trial in trials] == list(range(6))
    assert len({trial.digest for trial in trials}) == 6
    assert {(trial.network.reference, trial.graph.seed, trial.graph.nodes) for trial in trials} == {(RESNET, 0, 32)}
    assert {trial.data.resolution for trial in trials} == {16}
    assert {Setting.of(trial) for trial in trials} == {setting} == {Setting.parse(str(setting))}
    assert (setting.label, setting.family) == ("resnet20_cifar10", "resnet20_cifar10")
    design.open()
    assert Design.load(None, {"runtime.output": tmp_path}, name="mine") == design


def test_it_is_planned_and_stands_beside_the_others(tmp_path: Path) -> None:
    design = listed(tmp_path)
    rows = [row.to_row() for row in plan(design)]
    assert [row["graph_seed"] for row in rows] == [7, 8, 9, None, None, None]
    assert {row["mult_adds"] for row in rows[3:]} == {10_203_776}
    assert "depth" not in rows[3]
    end(design, RESNET, top1=60.0)
    standing = {row["digest"]: row["state"] for row in status(design).rows()}
    assert [standing[str(row["digest"])] for row in rows] == ["pending"] * 3 + ["finished"] * 3
    assert {trial.setting for trial in load_trials(design.folder)[0]} == {"resnet20_cifar10"}


def test_a_confirmation_has_published_networks_too(tmp_path: Path) -> None:
    design = listed(tmp_path)
    design.open()
    for setting in design.fixed_settings():
        for trial in design.trials(setting):
            design.record(trial).write_text("config.yaml", trial.to_yaml())
            summary = {"status": "finished", "val_top1": 70.0 - trial.train.seed, "epochs": 7}
            design.record(trial).write_json("summary.json", summary)
    mine = Design.load(None, {"runtime.output": tmp_path}, name="confirmed", confirm="mine", seeds=2)
    assert mine.only == ("ws:k=4,p=0.75", RESNET)
    assert [trial.train.seed for trial in mine.trials(Setting(RESNET))] == [3, 4]
    assert [trial.graph.seed for trial in mine.trials(Setting("ws:k=4,p=0.75"))] == [10, 11]


@pytest.mark.parametrize(("base", "values"), [("digits", {"network.reference": RESNET}), ("mobilenet", {})])
def test_what_a_study_varies_is_no_published_network(base: str, values: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^network.reference: graphs are what the study varies; compare pytorchcv:"):
        Design.load(base, {"runtime.output": tmp_path, **values}, name="mine", generators=("er",))
    with pytest.raises(ConfigError, match=r"^variant resnet: network.reference cannot differ between variants"):
        Design.load(None, {}, name="mine", variants={"ours": {}, "resnet": {"network.reference": RESNET}})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only": ["pytorchcv:resnet20"]}, "--only: pytorchcv has no network 'resnet20'; close: resnet.*"),
        ({"only": ["er:p=0.2", "ba:m=5", RESNET], "search": "race"}, "--only: .* has no graph seeds to race for; .*"),
        (
            {"only": ["er:p=0.2", RESNET], "variants": {"conv": {"network.op": "conv"}}},
            "--only: .* is a published network, and the variant conv sets network.op, which it lacks",
        ),
        ({"only": ["er:p=0.2"], "generators": ("er",)}, "--generators: the settings are named with --only; .*"),
    ],
)
def test_what_they_have_no_part_in_is_refused_in_one_line(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=f"^{message}$"):
        Design.load("digits", {"runtime.output": tmp_path}, name="mine", **options)


def test_variants_of_the_training_are_crossed_with_published_networks(tmp_path: Path) -> None:
    design = listed(tmp_path, variants={"one": {}, "two": {"train.lr": 0.2}})
    trials = listing(design).settings[Setting(RESNET, "two")]
    assert {(trial.network.reference, trial.train.lr) for trial in trials} == {(RESNET, 0.2)}


def planned(folder: Path, *words: str) -> list[dict[str, Any]]:
    done = commands.call("studies/baselines.py", "plan", "--json", *words, "--runtime.output", str(folder))
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)["trials"]
    return rows


def test_baselines_are_compared_at_the_cost_of_the_published_network(tmp_path: Path) -> None:
    rows = planned(tmp_path)
    settings = list(dict.fromkeys(row["setting"] for row in rows))
    assert settings[-1] == RESNET
    assert {"chain", "complete", "ws:k=4,p=0.75"} < set(settings)
    assert len(rows) == 5 * len(settings)
    assert all(row["mult_adds"] == pytest.approx(10_203_776, rel=0.02) for row in rows)
    assert len({row["digest"] for row in rows}) == len(rows)
    few = planned(tmp_path, "--only", "chain", "--only", "er:p=0.2", "--seeds", "2", "--match-mult-adds", "2e6")
    assert [row["setting"] for row in few] == ["chain"] * 2 + ["er:p=0.2"] * 2
    assert all(row["mult_adds"] == pytest.approx(2e6, rel=0.06) for row in few)


def test_baselines_of_another_base_have_its_images_and_networks_of_its_cost(tmp_path: Path) -> None:
    rows = planned(tmp_path, "--base", "regular-109", "--seeds", "1")
    assert [row["setting"] for row in rows][-2:] == ["pytorchcv:resnet50b", "pytorchcv:resnext50_32x4d"]
    assert all(row["mult_adds"] == pytest.approx(4.089e9, rel=0.04) for row in rows)
