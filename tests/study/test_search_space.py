"""A user's own space: ranges of parameters and of further keys, from the text of an option to the report."""

import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import optuna
import pytest
from study_helpers import NAMES, command, design, drain, end, every_spec, score

from randwire import config as configuration
from randwire.config.variant import short, values_of_variant, variant_of
from randwire.errors import ConfigError
from randwire.records import Record
from randwire.study.design import Design
from randwire.study.folder import StudyFolder
from randwire.study.groups import TrialGroup, groups
from randwire.study.progress import status
from randwire.study.requirements import Requirement, quantities
from randwire.study.results import design_of, load
from randwire.study.search import SettingSearch
from randwire.study.search_space import SearchSpace
from randwire.study.setting import Setting

TEXTS = ("ws.k=4:8:2", "ws.p=1,0.5,0.75", "network.channels=6,4", "network.op=sepconv,conv", "graph.nodes=12:20:8")
GOLDEN = {
    "tpe er,ba,ws": "1a142d08428106fa",
    "tpe ws": "ac4bee90511652f9",
    "tpe ba": "cb9572915b65226f",
    "random er,ba,ws": "830c504ce1c7a5c6",
    "random ws": "d14c488bc74c38c7",
    "random ba": "cb9572915b65226f",
}
"""Of the 40 settings that a search of seed 3 suggested before searches had ranges, objectives and constraints."""


def parsed(*texts: str, generators: Iterable[str] = NAMES, **keys: Any) -> SearchSpace:
    base = configuration.load("digits", {"graph.nodes": 12, **{k.replace("__", "."): v for k, v in keys.items()}})
    return SearchSpace.parse(texts, tuple(generators), base)


@pytest.mark.parametrize("name", GOLDEN)
def test_suggestions_without_ranges_are_those_of_before(name: str, tmp_path: Path) -> None:
    kind, _, generators = name.partition(" ")
    study = design(tmp_path, search=kind, generators=tuple(generators.split(",")), settings=40, seeds=1, seed=3)
    suggested = "\n".join(map(str, drain(SettingSearch(study), 99)))
    assert hashlib.sha256(suggested.encode()).hexdigest()[:16] == GOLDEN[name]


