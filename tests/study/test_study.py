"""Design, search, plan and status of a study: from the records alone, without Ray."""

import json
from collections import Counter
from pathlib import Path

import commands
import optuna
import pytest
from study_helpers import NAMES, design, drain, end

from randwire import graphs
from randwire.errors import ConfigError
from randwire.records import Row
from randwire.study import planning, space
from randwire.study.design import Design
from randwire.study.folder import StudyFolder
from randwire.study.pruner import Pruner
from randwire.study.search import STARTUP_SUGGESTIONS, SettingSearch
from randwire.study.setting import Setting


def planned_of(study: Design) -> tuple[list[planning.Planned], int]:
    listed = planning.listing(study)
    return planning.plan(study, listed), listed.later


def test_the_grid_is_figure_4(tmp_path: Path) -> None:
    settings = space.paper(NAMES)
    assert len(settings) == len(set(settings)) == 29
    assert Counter(graphs.parse(spec).name() for spec in settings) == {"er": 4, "ba": 5, "ws": 20}
    assert drain(SettingSearch(design(tmp_path, search="grid", seeds=1)), 99) == [Setting(spec) for spec in settings]


def test_the_space_is_conditional_and_reaches_its_edges() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen: dict[str, set[frozenset[str]]] = {name: set() for name in NAMES}
    for _ in range(300):
        trial = study.ask()
        generator = graphs.parse(space.suggest(trial, NAMES))
        seen[generator.name()].add(frozenset(trial.params))
        generator.check(32)
        for key, value in generator.params().items():
            domain = type(generator).domains[key]
            assert domain.low <= value <= domain.high
            steps = (value - domain.low) / domain.step
            assert steps == pytest.approx(round(steps), abs=1e-6)
        assert space.parameters(str(generator)) == pytest.approx(trial.params)
        study.tell(trial, 0)
    assert seen == {
        "er": {frozenset({"generator", "er.p"})},
        "ba": {frozenset({"generator", "ba.m"})},
        "ws": {frozenset({"generator", "ws.k", "ws.p"})},
    }


def test_a_search_begins_with_the_best_of_the_paper_and_never_repeats(tmp_path: Path) -> None:
    suggested = drain(SettingSearch(design(tmp_path, settings=30, seeds=1)), 99)
    assert list(map(str, suggested[:3])) == ["er:p=0.2", "ba:m=5", "ws:k=4,p=0.75"]
    assert len(suggested) == len(set(suggested)) == 30


def test_an_exhausted_space_ends_the_search(tmp_path: Path) -> None:
    suggested = drain(SettingSearch(design(tmp_path, settings=30, seeds=1, generators=("ba",))), 99)
    assert sorted(map(str, suggested)) == [f"ba:m={m}" for m in range(1, 9)]


@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_an_interrupted_search_goes_on_as_an_uninterrupted_one(tmp_path: Path, kind: str) -> None:
    whole = drain(SettingSearch(design(tmp_path / "whole", search=kind, settings=16, seeds=1)), 99)
    parts = design(tmp_path / "parts", search=kind, settings=16, seeds=1)
    suggested: list[Setting] = []
    while len(suggested) < 16:
        suggested += drain(SettingSearch(parts), 5)
    assert suggested == whole


def test_a_setting_that_has_not_ended_comes_first(tmp_path: Path) -> None:
    study = design(tmp_path, settings=6, seeds=2)
    search = SettingSearch(study)
    ended, left = search.next(), search.next()
    assert ended is not None
    assert left is not None
    for setting in (ended, left):
        StudyFolder(study.folder).add_suggestion(setting)
    end(study, ended)
    again = SettingSearch(study)
    assert again.next() == left
    assert ended not in drain(again, 99)


def test_search_of_another_seed_differs(tmp_path: Path) -> None:
    suggested = [
        drain(SettingSearch(design(tmp_path / str(seed), settings=12, seeds=1, seed=seed)), 99) for seed in (0, 1)
    ]
    assert suggested[0][:3] == suggested[1][:3]
    assert suggested[0] != suggested[1]


