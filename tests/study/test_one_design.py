"""A folder holds one design: what is given is laid over it, what contradicts it is refused by every verb."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import commands
import pytest
from study_helpers import command, design

from randwire import cli
from randwire.errors import ConfigError
from randwire.records import Record
from randwire.study.design import Design
from randwire.study.folder import StudyFolder, failures_of
from randwire.study.planning import listing
from randwire.study.progress import status
from randwire.study.search import SettingSearch
from randwire.study.setting import Setting

DESIGNING = (["plan"], ["sweep", "--runtime.wandb", "disabled"], ["trial", "1"])
VERBS = (*DESIGNING, ["status"], ["report"])


@pytest.fixture
def study(tmp_path: Path) -> Design:
    """A search over three generators that has begun."""
    opened = design(tmp_path, settings=3, seeds=2)
    opened.open()
    for spec in ("er:p=0.2", "ba:m=5", "ws:k=4,p=0.75"):
        StudyFolder(opened.folder).add_suggestion(Setting(spec))
    return opened


def options_of(study: Design) -> list[str]:
    return ["--name", "study", "--runtime.output", str(study.base.runtime.output)]


CONTRADICTIONS = [
    (["--search", "grid"], "search"),
    (["--seed", "1"], "seed"),
    (["--early-stopping"], "early_stopping"),
    (["--require", "depth>=2"], "require"),
    (["--train.epochs", "9"], "train.epochs"),
    (["--graph.seed", "4"], "graph.seed"),
    (["--base", "small"], "graph.nodes"),
]


@pytest.mark.parametrize("verb", DESIGNING, ids=lambda verb: verb[0])
@pytest.mark.parametrize(("options", "key"), CONTRADICTIONS, ids=[key for _, key in CONTRADICTIONS])
def test_a_contradiction_is_one_line_for_every_verb_that_takes_a_design(
    verb: list[str], options: list[str], key: str, study: Design, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in study.folder.rglob("*") if path.is_file()}
    assert command(*verb, *options, *options_of(study)) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.fullmatch(
        rf"error: {re.escape(str(study.folder))}: holds a study with another {re.escape(key)} \(.*\); "
        r"name this one with --name NAME\n",
        shown.err,
    ), shown.err
    assert {path: path.read_bytes() for path in study.folder.rglob("*") if path.is_file()} == before


def test_a_study_without_variants_is_none_with_them(study: Design, capsys: pytest.CaptureFixture[str]) -> None:
    folder = study.base.runtime.output
    with pytest.raises(ConfigError, match="holds a study with another search"):
        Design.load(None, {"runtime.output": str(folder)}, name="study", search="grid", variants={"one": {}})
    other = design(folder / "other", search="grid", variants={"one": {}})
    other.open()
    assert command("status", "--name", "study", "--runtime.output", str(folder / "other")) == 2
    assert "holds a study with another variants" in capsys.readouterr().err


def test_what_is_not_given_is_that_of_the_folder(study: Design, capsys: pytest.CaptureFixture[str]) -> None:
    assert Design.load(None, {"runtime.output": str(study.base.runtime.output)}, name="study") == study
    assert command("plan", "--json", *options_of(study)) == 0
    planned = json.loads(capsys.readouterr().out)["trials"]
    assert [row["digest"] for row in planned] == [trial.digest for trial in listing(study).trials]
    assert command("status", "--json", *options_of(study)) == 0
    assert [row["digest"] for row in json.loads(capsys.readouterr().out)["trials"]] == [
        row["digest"] for row in planned
    ]


def test_what_is_given_is_laid_over_the_folder(study: Design) -> None:
    output = {"runtime.output": str(study.base.runtime.output)}
    larger = Design.load(None, {**output, "runtime.device": "cpu"}, name="study", settings=8, seeds=5)
    assert (larger.settings, larger.seeds, larger.base.runtime.device) == (8, 5, "cpu")
    assert larger.base.train == study.base.train
    same = Design.load("digits", {**output, "graph.nodes": 12, "train.epochs": 4}, name="study")
    assert same.base == study.base
    assert Design.load(None, {**output, "train.epochs": 4}, name="study") == study


def test_a_new_study_has_the_defaults(tmp_path: Path) -> None:
    loaded = Design.load("digits", {"runtime.output": str(tmp_path), "train.epochs": 3}, name="mine", seeds=3)
    assert loaded == Design(loaded.base, seeds=3)
    assert (loaded.base.train.epochs, loaded.folder) == (3, tmp_path / "mine")


def test_the_configuration_of_a_study_is_read_back_whole(tmp_path: Path) -> None:
    """Also what is no part of its identity: variants are chosen by the generator, and data is read from a path."""
    keys = {"runtime.output": str(tmp_path), "data.path": str(tmp_path / "set"), "train.warmup_epochs": 30.0}
    first = Design.load("small-100", keys, name="mine")
    base = first.base.override({"graph.generator": "ba:m=5", "train.epochs": 60})
    Design(base).open()
    again = Design.load(None, {"runtime.output": str(tmp_path)}, name="mine").base
    assert again == base
    record = Record(tmp_path / "mine")
    old = {key: value for key, value in record.read_json("study.json").items() if key not in ("generator", "data_path")}
    record.write_json("study.json", old)
    assert Design.load(None, {"runtime.output": str(tmp_path)}, name="mine").base.digest != base.digest  # its generator
    assert Design.load(None, {"runtime.output": str(tmp_path)}, name="mine").base.train == base.train


def test_nothing_is_replayed_before_the_design_is_checked(study: Design) -> None:
    other = design(study.base.runtime.output, generators=("ws",))
    for replay in (SettingSearch, listing, status):
        with pytest.raises(ConfigError, match="also holds the generators er, ba, and a study only grows"):
            replay(other)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"base": 1}',
        '{"base": {}}',
        '{"base": {"graph": {}, "data": {}}, "search": "tpe"}',
        '{"base": {}, "variants": {"a": 1}}',
    ],
)
def test_a_damaged_design_is_one_line(content: str, study: Design, capsys: pytest.CaptureFixture[str]) -> None:
    (study.folder / "study.json").write_text(content)
    for verb in VERBS:
        assert command(*verb, *options_of(study)) == 2
        err = capsys.readouterr().err
        assert len(err.splitlines()) == 1
        assert "study.json: damaged" in err


@pytest.mark.parametrize("line", ["[]", '{"setting": 3, "time": 1, "cause": "x"}', '{"cause": "x"}', "{", "\0\0"])
def test_a_damaged_list_of_settings_is_one_line(line: str, study: Design, capsys: pytest.CaptureFixture[str]) -> None:
    path = study.folder / "suggestions.jsonl"
    path.write_text(f"{path.read_text()}{line}\n")
    assert command("status", *options_of(study)) == 2
    assert re.fullmatch(
        r"error: .*suggestions\.jsonl: damaged: line 4 holds no setting; put back a copy, or remove that line\n",
        capsys.readouterr().err,
    )


@pytest.mark.parametrize("line", ["[]", '{"setting": 3, "time": 1, "cause": "x"}', '{"cause": "x"}', "{", "\0\0"])
def test_what_is_no_failure_is_left_out(line: str, study: Design) -> None:
    StudyFolder(study.folder).add_failure(Setting("er:p=0.2"), "a machine was lost")
    with (study.folder / "failures.jsonl").open("a") as file:
        file.write(f"{line}\n")
    assert [(setting.spec, cause) for setting, (_, cause) in failures_of(study.folder).items()] == [
        ("er:p=0.2", "a machine was lost")
    ]


@pytest.mark.parametrize("key", ["graph.generator", "graph.path", "runtime.study", "runtime.variant"])
def test_keys_that_the_study_sets_are_refused(key: str, study: Design, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("plan", f"--{key}", "x", *options_of(study)) == 2
    assert capsys.readouterr().err.startswith(f"error: {key}: ")


def test_variants_that_came_later_lock_no_study(tmp_path: Path) -> None:
    """Such as a node operation that was added as a file, and joins the variants of `studies/node_ops.py`."""
    values = {"runtime.output": str(tmp_path)}
    first = {"one": {}, "two": {"data.crop_area": (0.5, 1.0)}}
    Design.load(None, values, name="mine", search="grid", variants=first).open()
    later = Design.load(
        None, values, name="mine", search="grid", variants=lambda _: {**first, "three": {"train.lr": 1}}
    )
    later.open()
    assert [setting.variant for setting in later.fixed_settings()] == ["one", "two"] * 3
    with pytest.raises(
        ConfigError, match=r"another variants\.two\.data\.crop_area \(\[0\.5, 1\.0\], not \[0\.1, 1\.0\]\)"
    ):
        Design.load(None, values, name="mine", variants={**first, "two": {"data.crop_area": (0.1, 1.0)}})


@dataclass(frozen=True)
class _Grown(Design):
    pruner: str = "halving"

    def identity(self) -> dict[str, Any]:
        return {**super().identity(), "pruner": self.pruner}


def test_a_study_that_is_older_than_an_option_goes_on(study: Design) -> None:
    grown = _Grown.load(None, {"runtime.output": str(study.base.runtime.output)}, name="study")
    assert grown.pruner == "halving"
    with pytest.raises(ConfigError, match=r"another pruner \('halving', not 'hyperband'\)"):
        replace(grown, pruner="hyperband").check()


@pytest.mark.parametrize("later", [{}, {"three": {"train.lr": 2}}], ids=["none", "one"])
def test_variants_that_came_later_are_told(
    later: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("signal.signal", lambda *_: None)  # pytest's own stay
    variants: dict[str, Any] = {"one": {}, "two": {"train.lr": 1}}
    Design.load(None, {"runtime.output": str(tmp_path)}, name="mine", search="grid", variants=variants).open()
    assert cli.study("mine", None, ["plan", "--runtime.output", str(tmp_path)], lambda _: variants | later) == 0
    told = "not in this study: three; --variants one,two,three adds, --name NAME begins one with all\n"
    assert capsys.readouterr().err == (told if later else "")


README = (commands.ROOT / "README.md").read_text()


def test_a_study_is_planned_from_python_as_the_readme_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"^```python\n(from randwire import study\n.*?)^```", README, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    *trials, counts = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in trials] == [f"ER({p})" for p in (0.2, 0.4, 0.6, 0.8) for _ in range(3)]
    assert counts == "Counter({'pending': 12})"
    assert not list(tmp_path.iterdir())


def test_bounds_may_be_texts(tmp_path: Path) -> None:
    values = {"runtime.output": str(tmp_path)}
    made = Design.load(None, values, name="mine", require=["params<=85e3", "depth>=2", "depth >= 2"])
    assert list(map(str, made.require)) == ["depth>=2", "params<=85000"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"generators": ("er", "nope")}, "--generators: must name some of"),
        ({"generators": ()}, "--generators: must name some of"),
        ({"generators": ("er", "ba", "er")}, "--generators: names one more than once, is 'er,ba,er'"),
        (
            {"search": "tpe", "variants": {"one": {}, "two": {"train.lr": 1}}},
            "--search: variants are compared in a grid or a list",
        ),
        ({"search": "fast"}, "--search: must be one of tpe, random, grid, list, race"),
        ({"search": "list"}, "--only: a list needs its settings"),
        ({"search": "tpe", "only": ["ws:k=4,p=1"]}, "--only: is for --search list or race, which is tpe"),
        ({"only": ["ws:k=4"]}, "--only: 'ws:k=4': missing p"),
        ({"search": "grid", "space": ["graph.nodes=8,12"]}, "--space: is for --search tpe or random, which is grid"),
        ({"search": "race", "early_stopping": True}, "--early-stopping: is for --search tpe or random or grid"),
        ({"seeds": 0}, "--seeds: must be a whole number above 0"),
        ({"train_seeds": 1.5}, "--train-seeds: must be a whole number above 0"),
        ({"require": ["depth"]}, "--require"),
    ],
)
def test_options_without_sense_are_refused_from_python_too(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        Design.load(None, {"runtime.output": str(tmp_path)}, name="mine", **options)


def test_a_study_of_a_generator_that_is_gone_is_one_line(study: Design, capsys: pytest.CaptureFixture[str]) -> None:
    record = Record(study.folder)
    record.write_json("study.json", {**record.read_json("study.json"), "generators": ["er", "gone"]})
    assert command("status", *options_of(study)) == 2
    told = r"error: .*/study\.json: damaged: generators: must name some of .*, is 'er,gone'; put back a copy, or .*\n"
    assert re.fullmatch(told, capsys.readouterr().err)


def test_a_list_is_fixed_beforehand_and_a_fresh_command_goes_on_with_it(tmp_path: Path) -> None:
    only, values = ["ba:m=5", "ws:p=0.75,k=4", "ba:m=5", "er:p=0.2"], {"runtime.output": str(tmp_path)}
    listed = Design.load(None, values, name="mine", only=only, seeds=3)
    assert (listed.search, listed.only) == ("list", ("ba:m=5", "ws:k=4,p=0.75", "er:p=0.2"))
    assert [str(setting) for setting in listed.fixed_settings()] == list(listed.only)
    listed.open()
    assert Design.load(None, values, name="mine") == listed
    with pytest.raises(ConfigError, match=r"also holds the setting er:p=0\.2, and a study only grows"):
        Design.load(None, values, name="mine", only=only[:2])
    paper = Design.load(None, values, name="other", only=["paper"], generators=("er", "ba", "ws"))
    assert paper.fixed_settings() == Design.load(None, values, name="third", search="grid").fixed_settings()
