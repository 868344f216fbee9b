"""A setting is a generator and a variant, carried with the trial and recorded: what is compared is never guessed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from study_helpers import design, end

from randwire.config import load
from randwire.errors import ConfigError
from randwire.records import Record
from randwire.study.design import Design
from randwire.study.folder import StudyFolder
from randwire.study.groups import TrialGroup, groups
from randwire.study.progress import status
from randwire.study.results import design_of
from randwire.study.results import load as load_trials
from randwire.study.setting import Setting

PLANTED = {"baseline": 51.1, "bf16": 80.6}
BF16: Mapping[str, Mapping[str, Any]] = {"baseline": {}, "bf16": {"train.precision": "bf16"}}
SUBSET: Mapping[str, Mapping[str, Any]] = {
    "baseline": {"network.op": "conv"},
    "bf16": {"network.op": "conv", "train.precision": "bf16"},
}
TUPLES: Mapping[str, Mapping[str, Any]] = {
    "baseline": {"data.crop_area": (0.5, 1.0)},
    "bf16": {"data.crop_area": [0.25, 1.0], "train.milestones": [0.5]},
}


def study_of(folder: Path, variants: Mapping[str, Mapping[str, Any]], recorded: bool) -> Design:
    """A study with planted top-1 of its two variants, n = 5 of each; `recorded`: as this version records it."""
    study = design(folder, search="grid", generators=("er",), seeds=5, variants=variants)
    study.open()
    for setting in study.fixed_settings():
        end(study, setting, top1=PLANTED[setting.variant])
        for trial in study.trials(setting):
            record = study.record(trial)
            record.write_json("summary.json", {**(record.summary() or {}), "epochs": 4})
            if not recorded:
                content = yaml.safe_load((record.folder / "config.yaml").read_text())
                del content["runtime"]["variant"]
                record.write_text("config.yaml", yaml.safe_dump(content))
    return study


def groups_of(study: Design) -> list[TrialGroup]:
    trials, unreadable = load_trials(study.folder)
    assert not unreadable
    return groups(trials, design_of(study.folder))


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("variants", [BF16, SUBSET, TUPLES], ids=["empty", "subset", "tuples"])
def test_two_variants_are_two_settings(
    variants: Mapping[str, Mapping[str, Any]], recorded: bool, tmp_path: Path
) -> None:
    (group,) = groups_of(study_of(tmp_path, variants, recorded))
    assert group.origin == "grid"
    assert group.values == {"ER(0.2) baseline": [51.1] * 5, "ER(0.2) bf16": [80.6] * 5}


@pytest.mark.parametrize("variant", ["", "bf16", "another"])
def test_a_record_of_no_variant_is_outside_the_grid(variant: str, tmp_path: Path) -> None:
    study = study_of(tmp_path, BF16, recorded=True)
    foreign = study.base.override(
        {"graph.generator": "er:p=0.2", "network.op": "conv", "train.optimizer": "adam", "runtime.variant": variant}
    )
    if variant == "":  # of a value that no variant has
        study = study_of(tmp_path / "subset", SUBSET, recorded=True)
        foreign = study.base.override({"graph.generator": "er:p=0.2", "network.op": "avgpool"})
    record = Record(study.folder / foreign.digest)
    record.write_text("config.yaml", foreign.to_yaml())
    record.write_json("summary.json", {"status": "finished", "val_top1": 1.0, "cause": None, "epochs": 4})
    *_, outside = groups_of(study)
    assert (outside.origin, len(outside.trials)) == ("outside", 1)


@pytest.mark.parametrize("recorded", [True, False])
def test_a_variant_that_is_gone_merges_no_others(recorded: bool, tmp_path: Path) -> None:
    """Such as a node operation whose file was removed."""
    study = study_of(tmp_path, BF16, recorded)
    record = Record(study.folder)
    gone = {"another": {"network.op": "gone"}, **BF16}
    record.write_json("study.json", {**record.read_json("study.json"), "variants": gone})
    (group,) = groups_of(study)
    assert group.values == {"ER(0.2) baseline": [51.1] * 5, "ER(0.2) bf16": [80.6] * 5}


@pytest.mark.parametrize("damage", ["no design", "no base", "no mapping"])
def test_variants_are_apart_and_named_without_their_design(damage: str, tmp_path: Path) -> None:
    study = study_of(tmp_path, BF16, recorded=True)
    record = Record(study.folder)
    design = record.read_json("study.json")
    if damage == "no design":
        (study.folder / "study.json").unlink()
    else:
        change: dict[str, Any] = {"base": {}} if damage == "no base" else {"variants": {"bf16": 1}, "search": None}
        record.write_json("study.json", {**design, **change})
    values = [group.values for group in groups_of(study)]
    assert sorted(values, key=str) == [{"ER(0.2) baseline": [51.1] * 5}, {"ER(0.2) bf16": [80.6] * 5}]


@pytest.mark.parametrize("change", [{"generators": ["er", "gone"]}, {"generators": 3}, {"variants": "x"}])
def test_a_damaged_design_does_not_end_a_report(change: dict[str, Any], tmp_path: Path) -> None:
    study = study_of(tmp_path, BF16, recorded=True)
    record = Record(study.folder)
    record.write_json("study.json", {**record.read_json("study.json"), **change})
    assert sum(len(group.counted) for group in groups_of(study)) == 10


def test_the_status_tells_the_variant(tmp_path: Path) -> None:
    study = study_of(tmp_path, BF16, recorded=True)
    assert [row["setting"] for row in status(study).rows()] == ["er:p=0.2 baseline"] * 5 + ["er:p=0.2 bf16"] * 5


def test_a_variant_is_recorded_and_no_part_of_the_digest(tmp_path: Path) -> None:
    study = design(tmp_path, search="grid", variants=BF16)
    trial = study.trials(Setting("ba:m=5", "bf16"))[0]
    assert load("digits", {"runtime.variant": "x"}).digest == load("digits").digest
    assert yaml.safe_load(trial.to_yaml())["runtime"]["variant"] == "bf16"
    assert Setting.of(trial) == Setting("ba:m=5", "bf16")


@pytest.mark.parametrize("text", ["ws:k=4,p=0.75", "ws:k=4,p=0.75 conv", "ba:m=5 two words"])
def test_a_setting_is_read_back_from_its_text(text: str) -> None:
    assert str(Setting.parse(text)) == text


def test_the_label_of_a_setting_is_in_the_notation_of_the_paper() -> None:
    assert Setting("ws:k=4,p=0.75", "conv").label == "WS(4,0.75) conv"
    assert Setting("ba:m=5").label == "BA(5)"


def test_labels_are_those_of_one_setting_however_near_two_are() -> None:
    labels = [Setting(spec).label for spec in ("er:p=0.1234567", "er:p=0.1234568", "ba:m=1000001", "ba:m=1000002")]
    assert labels == ["ER(0.1234567)", "ER(0.1234568)", "BA(1000001)", "BA(1000002)"]


def test_the_files_of_a_study_have_the_text_of_settings(tmp_path: Path) -> None:
    study = design(tmp_path, search="grid", variants=BF16)
    folder, setting = StudyFolder(study.folder), Setting("ba:m=5", "bf16")
    study.open()
    folder.add_suggestion(setting, {Setting("er:p=0.2", "baseline"): ["depth>=8"]})
    folder.add_failure(setting, "lost")
    rows = [json.loads(line) for line in (study.folder / "suggestions.jsonl").read_text().splitlines()]
    assert rows == [{"setting": "er:p=0.2 baseline", "rejected": ["depth>=8"]}, {"setting": "ba:m=5 bf16"}]
    assert json.loads((study.folder / "failures.jsonl").read_text())["setting"] == "ba:m=5 bf16"
    assert folder.suggestions() == [setting]


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ({"one": {}, "two": {"network.op": "sepconv"}}, "variants one and two: are the same configuration"),
        ({"one": {"data.scale": [1, 1]}, "two": {}}, "variants one and two: are the same configuration"),
        ({"one": {"graph.generator": "er:p=0.2"}}, "variant one: graph.generator"),
        ({"one": {"graph.seed": 3}}, "variant one: graph.seed"),
        ({"one": {"train.seed": 3}}, "variant one: train.seed"),
        ({"one": {"runtime.device": "cpu"}}, "variant one: runtime.device"),
        ({"one": {"network.op": "nope"}}, "variant one: network.op: unknown node operation"),
        ({"one": {"train.nope": 1}}, "variant one: train.nope: unknown key"),
        ({"": {}}, "variant ''"),
        ({"a  b": {}}, "variant 'a  b'"),
    ],
)
def test_variants_that_cannot_be_told_apart_are_refused(
    variants: Mapping[str, Mapping[str, Any]], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as error:
        design(tmp_path, search="grid", variants=variants)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