@pytest.mark.parametrize(
    ("text", "canonical", "values"),
    [
        ("ws.k=4:9:2", "ws.k=4:8:2", [4, 6, 8]),
        ("ws.p = 1, 0.50,0.75", "ws.p=0.5,0.75,1", [0.5, 0.75, 1]),
        ("er.p=0.1:0.31:0.1", "er.p=0.1:0.3:0.1", [0.1, 0.2, 0.3]),
        ("graph.seed=0:99", "graph.seed=0:99:1", list(range(100))),
        ("network.channels=64.0,48", "network.channels=48,64", [48, 64]),
        ("network.op=sepconv,conv", "network.op=sepconv,conv", ["sepconv", "conv"]),
        ("train.lr=1,0.05", "train.lr=0.05,1", [0.05, 1]),
        ("network.head_relu=true,false", "network.head_relu=true,false", [True, False]),
        ("data.eval_resolution=null,32", "data.eval_resolution=null,32", [None, 32]),
        ("data.crop_area=[0.5,1],[0.1,1.0]", "data.crop_area=[0.5,1.0],[0.1,1.0]", [[0.5, 1.0], [0.1, 1.0]]),
    ],
)
def test_a_range_has_one_text_and_its_values(text: str, canonical: str, values: list[Any]) -> None:
    found = parsed(text)
    assert found.texts == (canonical,)
    assert parsed(canonical).texts == (canonical,)
    assert list(next(iter(found.ranges.values())).values) == values


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["wz.k=1:2"], "wz.k: unknown key; did you mean ws.k?"),
        (["ws.q=1"], "ws.q: ws has no parameter 'q'; did you mean ws.p?"),
        (["network.chanels=3"], "network.chanels: unknown key; did you mean network.channels?"),
        (["ws.k=8:4"], "is empty, 8 is above 4"),
        (["ws.k=4:8:0"], "the step must be above 0"),
        (["ws.k=4:8:-2"], "the step must be above 0"),
        (["ws.k=4:x"], "a range is LOW:HIGH or LOW:HIGH:STEP"),
        (["ws.p=0:nan:0.1"], "a range is LOW:HIGH or LOW:HIGH:STEP"),
        (["ws.p=0:1:1e-9"], "more than 1,000,000 values"),
        (["ws.k=3:9:2"], "ws.k: ws:k=3,p=0: k must be even"),
        (["ws.k=4:40:4"], "ws.k: ws:k=12,p=0: k must be below the number of nodes, 12"),
        (["ws.p=0:2:0.5"], "p must be in 0..1"),
        (["network.op=conv,foo"], "network.op: unknown node operation 'foo'"),
        (["network.channels=1:8"], "network.channels: input should be greater than or equal to 2, is 1"),
        (["train.lr=nan"], "train.lr: input should be a finite number"),
        (["graph.seed=-1:4"], "graph.seed: input should be greater than or equal to 0"),
        (["graph.seed=0:1e17"], "more than 1,000,000 values"),
        (["graph.seed=0:10000000000000000"], "too large to be searched"),
        (["train.lr=0.1,0.10"], "train.lr: 0.1 stands there twice"),
        (["network.head_relu=false,0"], "network.head_relu: false stands there twice"),
        (["ws.k=4", "ws.k=6"], "ws.k is given twice"),
        (["ws.p=0.5,,1"], "a value is empty"),
        (["network.op=a b"], "'a b' is no single word"),
        (["ws.k"], "'ws.k': write KEY=LOW:HIGH:STEP or KEY=VALUE,VALUE"),
        (["=4"], "write KEY="),
        (["graph.generator=er:p=1"], "graph.generator: --generators names what is searched"),
        (["graph.path=a,b"], "graph.path: saved graphs are not drawn"),
        (["runtime.device=cpu"], "runtime.device: runtime keys change no result"),
        (["data.path=a"], "data.path: files are not searched"),
        (["train.pretrained=a"], "train.pretrained: files are not searched"),
        (["data.source=digits,mnist"], "data.source: results on different images cannot be compared"),
    ],
)
def test_what_is_no_range_is_one_line(texts: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parsed(*texts)
    assert message in str(error.value)
    assert str(error.value).startswith("--space: ")
    assert len(str(error.value).splitlines()) == 1


def test_a_generator_that_the_study_does_not_have_has_no_range() -> None:
    with pytest.raises(ConfigError, match=r"ba\.m: ba is no generator of this study \(--generators\)"):
        parsed("ba.m=1:4", generators=("er", "ws"))


def test_a_value_that_only_some_combinations_allow_is_taken(tmp_path: Path) -> None:
    study = design(
        tmp_path, space=("ws.k=4:16:4", "ws.p=0.5", "graph.nodes=6,12,20"), generators=("ws",), settings=9, seeds=1
    )
    suggested = drain(SettingSearch(study), 999)
    possible = {(k, nodes) for k in (4, 8, 12, 16) for nodes in (6, 12, 20) if k < nodes}
    found = {(trial.generator.params()["k"], trial.graph.nodes) for one in suggested for trial in study.trials(one)}
    assert found == possible
    assert len(suggested) == len(possible) == 7


VALUES: dict[str, Any] = {
    "graph.seed": 7,
    "network.channels": 64,
    "train.lr": 1e-05,
    "network.op": "conv",
    "network.head_relu": False,
    "data.eval_resolution": None,
    "data.crop_area": [0.5, 1.0],
}


def test_keys_are_the_variant_of_a_setting_and_come_back_from_its_text() -> None:
    setting = Setting("ws:k=4,p=0.75", variant_of({"network.channels": 64, "graph.seed": 7}))
    assert str(setting) == "ws:k=4,p=0.75 graph.seed=7 network.channels=64"
    assert Setting.parse(str(setting)) == setting
    assert setting.label == "WS(4,0.75) seed=7 channels=64"
    assert values_of_variant(variant_of(VALUES)) == VALUES
    assert short("graph.seed=1 network.op=conv train.seed=2") == "graph.seed=1 op=conv train.seed=2"
    for name in ("", "conv", "two words", "a.b=c", "network.op=conv x"):
        assert (values_of_variant(name), short(name)) == ({}, name)


def test_the_space_is_counted_numbered_and_reached(tmp_path: Path) -> None:
    found = parsed(*TEXTS)
    assert found.size == (17 + 8 + 3 * 3) * 2 * 2 * 2
    every = list(found.every())
    assert len(set(every)) == len(every) == found.size
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = set()
    for _ in range(400):
        trial = study.ask()
        setting = found.suggest(trial)
        assert found.parameters(setting) == pytest.approx(trial.params)
        seen.add(setting)
        study.tell(trial, 0)
    assert 150 < len(seen) <= found.size
    assert seen <= set(every)
    assert len({setting for setting in every if setting.spec.startswith("ws")} - seen) < 20
    plain = parsed()
    assert [setting.spec for setting in plain.every()] == every_spec(NAMES)


def test_a_search_begins_next_to_the_paper_and_the_configuration() -> None:
    base = configuration.load("digits", {"graph.nodes": 12})
    near = parsed("ws.k=6:8:2", "ws.p=0.5,1", "network.channels=4,15,17", "network.op=conv,avgpool").first(base)
    assert [str(setting) for setting in near] == [
        f"{spec} network.channels=15 network.op=conv" for spec in ("er:p=0.2", "ba:m=5", "ws:k=6,p=0.5")
    ]
    few = parsed("graph.nodes=3:5:2", "ws.k=2:4:2").first(base)  # 5 nodes: no BA(5)
    assert [str(setting) for setting in few] == ["er:p=0.2 graph.nodes=5", "ws:k=4,p=0.75 graph.nodes=5"]


@pytest.mark.parametrize("kind", ["tpe", "random"])
@pytest.mark.parametrize("objective", [("top1",), ("top1", "-mult_adds"), ("-depth",)], ids=",".join)
def test_an_interrupted_search_with_keys_goes_on_as_an_undisturbed_one(
    kind: str, objective: tuple[str, ...], tmp_path: Path
) -> None:
    options: dict[str, Any] = {"search": kind, "settings": 16, "seeds": 1, "space": TEXTS, "objective": objective}
    options["require"] = (Requirement("depth", "<=", 9),)
    whole = design(tmp_path / "whole", **options)
    suggested = drain(SettingSearch(whole), 99)
    assert len(suggested) == len(set(suggested)) == 16
    parts = design(tmp_path / "parts", **options)
    while len(StudyFolder(parts.folder).suggestions()) < 16:
        drain(SettingSearch(parts), 5)
    assert list(StudyFolder(parts.folder).entries().items()) == list(StudyFolder(whole.folder).entries().items())
    assert len(StudyFolder(parts.folder).entries()) > 16  # some were rejected


@pytest.mark.parametrize("objective", [("top1",), ("top1", "-params")], ids=",".join)
def test_what_only_tells_changes_no_suggestion(objective: tuple[str, ...], tmp_path: Path) -> None:
    options: dict[str, Any] = {"settings": 18, "seeds": 1, "space": TEXTS[:3], "objective": objective}
    whole = drain(SettingSearch(design(tmp_path / "whole", **options)), 99)
    told = design(tmp_path / "told", **options)
    drain(SettingSearch(told), 13)
    for number, path in enumerate(sorted(told.folder.glob("*/summary.json"))):
        record = Record(path.parent)
        record.write_json("summary.json", {**record.read_json("summary.json"), "test_top1": 7.0 * number})
    drain(SettingSearch(told), 99)
    assert StudyFolder(told.folder).suggestions() == whole


def test_optuna_learns_top1_and_the_means_of_quantities(tmp_path: Path) -> None:
    study = design(tmp_path, settings=2, seeds=2, objective=("-mult_adds", "top1", "depth"))
    (first, _) = drain(SettingSearch(study), 2)
    trial = SettingSearch(study).study.trials[0]
    one, two = map(quantities, study.trials(first))
    assert trial.values == [(one["mult_adds"] + two["mult_adds"]) / 2, score(first), (one["depth"] + two["depth"]) / 2]
    assert one["depth"] != two["depth"]
    assert [way.name for way in SettingSearch(study).study.directions] == ["MINIMIZE", "MAXIMIZE", "MAXIMIZE"]


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (("speed",), "--objective: unknown name 'speed'; known: top1, params, mult_adds"),
        (("top1", "-top1"), "--objective: top1 stands there twice"),
        ((), "--objective: must name some of top1"),
    ],
)
def test_what_is_no_objective_is_one_line(objective: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        design(tmp_path, objective=objective)
    with pytest.raises(ConfigError, match="--early-stopping: judges by top-1 alone, and not by top1,-depth"):
        design(tmp_path, objective=("top1", "-depth"), early_stopping=True)


def test_optuna_learns_how_far_a_setting_is_beyond_a_bound(tmp_path: Path) -> None:
    bounds = (Requirement("depth", "<=", 8), Requirement("sources", "<", 3))
    study = design(tmp_path, settings=4, seeds=2, require=bounds, search="random")
    search = SettingSearch(study)
    drain(search, 99)
    StudyFolder(study.folder).add_suggestion(None, search.rejected)  # as a sweep leaves it
    free = design(tmp_path / "free", seeds=2)
    rejected = [trial for trial in search.study.trials if trial.state is optuna.trial.TrialState.PRUNED]
    assert len(rejected) == len(search.rejected) > 3
    for setting, trial in zip(search.rejected, rejected, strict=True):
        cells = [quantities(cell) for cell in free.trials(setting)]
        depth, sources = (max(cell[name] for cell in cells) for name in ("depth", "sources"))
        expected = {"depth<=8": depth / 8 - 1, "sources<3": sources / 3 - 1 if sources != 3 else 1e-9}
        assert trial.constraints == pytest.approx(expected)
        assert {name for name, beyond in trial.constraints.items() if beyond > 0} == set(search.rejected[setting])
    again = [trial.constraints for trial in SettingSearch(study).study.trials if trial.constraints]
    assert again == [trial.constraints for trial in rejected]


def test_trials_of_a_suggested_setting_have_its_keys(tmp_path: Path) -> None:
    study = design(tmp_path, space=TEXTS, seeds=2)
    study.open()
    (first, *_) = SettingSearch(study).foreseeable()
    assert str(first) == "er:p=0.2 graph.nodes=12 network.channels=6 network.op=sepconv"
    one, two = study.trials(first)
    assert (one.graph.nodes, one.network.channels, one.network.op) == (12, 6, "sepconv")
    assert (one.graph.seed, two.graph.seed) == (0, 1)
    assert Setting.of(one) == first
    assert Record(study.folder).read_json("study.json")["space"] == sorted(
        ["graph.nodes=12:20:8", "network.channels=4,6", "network.op=sepconv,conv", "ws.k=4:8:2", "ws.p=0.5,0.75,1"]
    )
    values = {"runtime.output": str(tmp_path)}
    assert Design.load(None, values, name="study") == study
    assert Design.load(None, values, name="study", space=[*reversed(TEXTS)]) == study


def test_the_space_is_part_of_the_study(tmp_path: Path) -> None:
    design(tmp_path, space=("ws.k=4:8:2",)).open()
    design(tmp_path, space=("ws.k = 4:9:2",)).open()
    for other in ((), ("ws.k=2:8:2",), ("ws.k=4:8:2", "network.channels=4,8")):
        with pytest.raises(ConfigError, match=r"another space .*--name"):
            design(tmp_path, space=other).open()


def test_a_seed_in_the_space_makes_a_suggestion_one_network(tmp_path: Path) -> None:
    values = {"runtime.output": str(tmp_path), "graph.nodes": 12}
    study = Design.load("digits", values, name="study", space=["graph.seed=3:900000"], train_seeds=2, settings=40)
    assert study.seeds == 1
    suggested = drain(SettingSearch(study), 99)
    for setting in (*suggested, Setting("ws:k=4,p=0", "graph.seed=5")):
        trials = study.trials(setting)
        seed = values_of_variant(setting.variant)["graph.seed"]
        fixed = setting.one_network  # such as WS(4,0): another seed is another training
        assert [trial.graph.seed for trial in trials] == [seed, seed]
        assert [trial.train.seed for trial in trials] == ([2 * seed, 2 * seed + 1] if fixed else [0, 1])
    assert [values_of_variant(setting.variant)["graph.seed"] for setting in suggested[:3]] == [3, 3, 3]
    assert len({values_of_variant(setting.variant)["graph.seed"] for setting in suggested}) > 20
    with pytest.raises(ConfigError, match=r"--seeds: must be 1 with graph\.seed in --space"):
        Design.load("digits", values, name="study", space=["graph.seed=0:9"], seeds=2)


def test_a_space_of_billions_is_counted_and_sampled_without_being_listed(tmp_path: Path) -> None:
    texts = ("graph.seed=0:99999999", "network.channels=4:400", "train.lr=0.001:0.1:0.001")
    study = design(tmp_path, space=texts, settings=5_000, seeds=1, search="random")
    search = SettingSearch(study)
    assert study.search_space.size == 109 * 10**8 * 397 * 100
    assert search.later == 5_000
    search.suggested = list(study.search_space.sample(2_000, random.Random(0)))
    assert search.later == 3_000
    assert study.search_space.at(study.search_space.size - 1) == Setting(
        "ws:k=8,p=1", "graph.seed=99999999 network.channels=400 train.lr=0.1"
    )


def test_a_large_space_in_which_little_is_left_ends_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("randwire.study.search.MAX_LISTED", 10)
    monkeypatch.setattr("randwire.study.search.MAX_SAMPLED", 40)
    study = design(tmp_path, space=("graph.seed=0:99",), seeds=1, require=(Requirement("depth", ">", 12),))
    search = SettingSearch(study)
    assert search.next() is None
    assert search.exhausted
    assert search.later == 0


def grouped(study: Design) -> list[TrialGroup]:
    trials, unreadable = load(study.folder)
    assert not unreadable
    return groups(trials, design_of(study.folder))


def finish(study: Design, settings: Iterable[Setting]) -> None:
    for setting in settings:
        end(study, setting, top1=score(setting))
        for trial in study.trials(setting):
            record = study.record(trial)
            record.write_json("summary.json", {**(record.summary() or {}), "epochs": trial.train.epochs})


def test_the_report_has_one_budget_and_names_the_keys(tmp_path: Path) -> None:
    study = design(tmp_path, space=("network.channels=4,10", "train.epochs=3,4"), settings=9, generators=("ws",))
    study.open()
    settings = list(SettingSearch(study).foreseeable())
    finish(study, settings)
    (group,) = grouped(study)
    assert group.origin == "search"
    assert {name: len(values) for name, values in group.values.items()} == {one.label: 2 for one in settings}
    assert {trial.varied for trial in group.trials} == {("network.channels", "train.epochs")}
    assert all("channels=" in name and "epochs=" in name for name in group.values)
    assert {row["setting"] for row in status(study).rows()} == set(map(str, settings))
    by_hand = {"graph.generator": "ws:k=4,p=0.75", "network.channels": 10, "train.epochs": 4, "graph.seed": 9}
    foreign = study.base.override(by_hand)
    Record(study.folder / foreign.digest).write_text("config.yaml", foreign.to_yaml())
    names = [trial.name for trial in load(study.folder)[0]]
    assert names.count("WS(4,0.75) channels=10 epochs=4 g9 t0") == 1  # by its values: it records no variant
    (study.folder / "study.json").unlink()
    assert len(grouped(study)) >= 4


def test_the_plan_tells_and_the_command_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = ("--graph.nodes", "12", "--runtime.output", str(tmp_path))
    given = ("--space", "ws.k=4:8:2", "--space", "network.channels=4,6", "--generators", "ws", "--settings", "4")
    assert command("plan", "--json", *given, *keys) == 0
    shown = json.loads(capsys.readouterr().out)
    assert Counter(row["setting"] for row in shown["trials"])["ws:k=4,p=0.75 network.channels=6"] == 2
    assert command("plan", *given, *keys) == 0
    assert "WS(4,0.75) channels=6" in capsys.readouterr().out
    assert command("plan", "--space", "train.epochs=2,3,40", "--settings", "9", *keys) == 0
    assert "18 trials of 2 to 40 epochs" in capsys.readouterr().out
    assert command("plan", "--search", "grid", "--space", "ws.k=4", *keys) == 2
    assert "--space: is for --search tpe or random, which is grid" in capsys.readouterr().err
    assert command("plan", "--space", "network.channels=4,6", "--match-mult-adds", "1e6", *keys) == 2
    assert capsys.readouterr().err == "error: --match-mult-adds: chooses network.channels, which --space has too\n"
    assert not list(tmp_path.iterdir())
