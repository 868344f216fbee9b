"""A race: who goes on, what the records alone replay, and what the commands say of it. Nothing is trained."""

import json
import random
import re
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from study_helpers import NAMES, command, design

from randwire.config import RunConfig
from randwire.errors import ConfigError
from randwire.records import find_records
from randwire.study import planning, race, space
from randwire.study.design import Design
from randwire.study.folder import StudyFolder
from randwire.study.progress import status
from randwire.study.race import Means, Round
from randwire.study.requirements import Requirement
from randwire.study.setting import Setting
from randwire.sweep.launch import parts

ENTRANTS = ("ba:m=5", "ws:k=4,p=0.75", "er:p=0.2", "ws:k=4,p=0", "er:p=0.8")


def top1(spec: str, seed: int) -> float:
    return 50.0 + ENTRANTS.index(spec) % 3 + random.Random(f"{spec} {seed}").gauss(0, 1)


def means(specs: Sequence[str], seeds: int) -> Means:
    return {spec: sum(top1(spec, seed) for seed in range(seeds)) / seeds for spec in specs}


def train(study: Design, trial: RunConfig, ended: str = "finished", **more: float) -> None:
    """The record of a trial that has ended."""
    record = study.record(trial)
    record.write_text("config.yaml", trial.to_yaml())
    score = top1(trial.graph.generator, trial.graph.seed)
    record.write_json("summary.json", {"status": ended, "val_top1": score, "cause": None, **more})


def sweep(study: Design, trainings: float = float("inf")) -> int:
    """A sweep that is ended after some trainings; returns how many there were."""
    done = 0
    for part in parts(study):
        for setting in part.settings:
            StudyFolder(study.folder).add_suggestion(setting)
            for trial in part.design.trials(setting):
                if study.record(trial).summary():
                    continue
                if done >= trainings:
                    return done
                train(study, trial)
                done += 1
    return done


@pytest.fixture
def study(tmp_path: Path) -> Design:
    opened = design(tmp_path, search="race", only=ENTRANTS, seeds=1)
    opened.open()
    return opened


def test_the_better_half_goes_on_with_twice_the_seeds_until_two_are_left() -> None:
    scores = dict(zip("abcdefg", (1, 7, 3, 6, 2, 5, 4), strict=True))
    rounds = list(race.play("abcdefg", 3, lambda specs, seeds: {spec: scores[spec] + seeds for spec in specs}))
    assert [(each.number, each.specs, each.seeds) for each in rounds] == [
        (1, tuple("abcdefg"), 3),
        (2, tuple("bdfg"), 6),
        (3, tuple("bd"), 12),
    ]
    assert race.winner(rounds) == "b"
    assert race.winner(rounds[:1]) == "b"
    assert rounds[0].ahead == [(4, 6), (2, 12)]
    assert [(each.number, each.of) for each in rounds] == [(1, 3), (2, 3), (3, 3)]


def test_the_papers_grid_costs_92_trainings() -> None:
    grid = space.paper(NAMES)
    rounds = list(race.play(grid, 1, lambda specs, seeds: {spec: -grid.index(spec) for spec in specs}))
    trained = {(spec, seed) for each in rounds for spec in each.specs for seed in range(each.seeds)}
    assert len(trained) == 92
    assert [(len(each.specs), each.seeds) for each in rounds[1:]] == rounds[0].ahead


def test_ties_go_to_the_first_and_those_without_a_mean_lose() -> None:
    tied = Round(1, tuple("abcd"), 1, dict.fromkeys("dcba", 5.0))
    assert tied.went_on == ("a", "b")
    assert Round(1, tuple("abcd"), 1, {"a": None, "b": 1, "c": None, "d": 2}).went_on == ("b", "d")
    one = list(race.play("abc", 1, lambda specs, _: {spec: 1.0 if spec == "b" else None for spec in specs}))
    assert (len(one), race.winner(one)) == (1, "b")
    none = list(race.play("abc", 1, lambda specs, _: dict.fromkeys(specs)))
    assert (len(none), race.winner(none)) == (1, None)
    open_ = list(race.play("abc", 1, lambda specs, _: {"a": 1.0, "b": 2.0}))
    assert (len(open_), open_[0].went_on, race.winner(open_)) == (1, (), None)


