"""Requirements: what breaks a bound is never trained, whatever the search, and however often it is interrupted."""

import json
from collections import Counter
from pathlib import Path
from statistics import fmean

import optuna
import pytest
from study_helpers import NAMES, command, design, drain, end, every_spec

from randwire import config as configuration
from randwire.config import RunConfig
from randwire.errors import ConfigError
from randwire.model.complexity import complexity
from randwire.records import Record
from randwire.study import planning, space
from randwire.study.design import Design
from randwire.study.folder import StudyFolder
from randwire.study.requirements import MEASURES, QUANTITIES, Requirement, quantities
from randwire.study.search import SettingSearch
from randwire.study.setting import Setting
from randwire.tracking import NullTracker
from randwire.wiring import sample_graphs

DEEP = (Requirement("depth", ">=", 8),)
SMALL_AND_DEEP = (Requirement("depth", ">=", 8), Requirement("params", "<=", 85_000))


def depths(trial: RunConfig) -> set[int]:
    return {sample.dag.depth for sample in sample_graphs(trial).values()}


@pytest.mark.parametrize(
    ("text", "canonical", "below", "at", "above"),
    [
        ("mult_adds<=600e6", "mult_adds<=600000000", True, True, False),
        (" depth >= 8 ", "depth>=8", False, True, True),
        ("clustering<0.25", "clustering<0.25", True, False, False),
        ("path_length > 2.5", "path_length>2.5", False, False, True),
    ],
)
def test_a_bound_is_read_told_and_kept(text: str, canonical: str, below: bool, at: bool, above: bool) -> None:
    requirement = Requirement.parse(text)
    assert str(requirement) == canonical
    assert Requirement.parse(canonical) == requirement
    values = (requirement.bound - 0.125, requirement.bound, requirement.bound + 0.125)
    assert [requirement.met({requirement.name: value}) for value in values] == [below, at, above]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "dept>=8",
            "unknown name 'dept'; known: params, mult_adds, activations, nodes, edges, sources, sinks, depth",
        ),
        ("depth=8", "no bound"),
        ("depth>=", "no bound"),
        ("depth>=8<=9", "no bound"),
        ("depth==8", "no bound"),
        ("8<=depth", "unknown name '8'"),
        ("depth>=deep", "'deep' is no finite number"),
        ("depth>=nan", "no finite number"),
        ("depth<=inf", "no finite number"),
        ("", "no bound"),
    ],
)
def test_what_is_no_bound_is_a_line_and_exit_code_2(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("plan", "--require", text, "--runtime.output", str(tmp_path)) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err
    assert len(shown.err.strip().splitlines()) == 1
    assert shown.err.startswith("error: --require: ")


def test_quantities_are_the_size_and_the_mean_measures(tmp_path: Path) -> None:
    base = design(tmp_path).base.override({"network.regime": "regular", "graph.stages": "independent"})
    dags = {stage: sample.dag for stage, sample in sample_graphs(base).items()}
    assert {dag.nodes for dag in dags.values()} == {6, 12}
    counted = complexity(base.network, dags, 10, base.data.resolution)
    values = quantities(base)
    assert tuple(values) == QUANTITIES
    assert (values["params"], values["mult_adds"]) == (counted.params, counted.mult_adds)
    for name in MEASURES:
        assert values[name] == pytest.approx(fmean(getattr(dag.measures(), name) for dag in dags.values()), rel=1e-15)
    assert quantities(base.override({"train.seed": 9})) is values


def test_a_published_network_has_sizes_and_keeps_no_bound_on_graphs() -> None:
    values = quantities(configuration.load("digits", {"network.reference": "pytorchcv:resnet20_cifar10"}))
    assert set(values) == {"params", "mult_adds", "activations"}
    assert values["params"] == 272_474
    assert Requirement.parse("params<=300e3").breach(values) is None
    assert Requirement.parse("params<=200e3").breach(values) == "params<=200000"
    for bound in ("depth>=8", "depth<8"):
        assert Requirement.parse(bound).breach(values) == f"{bound} (a published network has no graphs)"


def test_a_grid_drops_the_cells_that_break_a_bound_and_counts_them(tmp_path: Path) -> None:
    free = design(tmp_path, search="grid", seeds=3, train_seeds=2)
    bound = design(tmp_path, search="grid", seeds=3, train_seeds=2, require=SMALL_AND_DEEP)
    cells, expected, by = 0, [], Counter[str]()
    for spec in space.paper(NAMES):
        for trial in free.trials(Setting(spec)):
            (depth,) = depths(trial)
            broken = [
                *(["depth>=8"] if depth < 8 else []),
                *(["params<=85000"] if quantities(trial)["params"] > 85_000 else []),
            ]
            if not broken:
                expected.append(trial.digest)
            elif trial.train.seed == (trial.graph.seed * 2 if spec.endswith("p=0") else 0):  # one of a cell's trials
                cells += 1
                by.update(broken)
    listed = planning.listing(bound)
    assert [trial.digest for trial in listed.trials] == expected
    assert (listed.rejected.what, listed.rejected.number, listed.rejected.by) == ("cells", cells, by)
    assert 10 < len(expected) < 150
    assert len(by) == 2
    assert len(listed.settings) < 29
    assert drain(SettingSearch(bound), 99) == list(listed.settings)
    assert listed.later == 0


def test_a_bound_that_all_keep_changes_nothing(tmp_path: Path) -> None:
    for search in ("grid", "random"):
        free = design(tmp_path, search=search, settings=12)
        bound = design(tmp_path, search=search, settings=12, require=(Requirement("depth", ">", 0),))
        assert planning.listing(bound).trials == planning.listing(free).trials
        assert planning.listing(bound).rejected.number == 0


@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_a_search_passes_over_settings_that_break_a_bound(tmp_path: Path, kind: str) -> None:
    study = design(tmp_path, search=kind, settings=16, seeds=3, require=DEEP)
    search = SettingSearch(study)
    suggested = drain(search, 99)
    assert len(suggested) == len(set(suggested)) == 16
    free = design(tmp_path, seeds=3)
    assert all(depths(trial).pop() >= 8 for setting in suggested for trial in free.trials(setting))
    assert search.rejected
    for setting, broken in search.rejected.items():
        assert broken == ["depth>=8"]
        assert min(depths(trial).pop() for trial in free.trials(setting)) < 8
        assert study.trials(setting) == []
    states = Counter(trial.state for trial in search.study.trials)
    assert states[optuna.trial.TrialState.PRUNED] == len(search.rejected)
    assert states[optuna.trial.TrialState.COMPLETE] == 16
    assert StudyFolder(study.folder).suggestions() == suggested
    assert StudyFolder(study.folder).entries().keys() == {*suggested, *search.rejected}
    trained = {path.parent.name for path in study.folder.glob("*/config.yaml")}
    assert trained == {trial.digest for setting in suggested for trial in study.trials(setting)}


@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_an_interrupted_search_with_bounds_goes_on_as_an_uninterrupted_one(tmp_path: Path, kind: str) -> None:
    whole = design(tmp_path / "whole", search=kind, settings=26, require=DEEP)
    drain(SettingSearch(whole), 99)
    parts = design(tmp_path / "parts", search=kind, settings=26, require=DEEP)
    while len(StudyFolder(parts.folder).suggestions()) < 26:
        drain(SettingSearch(parts), 3)
    assert list(StudyFolder(parts.folder).entries().items()) == list(StudyFolder(whole.folder).entries().items())


def test_the_plan_of_a_search_with_bounds_is_what_comes(tmp_path: Path) -> None:
    study = design(tmp_path, settings=16, require=DEEP)
    foreseen = planning.listing(study)
    assert drain(SettingSearch(study), 99)[:10] == list(foreseen.settings)
    assert foreseen.later == 6
    assert foreseen.rejected.number > 0


def test_the_space_is_gone_through_to_its_end(tmp_path: Path) -> None:
    every = [Setting(spec) for spec in every_spec(NAMES)]
    assert len(every) == len(set(every)) == 109
    study = design(tmp_path, search="random", settings=109, seeds=1)
    assert sorted(drain(SettingSearch(study), 200), key=str) == sorted(every, key=str)
    free = design(tmp_path / "free", seeds=2)
    deep = [setting for setting in every if all(depths(trial).pop() >= 8 for trial in free.trials(setting))]
    assert 10 < len(deep) < 100
    bound = design(tmp_path / "bound", settings=109, require=DEEP)
    search = SettingSearch(bound)
    assert sorted(drain(search, 200), key=str) == sorted(deep, key=str)
    assert search.exhausted
    listed = planning.listing(bound)
    assert (listed.later, listed.exhausted) == (0, True)
    assert {*search.rejected} == {*every} - {*deep}


def test_a_sweep_notes_that_nothing_more_will_come(tmp_path: Path) -> None:
    from randwire.sweep.cluster import Cluster
    from randwire.sweep.launch import sweep

    study = design(tmp_path, settings=109, require=DEEP)
    free = design(tmp_path / "free")
    every = [Setting(spec) for spec in every_spec(NAMES)]
    for setting in every:
        if all(depths(trial).pop() >= 8 for trial in free.trials(setting)):
            StudyFolder(study.folder).add_suggestion(setting)
            end(study, setting)
        elif setting.spec in space.best(NAMES):
            StudyFolder(study.folder).add_suggestion(None, {setting: ["depth>=8"]})
    assert planning.listing(study).later > 0  # which no one has looked at yet
    before = StudyFolder(study.folder).suggestions()
    assert sweep(study, Cluster(), NullTracker()) == 0
    assert StudyFolder(study.folder).suggestions() == before
    assert StudyFolder(study.folder).entries().keys() == {*every}
    assert planning.listing(study).later == 0


def test_a_setting_that_more_seeds_spoil_is_not_trained_on(tmp_path: Path) -> None:
    few = design(tmp_path, settings=6, seeds=1, require=DEEP)
    suggested = drain(SettingSearch(few), 6)
    more = design(tmp_path, settings=6, seeds=20, require=DEEP)
    setting = next(setting for setting in suggested if not more.trials(setting))
    assert more.outcome(setting) == ("pruned", None)
    assert setting not in planning.listing(more).settings
    assert setting not in list(SettingSearch(more).foreseeable())


def test_requirements_are_part_of_the_study(tmp_path: Path) -> None:
    study = design(tmp_path, require=SMALL_AND_DEEP)
    study.open()
    assert json.loads((study.folder / "study.json").read_text())["require"] == ["depth>=8", "params<=85000"]
    assert Design.load(None, {"runtime.output": str(tmp_path)}, name="study").require == SMALL_AND_DEEP
    with pytest.raises(ConfigError, match="another require"):
        design(tmp_path).open()
    study.open()


def test_a_study_from_before_requirements_goes_on(tmp_path: Path) -> None:
    study = design(tmp_path)
    old = study.to_json()
    del old["require"]
    Record(study.folder).write_json("study.json", old)
    assert Design.load(None, {"runtime.output": str(tmp_path)}, name="study") == study
    with pytest.raises(ConfigError, match="another require"):
        design(tmp_path, require=DEEP).open()
    study.open()


@pytest.mark.parametrize("search", ["grid", "tpe"])
def test_a_bound_that_nothing_keeps_ends_before_anything_starts(tmp_path: Path, search: str) -> None:
    from randwire.sweep.cluster import Cluster
    from randwire.sweep.launch import check

    impossible = design(tmp_path, search=search, require=(Requirement("depth", ">", 12),))
    assert planning.listing(impossible).trials == []
    with pytest.raises(ConfigError, match=r"--require: no setting meets depth>12"):
        check(impossible, Cluster())
    assert not impossible.folder.exists()


def test_the_plan_tells_what_is_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = ("--graph.nodes", "12", "--runtime.output", str(tmp_path))
    grid = ("plan", "--search", "grid", "--generators", "ba", "--require", "sources<=5", *keys)
    assert command(*grid) == 0
    assert "2 cells rejected by sources<=5" in capsys.readouterr().out  # BA(7), two seeds: M sources
    assert command(*grid, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["rejected"] == {"what": "cells", "number": 2, "by": {"sources<=5": 2}}
    assert {row["setting"] for row in shown["trials"]} == {f"ba:m={m}" for m in (1, 2, 3, 5)}
    assert {row["sources"] for row in shown["trials"]} == {1, 2, 3, 5}
    search = ("plan", "--search", "random", "--settings", "9", "--generators", "ba", *keys)
    assert command(*search, "--require", "sources<=5", "--require", "sources>1") == 0
    text = capsys.readouterr().out
    assert "4 settings rejected by sources<=5 (3), sources>1 (1)" in text
    assert "the space holds no more than 4 settings of the 9 asked for" in text
    assert not list(tmp_path.iterdir())


def test_a_trial_of_the_plan_counts_no_rejected_ones(tmp_path: Path) -> None:
    study = design(tmp_path, search="grid", seeds=2, require=DEEP)
    listed = planning.listing(study)
    rows = [trial.to_row() for trial in planning.plan(study, listed)]
    assert [row["number"] for row in rows] == list(range(1, len(rows) + 1))
    assert all(row["depth"] >= 8 for row in rows)
    end(study, rows[0]["setting"])
    assert planning.plan(study, planning.listing(study))[0].state == "finished"


def test_trials_are_those_that_a_whole_validation_gives(tmp_path: Path) -> None:
    study = design(tmp_path, seeds=3, train_seeds=2)
    for spec in ("er:p=0.3", "ws:k=4,p=0"):
        for trial in study.trials(Setting(spec)):
            keys = {"graph.generator": spec, "graph.seed": trial.graph.seed, "train.seed": trial.train.seed}
            assert study.base.override(keys) == trial
            assert study.base.override(keys).digest == trial.digest
    largest = design(tmp_path, seeds=3)
    largest = type(largest)(largest.base.override({"graph.seed": 2**63 - 2}), seeds=3)
    with pytest.raises(ConfigError, match=r"graph\.seed"):
        largest.trials(Setting("er:p=0.3"))
