"""A confirmation: the winners of an earlier study as a list, on seeds that had no part in choosing them."""

import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from study_helpers import command, drain

from randwire.errors import ConfigError
from randwire.records import Record
from randwire.study.design import Design
from randwire.study.folder import StudyFolder
from randwire.study.groups import groups
from randwire.study.planning import listing
from randwire.study.results import design_of
from randwire.study.results import load as load_trials
from randwire.study.search import SettingSearch
from randwire.study.setting import Setting

KEYS = {"graph.nodes": 12, "train.epochs": 4}
TOP1 = {"ws:k=4,p=0.75": 80.0, "ws:k=4,p=0": 81.0, "ba:m=5": 70.0, "er:p=0.2": 75.0, "er:p=0.4": 74.0}


def finish(design: Design, setting: Setting, top1: float, **summary: Any) -> None:
    """The records of a setting that ended well, a little apart by graph seed."""
    for trial in design.trials(setting):
        record = design.record(trial)
        record.write_text("config.yaml", trial.to_yaml())
        value = top1 + trial.graph.seed % 3 - 1 + trial.train.seed % 3
        record.write_json("summary.json", {"status": "finished", "val_top1": value, "epochs": 4, **summary})


def begun(folder: Path, name: str = "parent", keys: Mapping[str, Any] | None = None, **options: Any) -> Design:
    """A list that has ended, with top-1 as in TOP1."""
    values = {"runtime.output": folder, **KEYS, **(keys or {})}
    design = Design.load("digits", values, name=name, only=list(TOP1), seeds=3, **options)
    design.open()
    for setting in design.fixed_settings():
        StudyFolder(design.folder).add_suggestion(setting)
        finish(design, setting, TOP1[setting.spec])
    return design


def confirm(folder: Path, parent: str = "parent", name: str = "mine", **options: Any) -> Design:
    return Design.load(None, {"runtime.output": folder}, name=name, confirm=parent, **options)


def test_the_winner_of_each_generator_is_a_list_on_fresh_seeds(tmp_path: Path) -> None:
    parent = begun(tmp_path, require=["depth>=2"])
    mine = confirm(tmp_path)
    assert (mine.search, mine.only) == ("list", ("ws:k=4,p=0", "er:p=0.2", "ba:m=5"))
    assert (mine.seeds, mine.base.train.epochs, mine.require) == (10, 4, parent.require)
    used = [trial for setting in parent.fixed_settings() for trial in parent.trials(setting)]
    fresh = listing(mine).trials
    assert len(fresh) == 30
    assert not {trial.graph.seed for trial in fresh} & {trial.graph.seed for trial in used}
    assert not {trial.train.seed for trial in fresh} & {trial.train.seed for trial in used}
    assert (mine.base.graph.seed, mine.base.train.seed) == (3, 3)  # WS(4,0) had training seeds up to 2
    assert confirm(tmp_path, name="two", top=2, seeds=4).only == ("ws:k=4,p=0", "ws:k=4,p=0.75")
    assert confirm(tmp_path, name="er", generators=("er",)).only == ("er:p=0.2",)


def test_what_was_chosen_and_by_what_is_recorded_and_verifiable(tmp_path: Path) -> None:
    begun(tmp_path)
    confirm(tmp_path, top=1).open()
    recorded = Record(tmp_path / "mine").read_json("study.json")
    assert recorded["only"] == ["ws:k=4,p=0"]
    expected = recorded["confirm"]["winners"][0]["fitted"]
    assert 81 < expected < 82, "five settings were looked at, so the best of them was lucky"
    winner = {"setting": "ws:k=4,p=0", "n": 3, "top1": pytest.approx(82.0), "fitted": expected}
    assert recorded["confirm"] == {
        "study": "parent", "design": recorded["confirm"]["design"], "search": "list", "settings": 5, "holdout": 0,
        "winners": [winner],
    }  # fmt: skip
    other = begun(tmp_path / "other", seed=1)
    of_other = confirm(tmp_path / "other").confirm
    assert of_other is not None
    assert of_other.design != recorded["confirm"]["design"]
    assert other.folder.name == of_other.study