def test_a_race_that_is_ended_after_any_training_goes_on_with_the_same_rounds(tmp_path: Path) -> None:
    expected = list(race.play(ENTRANTS, 1, means))
    assert [len(each.specs) for each in expected] == [5, 3, 2]
    undisturbed: set[str] = set()
    for ended in range(5 + 3 + 2 * 2 + 1):
        study = design(tmp_path / str(ended), search="race", only=ENTRANTS, seeds=1)
        study.open()
        first = sweep(study, ended)
        assert first == ended
        so_far = race.rounds(study)
        assert [(each.specs, each.seeds) for each in so_far] == [
            (each.specs, each.seeds) for each in expected[: len(so_far)]
        ]
        assert first + sweep(study) == 12
        assert race.rounds(study) == expected
        records = {record.folder.name for record in find_records(study.folder)}
        undisturbed = undisturbed or records
        assert records == undisturbed
        assert list(parts(study)) == []


def test_seeds_of_one_network_are_training_seeds(study: Design) -> None:
    sweep(study)
    for setting, trials in planning.listing(study).settings.items():
        alike = {trial.train.seed for trial in trials}
        assert len(alike) == (len(trials) if setting.spec == "ws:k=4,p=0" else 1)
        assert len({trial.digest for trial in trials}) == len(trials)


def test_a_setting_whose_cells_are_left_out_loses(study: Design) -> None:
    shallow = Requirement.parse("depth<=7")
    bound = replace(study, require=(shallow,), base=study.base.override({"runtime.study": "bound"}))
    bound.open()
    out = {setting.spec for setting in bound.fixed_settings() if 0 in bound.violations(setting)}
    assert 0 < len(out) < len(ENTRANTS), "or the bound tests nothing"
    sweep(bound)
    rounds = race.rounds(bound)
    assert {spec for spec, mean in rounds[0].means.items() if mean is None} == out
    assert not out & {spec for each in rounds[1:] for spec in each.specs}
    listed = planning.listing(bound)
    assert all(shallow.met(planned.quantities) for planned in planning.plan(bound, listed))
    assert listed.rejected.number >= len(out)


def test_a_failed_training_loses(study: Design) -> None:
    best = race.rounds(study)[0].specs
    for spec in best:
        (trial,) = study.trials(Setting(spec))
        train(study, trial, "failed" if spec in ("er:p=0.2", "er:p=0.8") else "finished")
    assert race.rounds(study)[0].went_on == ("ba:m=5", "ws:k=4,p=0.75", "ws:k=4,p=0")


def test_the_images_that_tell_do_not_choose(study: Design) -> None:
    for setting in study.fixed_settings():
        (trial,) = study.trials(setting)
        train(study, trial, test_top1=-top1(trial.graph.generator, trial.graph.seed))
    assert race.rounds(study)[0].means == means(ENTRANTS, 1)


def test_what_could_not_be_run_loses_until_the_next_sweep_tries_it_again(study: Design) -> None:
    lost = Setting("er:p=0.2")
    assert list(race.play(ENTRANTS, 1, means))[-1].ranked[0] == lost.spec, "the best, so that it matters"
    for setting in study.fixed_settings():
        StudyFolder(study.folder).add_suggestion(setting)
        if setting != lost:
            train(study, study.trials(setting)[0])
    assert len(race.rounds(study)) == 1
    StudyFolder(study.folder).add_failure(lost, "a machine was lost")
    assert len(race.rounds(study)) == 2
    assert lost.spec not in race.rounds(study)[1].specs
    assert [state.cause for _, state in status(study).trials if state.name == "failed"] == ["a machine was lost"]
    assert next(parts(study)).settings == [lost]
    train(study, study.trials(lost)[0])
    sweep(study)
    assert race.rounds(study) == list(race.play(ENTRANTS, 1, means))


