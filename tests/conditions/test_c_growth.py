"""A design only grows: what was trained stays a part of the study, and what was added later is told."""

import json
import multiprocessing
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from report_helpers import GRID, Page, add_grid, write_design
from study_helpers import command, design, end

from randwire import cli
from randwire.errors import ConfigError, RecordLockedError
from randwire.records import Record
from randwire.report.facts.checklist import checklist
from randwire.report.facts.families import ADDED_LATER, FIXED_BEFORE
from randwire.report.facts.study import StudyFacts
from randwire.report.page.study_page import write_report
from randwire.study.confirmation import Confirmation, Winner
from randwire.study.design import Design
from randwire.study.folder import StudyFolder
from randwire.study.growth import training_seeds
from randwire.study.planning import plan
from randwire.study.progress import status
from randwire.study.setting import Setting


def opened(folder: Path, **options: Any) -> Design:
    made = design(folder, **options)
    made.open()
    return made


def finish(study: Design) -> list[str]:
    """End all trials of a design with settings of its own; returns their digests."""
    for setting in study.fixed_settings():
        StudyFolder(study.folder).add_suggestion(setting)
        end(study, setting)
    return [trial.digest for trial in plan(study)]


def loaded(study: Design, **options: Any) -> Design:
    return Design.load(None, {"runtime.output": str(study.base.runtime.output)}, name="study", **options)


def keys(study: Design) -> list[str]:
    return ["--name", "study", "--runtime.output", str(study.base.runtime.output)]


SMALLER: list[tuple[dict[str, Any], list[str], str]] = [
    (
        {"search": "grid", "seeds": 3},
        ["--seeds", "2"],
        "holds 3 graph seeds, not 2, and a study only grows; .*leave --seeds out",
    ),
    (
        {"search": "grid", "train_seeds": 2},
        ["--train-seeds", "1"],
        "holds 2 training seeds, not 1, and a study only grows; .*",
    ),
    ({"settings": 6}, ["--settings", "4"], "holds 6 settings, not 4, and a study only grows; .*leave --settings out"),
    (
        {"search": "grid"},
        ["--generators", "ws,er"],
        "also holds the generator ba, and a study only grows; .*leave --generators out",
    ),
    (
        {"search": "list", "only": ("er:p=0.2", "ba:m=5", "er:p=0.4")},
        ["--only", "ba:m=5"],
        r"also holds the settings er:p=0\.2, er:p=0\.4, and a study only grows; .*leave --only out",
    ),
]