def test_it_goes_on_with_what_is_stored(tmp_path: Path) -> None:
    """Also where the parent has other winners since, or is gone, and whether its options are given again or not."""
    parent = begun(tmp_path)
    first = confirm(tmp_path, seeds=4)
    first.open()
    (suggested,) = drain(SettingSearch(first), 1)
    finish(parent, Setting("ba:m=5"), 99.0)
    for again in (
        confirm(tmp_path),
        Design.load(None, {"runtime.output": tmp_path}, name="mine"),
        Design.load("digits", {"runtime.output": tmp_path, **KEYS}, name="mine", confirm="parent"),
    ):
        assert again == first
        again.open()
        assert SettingSearch(again).next() == first.fixed_settings()[1] != suggested
    shutil.rmtree(parent.folder)
    assert confirm(tmp_path) == first
    assert [trial.digest for trial in listing(confirm(tmp_path)).trials] == [t.digest for t in listing(first).trials]
    with pytest.raises(ConfigError, match="holds a study with another confirm \\('parent', not 'other'\\)"):
        confirm(tmp_path, "other")
    with pytest.raises(ConfigError, match="another top"):
        confirm(tmp_path, top=2)


def test_a_confirmation_from_before_expected_means_goes_on(tmp_path: Path) -> None:
    begun(tmp_path)
    confirm(tmp_path).open()
    study = Record(tmp_path / "mine")
    recorded = study.read_json("study.json")
    for winner in recorded["confirm"]["winners"]:
        del winner["fitted"]
    study.write_json("study.json", recorded)
    again = confirm(tmp_path)
    again.open()
    assert again.confirm is not None
    assert [winner.fitted for winner in again.confirm.winners] == [None] * 3
    assert study.read_json("study.json") == recorded


def test_what_chooses_never_sees_the_test_split(tmp_path: Path) -> None:
    parent = begun(tmp_path, keys={"data.holdout": 300})
    planted = {"ws:k=4,p=0": 0.0, "ws:k=4,p=0.75": 50.0, "ba:m=5": 100.0, "er:p=0.2": 1.0, "er:p=0.4": 99.0}
    chosen = []
    for told in (dict.fromkeys(planted, 50.0), planted):
        for setting in parent.fixed_settings():
            finish(parent, setting, TOP1[setting.spec], test_top1=told[setting.spec])
        chosen.append(confirm(tmp_path).confirm)
    before, after = chosen
    assert after is not None
    assert before is not None
    assert (after.winners, after.holdout) == (before.winners, 300)


def test_a_setting_that_has_not_finished_wins_nothing(tmp_path: Path) -> None:
    parent = begun(tmp_path)
    last = parent.trials(Setting("er:p=0.2"))[-1]
    parent.record(last).write_json("summary.json", {"status": "failed", "cause": "x", "val_top1": 99.0})
    assert confirm(tmp_path).only == ("ws:k=4,p=0", "er:p=0.4", "ba:m=5")


def test_who_was_in_a_race_longest_is_first_also_with_fewer_graphs(tmp_path: Path) -> None:
    """Requirements may leave cells out: here the first graph of the one that has won."""
    only = ["er:p=0.2", "ba:m=5", "er:p=0.4"]
    parent = Design.load("digits", {"runtime.output": tmp_path, **KEYS}, name="parent", search="race", only=only)
    parent.open()
    for spec, seeds, top1 in (("er:p=0.2", (1,), 90.0), ("ba:m=5", (0, 1), 80.0), ("er:p=0.4", (0,), 95.0)):
        for trial in replace(parent, seeds=2).trials(Setting(spec)):
            if trial.graph.seed in seeds:
                record = parent.record(trial)
                record.write_text("config.yaml", trial.to_yaml())
                record.write_json("summary.json", {"status": "finished", "val_top1": top1, "epochs": 4})
    assert confirm(tmp_path, top=3).only == ("er:p=0.2", "ba:m=5", "er:p=0.4")
    assert confirm(tmp_path).only == ("er:p=0.2", "ba:m=5")


def test_a_study_that_goes_on_is_confirmed_with_a_word_about_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parent = begun(tmp_path)
    words = ("plan", "--json", "--confirm", "parent", "--name", "mine", "--runtime.output", str(tmp_path))
    assert command(*words) == 0
    assert capsys.readouterr().err == ""
    (parent.record(parent.trials(Setting("er:p=0.4"))[-1]).folder / "summary.json").unlink()
    assert command(*words) == 0
    assert capsys.readouterr().err == "parent has not ended; what is chosen from it now stays chosen\n"
    confirm(tmp_path).open()
    assert command(*words) == 0
    assert capsys.readouterr().err == "", "it has been chosen"