def test_plan_and_status_tell_of_rounds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = ("--runtime.output", str(tmp_path), "--name", "study", "--graph.nodes", "12", "--train.epochs", "4")
    only = [word for spec in ENTRANTS for word in ("--only", spec)]
    new = ("--search", "race", *only, *keys)
    assert command("plan", *new) == 0
    shown = capsys.readouterr().out
    assert "5 trials of 4 epochs" in shown
    assert "round 1 of 3: 5 settings, 1 graph seed each, 0 have ended" in shown
    assert "up to 2 further rounds of 3 settings with 2 graph seeds, 2 settings with 4 graph seeds (7 trials)" in shown
    assert "12 trainings see" in shown
    study = Design.load(
        "digits",
        {"runtime.output": str(tmp_path), "graph.nodes": 12, "train.epochs": 4},
        name="study",
        search="race",
        only=ENTRANTS,
    )
    study.open()
    sweep(study, 6)
    assert command("plan", "--json", *keys) == 0
    planned = json.loads(capsys.readouterr().out)
    assert (len(planned["trials"]), planned["planned_trials"], planned["later_settings"]) == (8, 12, 2)
    assert [row["state"] for row in planned["trials"]] == ["finished"] * 6 + ["pending"] * 2
    assert [row["number"] for row in planned["trials"]] == list(range(1, 9))
    assert command("status", *keys[:4]) == 0
    assert "round 2 of 3: 6 finished, 2 pending, up to 4 later" in capsys.readouterr().out
    assert command("status", "--json", *keys[:4]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["round"], told["rounds"], told["later"]) == (2, 3, 4)
    sweep(study)
    assert status(study).ended
    assert command("status", *keys[:4]) == 0
    assert "round 3 of 3: 12 finished; all has ended" in capsys.readouterr().out
    assert command("plan", "--seeds", "2", *keys) == 0  # more of a race, with the records that are there
    assert "round 1 of 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"settings": 7}, "--settings: a race has those that enter it"),
        ({"early_stopping": True}, "--early-stopping: is for"),
        ({"only": ["ba:m=5"]}, "--only: a race needs two settings"),
        ({"variants": {"one": {"network.op": "conv"}}}, "variants are compared in a grid or a list alone"),
    ],
)
def test_what_a_race_does_not_have_is_refused(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)) as refused:
        Design.load("digits", {"runtime.output": str(tmp_path)}, name="study", search="race", **options)
    assert "\n" not in str(refused.value)


def test_who_enters_is_part_of_the_identity_and_the_rounds_are_not(study: Design) -> None:
    second = race.of_round(study, Round(2, ENTRANTS[:2], 2, {}))
    assert (second.fixed_settings(), second.seeds) == ([Setting(spec) for spec in ENTRANTS[:2]], 2)
    second.check()
    assert second.identity() == study.identity()
    with pytest.raises(ConfigError, match="only"):
        replace(study, only=ENTRANTS[:2]).check()


def test_a_round_waits_for_the_one_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    only = [word for spec in ENTRANTS for word in ("--only", spec)]
    keys = ("--search", "race", *only, "--runtime.output", str(tmp_path), "--graph.nodes", "12")
    assert command("plan", "--json", "--images-per-s", "1000", "--gpus", "6", "--workers", "1", *keys) == 0
    planned = json.loads(capsys.readouterr().out)
    training = planned["gpu_hours"] / 12
    assert planned["wall_hours"] == pytest.approx(training * (1 + 1 + 2))  # rounds that add 1, 1 and 2 graphs, as one
    study = Design.load(
        "digits", {"runtime.output": str(tmp_path), "graph.nodes": 12}, name="generators", search="race"
    )
    assert sum(planning.listing(study).waves) == 29 + 15 + 8 + 4 + 2


def test_the_expected_end_waits_for_each_round(study: Design) -> None:
    with ExitStack() as locks:
        for setting in study.fixed_settings()[:2]:
            (trial,) = study.trials(setting)
            record = study.record(trial)
            locks.enter_context(record.lock())
            record.write_text("config.yaml", trial.to_yaml())
            for epoch in (1, 2):
                record.append_metrics({"epoch": epoch, "val_top1": 10.0, "seconds_loader": 1.0, "seconds_step": 9.0})
        finish = status(study).finish
    assert finish is not None
    epochs = 10 + 8 + 8  # on two slots: 2, 2, 4, 4, 4; then three of 4; then two of 8
    assert finish - time.time() == pytest.approx(10.0 * epochs, abs=5)