def test_optuna_learns_what_an_outcome_is(tmp_path: Path) -> None:
    study = design(tmp_path, settings=4)
    for spec, status in zip(space.best(NAMES), ("finished", "pruned", "failed"), strict=True):
        StudyFolder(study.folder).add_suggestion(Setting(spec))
        end(study, spec, status, top1=70.0)
    states = [(trial.state.name, trial.value) for trial in SettingSearch(study).study.trials]
    assert states == [("COMPLETE", 70.0), ("PRUNED", None), ("FAIL", None)]


def test_outcomes(tmp_path: Path) -> None:
    study = design(tmp_path, seeds=2)
    setting = Setting("ba:m=3")
    assert study.outcome(setting) == ("unfinished", None)
    first, second = (study.record(trial) for trial in study.trials(setting))
    first.write_json("summary.json", {"status": "finished", "val_top1": 60.0})
    assert study.outcome(setting) == ("unfinished", None)
    second.write_json("summary.json", {"status": "finished", "val_top1": 70.0})
    assert study.outcome(setting) == ("finished", 65.0)
    second.write_json("summary.json", {"status": "failed", "val_top1": None})
    assert study.outcome(setting) == ("failed", None)
    second.write_json("summary.json", {"status": "pruned", "val_top1": 70.0})
    assert study.outcome(setting) == ("pruned", None)


def test_trials_cross_graph_seeds_with_training_seeds(tmp_path: Path) -> None:
    trials = design(tmp_path, seeds=2, train_seeds=3).trials(Setting("er:p=0.3"))
    assert [(trial.graph.seed, trial.train.seed) for trial in trials] == [(g, t) for g in range(2) for t in range(3)]
    assert len({trial.digest for trial in trials}) == 6
    with pytest.raises(ConfigError, match="m must be in"):
        design(tmp_path).trials(Setting("ba:m=12"))


def test_a_folder_holds_one_design(tmp_path: Path) -> None:
    design(tmp_path, settings=3).open()
    design(tmp_path, settings=9, seeds=5).open()  # a study may grow
    for other in (design(tmp_path, search="random"), design(tmp_path, early_stopping=True)):
        with pytest.raises(ConfigError, match=r"another (search|early_stopping) .*--name"):
            other.open()
    changed = design(tmp_path)
    changed = Design(changed.base.override({"train.epochs": 7}))
    with pytest.raises(ConfigError, match=r"another train.epochs \(4, not 7\)"):
        changed.open()


def test_the_plan_lists_what_will_come_whatever_the_results(tmp_path: Path) -> None:
    study = design(tmp_path, settings=14, seeds=2)
    planned, later = planned_of(study)
    assert later == 14 - STARTUP_SUGGESTIONS
    specs = [trial.config.graph.generator for trial in planned[::2]]
    done = drain(SettingSearch(study), 3)
    assert list(map(str, done)) == specs[:3]
    planned, later = planned_of(study)
    assert [trial.state for trial in planned] == ["finished"] * 6 + ["pending"] * (2 * STARTUP_SUGGESTIONS - 6)
    assert [trial.config.graph.generator for trial in planned[::2]] == specs
    assert later == 14 - STARTUP_SUGGESTIONS
    assert [trial.number for trial in planned] == list(range(1, 2 * STARTUP_SUGGESTIONS + 1))


def test_the_pruner_stops_the_worse_trials_and_answers_the_same_again() -> None:
    rows: dict[str, list[Row]] = {
        f"trial{index}": [{"epoch": epoch, "val_top1": 10.0 * index} for epoch in range(1, 7)] for index in range(9)
    }
    pruner = Pruner({})
    answers = {
        (digest, row["epoch"]): pruner.should_stop(digest, row["epoch"], row["val_top1"])
        for digest, same in reversed(rows.items())
        for row in same
    }
    assert not any(stop for (digest, _), stop in answers.items() if digest == "trial8")
    assert any(stop for (digest, _), stop in answers.items() if digest == "trial0")
    assert all(pruner.should_stop(d, e, rows[d][e - 1]["val_top1"]) == stop for (d, e), stop in answers.items())
    restored = Pruner(dict(reversed(rows.items())))
    assert all(restored.should_stop(d, e, rows[d][e - 1]["val_top1"]) == stop for (d, e), stop in answers.items())