def test_another_configuration_may_be_given(tmp_path: Path) -> None:
    begun(tmp_path)
    mine = Design.load("digits", {"runtime.output": tmp_path, "train.epochs": 9}, name="mine", confirm="parent")
    assert (mine.base.train.epochs, mine.base.graph.seed, mine.base.train.seed) == (9, 3, 3)
    later = Design.load(None, {"runtime.output": tmp_path, "graph.seed": 100}, name="later", confirm="parent")
    assert (later.base.graph.seed, later.base.train.seed) == (100, 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--confirm", "nope"], "--confirm: .*/nope: there is no such study"),
        (["--confirm", "mine"], "--confirm: is the study itself; name the confirmation with --name NAME"),
        (["--confirm", "empty"], "--confirm: empty has no trial that has finished"),
        (["--confirm", "mixed"], "--confirm: the trials of mixed have 2 budgets, .*"),
        (["--confirm", "variants"], "--confirm: variants compares variants; name its settings with --only instead"),
        (["--confirm", "parent", "--top", "6"], "--top: parent has 5 settings that have finished, not 6"),
        (["--confirm", "parent", "--only", "ba:m=5"], "--only: a confirmation has the settings that another study .*"),
        (["--confirm", "parent", "--search", "tpe"], "--confirm: is for --search list, which is tpe"),
        (["--confirm", "parent", "--graph.seed", "2"], "graph.seed: parent used seeds up to 2, .*; begin at 3, .*"),
        (["--confirm", "parent", "--settings", "3"], "--settings: is for --search tpe or random; a list has .*"),
        (["--confirm", "sizes", "--network.channels", "8"], "network.channels: is what sizes has chosen .*; leave .*"),
        (["--only", "ba:m=5", "--top", "2"], "--top: is how many settings of another study are taken; .*"),
    ],
)
def test_what_cannot_be_confirmed_is_told_in_one_line(
    words: list[str], message: str, studies: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("plan", *words, "--name", "mine", "--runtime.output", str(studies)) == 2
    assert re.fullmatch(f"error: {message}\n", capsys.readouterr().err)


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that can be confirmed, and others that cannot."""
    tmp_path = tmp_path_factory.mktemp("studies")
    values = {"runtime.output": tmp_path, **KEYS}
    begun(tmp_path)
    begun(tmp_path, "mixed")
    other = begun(tmp_path / "other", "mixed").base.override({"train.lr": 0.2, "graph.generator": "ba:m=5"})
    record = Record(tmp_path / "mixed" / other.digest)
    record.write_text("config.yaml", other.to_yaml())
    record.write_json("summary.json", {"status": "finished", "val_top1": 50.0, "epochs": 4})
    Design.load("digits", values, name="empty", only=["ba:m=5"]).open()
    sizes = Design.load("digits", values, name="sizes", space=["network.channels=4,6"], generators=["ba"])
    sizes.open()
    finish(sizes, Setting("ba:m=5", "network.channels=6"), 70.0)
    Design.load("digits", values, name="variants", variants={"one": {}, "two": {"train.lr": 1}}).open()
    return tmp_path


def test_a_damaged_confirmation_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begun(tmp_path)
    confirm(tmp_path).open()
    record = Record(tmp_path / "mine")
    record.write_json("study.json", {**record.read_json("study.json"), "confirm": {"study": "parent"}})
    assert command("status", "--name", "mine", "--runtime.output", str(tmp_path)) == 2
    assert "study.json: damaged: " in capsys.readouterr().err


def test_a_network_that_a_search_has_found_is_confirmed_with_its_keys_on_other_training_seeds(tmp_path: Path) -> None:
    """Its graph is what was found, so it stays; and each training is a replicate."""
    texts = ["graph.seed=5:9", "network.channels=16,24"]
    search = Design.load("digits", {"runtime.output": tmp_path, **KEYS}, name="parent", space=texts, settings=4)
    search.open()
    suggested = drain(SettingSearch(search), 4)
    best = suggested[2]
    for setting in suggested:
        finish(search, setting, 99.0 if setting == best else 50.0)
    mine = confirm(tmp_path, top=1, seeds=4)
    (found,) = mine.fixed_settings()
    assert found == best
    (trained,) = search.trials(best)
    fresh = mine.trials(found)
    assert {(trial.graph.seed, trial.network.channels) for trial in fresh} == {
        (trained.graph.seed, trained.network.channels)
    }
    assert [trial.train.seed for trial in fresh] == [trained.train.seed + more for more in (1, 2, 3, 4)]
    mine.open()
    finish(mine, found, 90.0)
    (group,) = groups(*load_trials(mine.folder)[:1], design_of(mine.folder))
    assert (group.origin, [len(values) for values in group.values.values()]) == ("confirmation", [4])
    search = Design.load("digits", {"runtime.output": tmp_path, **KEYS}, name="seeds", space=["train.seed=0:9"])
    search.open()
    with pytest.raises(ConfigError, match="--confirm: seeds searched training seeds"):
        confirm(tmp_path, "seeds", name="other")