@pytest.mark.parametrize("verb", ["plan", "sweep"])
@pytest.mark.parametrize(("options", "words", "message"), SMALLER, ids=[words[0] for _, words, _ in SMALLER])
@pytest.mark.condition("C", "fewer seeds, settings or generators than a study holds", "one line; study.json stays")
def test_a_smaller_design_is_refused(
    verb: str,
    options: Mapping[str, Any],
    words: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    study = opened(tmp_path, **options)
    written = (study.folder / "study.json").read_bytes()
    assert command(verb, *words, *keys(study)) == 2
    told = capsys.readouterr().err
    assert re.fullmatch(rf"error: .*/study: {message}.*or name another study with --name NAME\n", told), told
    assert (study.folder / "study.json").read_bytes() == written


@pytest.mark.condition("C", "a smaller design from Python, also by a default", "ConfigError, and study.json stays")
def test_a_smaller_design_from_python_is_refused(tmp_path: Path) -> None:
    opened(tmp_path, search="grid", seeds=3)
    with pytest.raises(ConfigError, match="holds 3 graph seeds, not 2"):
        design(tmp_path, search="grid").open()
    with pytest.raises(ConfigError, match="also holds the generators ba, ws"):
        design(tmp_path, search="grid", seeds=3, generators=("er",)).open()
    assert loaded(design(tmp_path)).seeds == 3


@pytest.mark.parametrize("grow", [{"seeds": 4}, {"train_seeds": 3}, {"seeds": 3, "train_seeds": 2}], ids=str)
@pytest.mark.condition("C", "more seeds of a finished study", "its trials stay in the plan, and only new ones are left")
def test_what_was_trained_is_not_trained_again(grow: Mapping[str, Any], tmp_path: Path) -> None:
    """Also of WS(4,0), whose replicates are trainings with seeds of their own."""
    study = opened(tmp_path, search="list", only=("ws:k=4,p=0", "er:p=0.2"), seeds=2, train_seeds=1)
    trained = finish(study)
    for _ in range(2):  # as it is planned, and as it is stored
        larger = replace(study, **grow)
        planned = plan(larger)
        assert {one.digest for one in planned if one.state == "finished"} == set(trained)
        assert len({one.digest for one in planned}) == 2 * larger.seeds * larger.train_seeds
        settings = {one.setting for one in planned}
        for setting in settings:
            own = [one.config for one in planned if one.setting == setting]
            cells = {(config.graph.seed, config.train.seed) for config in own}
            assert len(cells) == len(own)
            if setting.one_network:
                assert len({config.train.seed for config in own}) == len(own)
        larger.open()
        assert loaded(study) == larger
    assert [one.digest for one in plan(loaded(study))] == [one.digest for one in planned]
    assert not status(loaded(study)).ended


@pytest.mark.condition("C", "more generators, settings of a list, or variants", "they are added after what is there")
def test_names_are_added_in_order(tmp_path: Path) -> None:
    study = opened(tmp_path / "grid", search="grid", generators=("ws", "er"))
    trained = finish(study)
    larger = loaded(study, generators=("er", "ba", "ws"))
    assert larger.generators == ("ws", "er", "ba")
    assert [one.digest for one in plan(larger)][: len(trained)] == trained
    listed = opened(tmp_path / "list", search="list", only=("er:p=0.2",))
    assert loaded(listed, only=["ba:m=5", "er:p=0.2"]).only == ("er:p=0.2", "ba:m=5")
    variants: dict[str, Any] = {"one": {}, "two": {"train.lr": 1}}
    varied = opened(tmp_path / "variants", search="grid", variants=variants)
    more = loaded(varied, variants={"three": {"train.lr": 2}, **variants})
    assert list(more.variants) == ["one", "two", "three"]
    more.open()
    assert list(loaded(varied).variants) == ["one", "two", "three"]


@pytest.mark.condition("C", "a study file has a further variant", "--variants adds it, and a smaller list is refused")
def test_variants_are_added_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("signal.signal", lambda *_: None)  # pytest's own stay
    variants: dict[str, Any] = {"one": {}, "two": {"train.lr": 1}, "three": {"train.lr": 2}}

    def plan_of(*words: str) -> tuple[int, str, str]:
        code = cli.study(
            "mine", None, ["plan", "--json", *words, "--runtime.output", str(tmp_path)], lambda _: variants
        )
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    code, out, _ = plan_of("--variants", "one,two")
    assert code == 0
    settings = [row["setting"] for row in json.loads(out)["trials"]]
    assert {setting.split()[1] for setting in settings} == {"one", "two"}
    first = Design.load(
        None, {"runtime.output": str(tmp_path)}, name="mine", variants={name: variants[name] for name in ("one", "two")}
    )
    first.open()
    code, out, told = plan_of("--variants", "three,one,two")
    assert (code, told) == (0, "")
    assert {row["setting"].split()[1] for row in json.loads(out)["trials"]} == set(variants)
    code, out, told = plan_of("--variants", "one,three")
    assert (code, out) == (2, "")
    assert "/mine: also holds the variant two, and a study only grows; name all, or name another study" in told
    code, out, told = plan_of("--variants", "four")
    assert (code, told) == (2, "error: --variants: must name some of one,two,three, is 'four'\n")


@pytest.mark.condition("C", "a study is to grow while a sweep of it runs", "one line; study.json stays")
def test_a_study_that_is_swept_does_not_grow(tmp_path: Path) -> None:
    study = opened(tmp_path, search="grid")
    with StudyFolder(study.folder).lock():
        study.open()
        with pytest.raises(RecordLockedError, match="another sweep of this study is running"):
            replace(study, seeds=3).open()
    assert loaded(study) == study


@pytest.mark.condition("C", "a base with another generator, which is no difference", "the study keeps its own")
def test_a_later_base_does_not_replace_the_generator(tmp_path: Path) -> None:
    study = opened(tmp_path, search="grid")
    replace(study, base=study.base.override({"graph.generator": "ba:m=2"}), seeds=3).open()
    assert loaded(study) == replace(study, seeds=3)


@pytest.mark.condition("I", "--generators ba,er of a study of er,ba", "the same study")
def test_the_order_of_generators_is_no_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = opened(tmp_path, search="grid", generators=("er", "ba"))
    assert command("plan", "--json", "--generators", "ba,er", *keys(study)) == 0
    planned = [row["digest"] for row in json.loads(capsys.readouterr().out)["trials"]]
    assert planned == [one.digest for one in plan(study)]
    written = (study.folder / "study.json").read_text()
    design(tmp_path, search="grid", generators=("ba", "er")).open()
    assert (study.folder / "study.json").read_text() == written


@pytest.mark.condition("C", "a search gets a generator, but no further suggestion", "one line that asks for --settings")
def test_a_generator_without_a_suggestion_left_is_refused(tmp_path: Path) -> None:
    study = opened(tmp_path, settings=2, generators=("er", "ws"))
    for spec in ("er:p=0.2", "ws:k=4,p=0.75"):
        StudyFolder(study.folder).add_suggestion(Setting(spec))
    with pytest.raises(ConfigError, match=r"--generators: .* none is left for ba; give a larger --settings, too"):
        loaded(study, generators=("er", "ws", "ba"))
    assert loaded(study, generators=("er", "ws", "ba"), settings=3).generators == ("er", "ws", "ba")


@pytest.mark.condition("C", "settings for a confirmation, training seeds for a race", "one line that says why not")
def test_what_cannot_grow_is_refused(tmp_path: Path) -> None:
    chosen = Confirmation("parent", "0" * 12, "grid", 4, 0, (Winner("er:p=0.2", 3, 90.0),))
    study = opened(tmp_path / "confirmation", search="list", only=chosen.only, confirm=chosen, seeds=3)
    with pytest.raises(ConfigError, match="--only: a confirmation has the settings that were chosen"):
        loaded(study, only=["er:p=0.2", "ba:m=5"])
    assert loaded(study, seeds=5).seeds == 5
    race = opened(tmp_path / "race", search="race", only=("er:p=0.2", "ba:m=5"), seeds=1)
    with pytest.raises(ConfigError, match=r"--train-seeds: .*1 training seed here; name another study"):
        loaded(race, train_seeds=2)
    assert loaded(race, only=["er:p=0.2", "ba:m=5", "er:p=0.4"]).only[2] == "er:p=0.4"


@pytest.mark.condition("C", "a study has grown after results", "study.json and the report say when, and warn")
def test_growth_is_recorded_and_told(tmp_path: Path) -> None:
    add_grid(tmp_path / "study", seeds=3)
    (tmp_path / "study" / "study.json").unlink()
    study = opened(tmp_path, search="list", only=(GRID[0], GRID[2]), seeds=2)
    assert "grown" not in Record(study.folder).read_json("study.json")
    replace(study, seeds=3).open()
    larger = replace(study, seeds=3, only=(GRID[0], GRID[2], GRID[3]))
    larger.open()
    larger.open()  # nothing more
    first, second = Record(study.folder).read_json("study.json")["grown"]
    assert (first["added"], first["ended"], second["added"]) == ({"seeds": [2]}, 15, {"only": [GRID[3]]})
    text = Page(write_report(study.folder)).text
    day = first["time"][:10]
    assert f"graph seed 2 ({day}, when 15 trials had ended); setting ER(0.2) ({day}, when 15 trials had ended)" in text
    assert f"Setting ER(0.2) was added when results were known ({day}, when 15 trials had ended): whoever" in text
    assert "list of 3 settings, not all fixed beforehand, 3 graph seeds (0, 1, 2)" in text
    facts = StudyFacts.load(study.folder)
    assert not checklist(facts, {}, ())[0].holds
    assert not any(FIXED_BEFORE in family.note for section in facts.sections for family in section.families)
    assert any(ADDED_LATER in family.note for section in facts.sections for family in section.families)
    assert f"Graph seed 2 was added when results were known ({day}, when 15 trials had ended). The level" in text


@pytest.mark.condition("C", "study.json was overwritten with fewer seeds", "the report warns of the trials beyond")
def test_trials_beyond_the_design_are_told(tmp_path: Path) -> None:
    add_grid(tmp_path, seeds=3)
    assert "does not have" not in Page(write_report(tmp_path)).text
    write_design(tmp_path, "grid", seeds=[0, 1])
    told = "5 trials on 1 graph seed (2) that study.json does not have, which says 0 and 1: they count"
    assert told in Page(write_report(tmp_path)).text


def _open_after(barrier: Any, study: Design, answers: Any) -> None:
    barrier.wait()
    try:
        study.open()
        answers.put("opened")
    except ConfigError as error:
        answers.put(str(error))


@pytest.mark.condition("C", "two processes grow a study at once", "each is added whole, or told that it holds less")
def test_two_processes_that_grow_a_study_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = opened(tmp_path, search="grid", generators=("er",))
    slow: Callable[[StudyFolder], Any] = StudyFolder.read

    def read(folder: StudyFolder) -> Any:
        found = slow(folder)
        context.Event().wait(0.2)  # the other one reads before this one writes
        return found

    context = multiprocessing.get_context("fork")
    monkeypatch.setattr(StudyFolder, "read", read)
    barrier, answers = context.Barrier(2), context.Queue()
    others = (replace(study, seeds=3), replace(study, generators=("er", "ba")))
    started = [context.Process(target=_open_after, args=(barrier, other, answers)) for other in others]
    for process in started:
        process.start()
    said = [answers.get(timeout=60) for _ in started]
    for process in started:
        process.join(60)
    assert "opened" in said
    (told,) = (text for text in said if text != "opened")
    assert "and a study only grows" in told
    held = Record(study.folder).read_json("study.json")
    assert len(held["grown"]) == 1


def test_training_seeds_are_those_of_a_study_that_began_with_so_many_graphs() -> None:
    assert training_seeds([(3, 2)]) == [[0, 1], [2, 3], [4, 5]]
    assert training_seeds([(2, 2), (3, 2)]) == training_seeds([(3, 2)])
    assert training_seeds([(2, 1), (2, 2), (3, 2)]) == [[0, 2], [1, 3], [4, 5]]