KEYS = (*commands.TINY, "--settings", "4", "--seeds", "1")


def test_plan_and_status_commands(tmp_path: Path) -> None:
    output = ("--runtime.output", str(tmp_path))
    planned = json.loads(commands.call("studies/generators.py", "plan", "--json", *KEYS, *output).stdout)
    assert [trial["setting"] for trial in planned["trials"]][:3] == ["er:p=0.2", "ba:m=5", "ws:k=4,p=0.75"]
    assert len(planned["trials"]) == 4
    text = commands.call("studies/generators.py", "plan", *KEYS, *output).stdout
    assert all(trial["digest"] in text for trial in planned["trials"])
    assert not list(tmp_path.iterdir())
    assert "holds no study" in commands.call("studies/generators.py", "status", *output).stderr
    Design.load(None, {"runtime.output": str(tmp_path)}, name="generators").open()
    assert "nothing started yet" in commands.call("studies/generators.py", "status", *output).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep", "--graph.generator", "er:p=0.2"], "--generators"),
        (["sweep", "--generators", "er,xx"], "--generators"),
        (["sweep", "--settings", "0"], "--settings"),
        (["sweep", "--graph.nodes", "4"], "k must be below the number of nodes"),
        (["sweep", "--base", "nope"], "unknown preset"),
        (["sweep", "--data.path", "/nonexistent"], "/nonexistent"),
        (["sweep", "--runtime.output", "/proc/1/no"], "/proc/1/no"),
        (["sweep", "--workers", "3"], "train.batch_size"),
        (["sweep", "--runtime.wandb", "online"], "API key"),
        (["report"], "holds no record"),
        (["trial", "99"], "trial 99"),
        (["fly"], "fly"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(arguments: list[str], message: str, tmp_path: Path) -> None:
    output = () if "--runtime.output" in arguments else ("--runtime.output", str(tmp_path / "runs"))
    done = commands.call("studies/generators.py", *arguments, *output)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert message in done.stderr


def test_trials_of_one_graph_have_training_seeds_of_their_own(tmp_path: Path) -> None:
    study = design(tmp_path, seeds=3, train_seeds=2)
    seeds = {
        spec: [(trial.graph.seed, trial.train.seed) for trial in study.trials(Setting(spec))]
        for spec in space.paper(NAMES)
    }
    fixed = [(0, 0), (0, 1), (1, 2), (1, 3), (2, 4), (2, 5)]
    varied = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    for spec, pairs in seeds.items():
        assert pairs == (fixed if spec.startswith("ws:") and spec.endswith(",p=0") else varied), spec


def test_the_plan_of_figure_4_names_its_29_settings_and_their_cost(tmp_path: Path) -> None:
    arguments = ("plan", "--base", "small-100", "--search", "grid", "--seeds", "2", "--images-per-s", "1000")
    where = ("--runtime.output", str(tmp_path))
    shown = json.loads(commands.call("studies/generators.py", *arguments, "--json", *where).stdout)
    rows = shown["trials"]
    assert len(rows) == 58
    assert len({row["digest"] for row in rows}) == 58
    assert {graphs.parse(row["setting"]).label for row in rows} == {
        *(f"ER({p})" for p in ("0.2", "0.4", "0.6", "0.8")),
        *(f"BA({m})" for m in (1, 2, 3, 5, 7)),
        *(f"WS({k},{p})" for k in (2, 4, 6, 8) for p in ("0", "0.25", "0.5", "0.75", "1")),
    }
    assert shown["training_images"] == 58 * 100 * 1_281_167
    assert shown["gpu_hours"] == pytest.approx(58 * 100 * 1_281_167 / 1000 / 3600)
    assert shown["later_settings"] == 0
    text = commands.call("studies/generators.py", *arguments, *where).stdout
    assert "see 7,430,768,600 images: 2,064.1 GPU-hours at 1,000 images/s a GPU" in text
    assert "WS(4,0.75) " in text
