"""The settings of a study in the order in which they were tried, and what came of each."""

from pathlib import Path
from typing import Any

import pytest
from report_helpers import add_trial, write_design

from randwire.records import Record
from randwire.study.folder import StudyFolder
from randwire.study.groups import groups
from randwire.study.objectives import Objective
from randwire.study.results import design_of, load
from randwire.study.setting import Setting
from randwire.study.tried import Tried, suggested, tried

ER, BA, WS = (Setting(spec) for spec in ("er:p=0.2", "ba:m=5", "ws:k=4,p=0.75"))


def search(folder: Path, **more: Any) -> Path:
    """A design of two seeds a setting, of which WS, BA and ER were suggested in this order."""
    write_design(folder, "random", **{"seeds": [0, 1], **more})
    for setting in (WS, BA, ER):
        StudyFolder(folder).add_suggestion(setting)
    return folder


def found(folder: Path) -> list[Tried]:
    trials, _ = load(folder)
    return tried(groups(trials, design_of(folder))[0], design_of(folder), suggested(folder))


def test_settings_come_in_the_order_of_suggestion_with_their_means(tmp_path: Path) -> None:
    search(tmp_path)
    for spec, top1 in (("er:p=0.2", 70.0), ("ba:m=5", 80.0), ("ws:k=4,p=0.75", 90.0)):
        for seed in range(2):
            add_trial(tmp_path, spec, seed, top1 + seed)
    shown = found(tmp_path)
    assert [one.setting for one in shown] == [WS, BA, ER]
    assert [one.value("top1") for one in shown] == [90.5, 80.5, 70.5]
    assert [one.outcome for one in shown] == ["finished"] * 3
    assert [one.scores for one in shown] == [[90.0, 91.0], [80.0, 81.0], [70.0, 71.0]]
    mult_adds = [trial.complexity["mult_adds"] for trial in shown[0].trials]
    assert shown[0].values(Objective.all_of(("top1", "-mult_adds"))) == [90.5, sum(mult_adds) / 2]


def test_only_settings_that_have_finished_have_a_value(tmp_path: Path) -> None:
    search(tmp_path)
    add_trial(tmp_path, "ws:k=4,p=0.75", 0, 90.0)
    for seed, status in enumerate(("finished", "pruned")):
        add_trial(tmp_path, "ba:m=5", seed, 80.0, status=status, epochs=None if status == "finished" else 3)
    StudyFolder(tmp_path).add_suggestion(None, {Setting("er:p=0.6"): ["depth>=20"]})
    shown = {one.setting: one for one in found(tmp_path)}
    outcomes = {setting: one.outcome for setting, one in shown.items()}
    assert outcomes == {WS: "unfinished", BA: "pruned", ER: "unfinished", Setting("er:p=0.6"): "pruned"}
    assert all(one.value("top1") is None for one in shown.values())
    assert shown[WS].scores == [90.0]
    assert shown[ER].name == "ER(0.2)"
    assert shown[Setting("er:p=0.6")].violated == ["depth>=20"]
    add_trial(tmp_path, "ws:k=4,p=0.75", 1, 91.0, status="failed", epochs=2)
    assert {one.setting: one.outcome for one in found(tmp_path)}[WS] == "failed"


def test_what_has_no_suggestion_comes_last_in_the_order_of_its_beginning(tmp_path: Path) -> None:
    write_design(tmp_path, "grid")
    StudyFolder(tmp_path).add_suggestion(ER)
    for spec, hour in (("er:p=0.2", 9), ("ba:m=5", 8), ("ws:k=4,p=0.75", 7)):
        record = Record(tmp_path / add_trial(tmp_path, spec, 0, 70.0).digest)
        started = {**record.read_json("environment.json"), "started": f"2026-01-02T0{hour}:00:00+00:00"}
        record.write_json("environment.json", started)
    assert [one.setting for one in found(tmp_path)] == [ER, WS, BA]
    (tmp_path / "suggestions.jsonl").write_text('{"setting": 3}\n')
    assert [one.setting for one in found(tmp_path)] == [WS, BA, ER]


def test_a_suggestion_of_a_generator_that_is_gone_is_left_out(tmp_path: Path) -> None:
    search(tmp_path)
    add_trial(tmp_path, "er:p=0.2")
    with open(tmp_path / "suggestions.jsonl", "a") as file:
        file.write('{"setting": "vanished:q=1"}\n')
    assert [one.setting for one in found(tmp_path)] == [WS, BA, ER]


@pytest.mark.parametrize(
    ("setting", "parameters"),
    [
        (Setting("ws:k=4,p=0.75"), {"generator": "ws", "ws.k": 4, "ws.p": 0.75}),
        (Setting("chain", "conv"), {"generator": "chain", "variant": "conv"}),
        (
            Setting("ba:m=5", "network.channels=64 network.op=conv"),
            {"generator": "ba", "ba.m": 5, "network.channels": 64, "network.op": "conv"},
        ),
        (Setting("pytorchcv:resnet20_cifar10"), {"generator": "resnet20_cifar10"}),
    ],
    ids=str,
)
def test_parameters_are_those_of_the_generator_and_further_keys(setting: Setting, parameters: dict[str, Any]) -> None:
    assert Tried(setting).parameters == parameters
