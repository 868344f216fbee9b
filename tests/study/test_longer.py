"""The best of an earlier study, trained again for longer: on the graphs and seeds that chose them, and so untested."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from study_helpers import command

from randwire.errors import ConfigError
from randwire.records import Record
from randwire.report.facts.answer import answer
from randwire.report.facts.confirmed import longer, longer_sentences
from randwire.report.facts.provenance import provenance
from randwire.report.facts.study import StudyFacts
from randwire.report.facts.warnings import warnings
from randwire.report.page.study_page import write_report
from randwire.study.design import Design
from randwire.study.folder import StudyFolder
from randwire.study.planning import listing

KEYS = {"graph.nodes": 12, "train.epochs": 4}
TOP1 = {"ws:k=4,p=0.75": 80.0, "ws:k=4,p=0": 81.0, "ba:m=5": 70.0, "er:p=0.2": 75.0}


def finish(design: Design, top1: dict[str, float]) -> None:
    """The records of all trials of a study that has ended well."""
    for trial in listing(design).trials:
        value = top1[trial.graph.generator] + trial.graph.seed % 3 - 1
        record, epochs = design.record(trial), trial.train.epochs
        record.write_text("config.yaml", trial.to_yaml())
        record.write_json("summary.json", {"status": "finished", "val_top1": value, "epochs": epochs, "cause": None})


def begun(folder: Path, name: str = "parent", **options: Any) -> Design:
    """A list that has ended, with top-1 as in TOP1."""
    options = {"search": "list", "only": list(TOP1), "seeds": 3, **options}
    design = Design.load("digits", {"runtime.output": folder, **KEYS}, name=name, **options)
    design.open()
    for setting in design.fixed_settings():
        StudyFolder(design.folder).add_suggestion(setting)
    finish(design, TOP1)
    return design


def lengthened(folder: Path, parent: str = "parent", name: str = "mine", epochs: int = 9, **options: Any) -> Design:
    keys = {"runtime.output": folder, "train.epochs": epochs}
    return Design.load(None, keys, name=name, longer=parent, **options)


def seeds_of(design: Design, spec: str) -> set[tuple[int, int]]:
    return {(trial.graph.seed, trial.train.seed) for trial in listing(design).trials if trial.graph.generator == spec}


def test_the_same_networks_are_trained_for_more_epochs(tmp_path: Path) -> None:
    parent = begun(tmp_path, require=["depth>=2"])
    mine = lengthened(tmp_path, top=2)
    assert (mine.search, mine.only, mine.require) == ("list", ("ws:k=4,p=0", "ws:k=4,p=0.75"), parent.require)
    assert {trial.train.epochs for trial in listing(mine).trials} == {9}
    for spec in mine.only:
        assert seeds_of(mine, spec) == seeds_of(parent, spec)
    short = {trial.override({"train.epochs": 4}).digest for trial in listing(mine).trials}
    assert short <= {trial.digest for trial in listing(parent).trials}
    assert lengthened(tmp_path).only == ("ws:k=4,p=0", "er:p=0.2", "ba:m=5")
    assert lengthened(tmp_path, name="er", generators=("er",)).only == ("er:p=0.2",)


def test_it_goes_on_with_what_is_stored(tmp_path: Path) -> None:
    parent = begun(tmp_path)
    first = lengthened(tmp_path, top=1)
    first.open()
    recorded = Record(tmp_path / "mine").read_json("study.json")
    assert recorded["longer"].items() >= {"study": "parent", "search": "list", "settings": 4, "epochs": 4}.items()
    assert recorded["confirm"] is None
    finish(parent, {**TOP1, "ba:m=5": 99.0})
    shutil.rmtree(parent.folder)
    for again in (lengthened(tmp_path), Design.load(None, {"runtime.output": tmp_path}, name="mine")):
        assert again == first
        again.open()
    with pytest.raises(ConfigError, match="the graphs and seeds are those that were chosen"):
        Design.load(None, {"runtime.output": tmp_path}, name="mine", seeds=5)
    with pytest.raises(ConfigError, match="holds a study with another longer"):
        lengthened(tmp_path, "other")


def test_of_a_race_the_graphs_that_all_have_been_trained_on(tmp_path: Path) -> None:
    parent = begun(tmp_path, search="race", only=["er:p=0.2", "ba:m=5"], seeds=1)
    mine = lengthened(tmp_path, top=2)
    assert mine.seeds == parent.seeds == 1
    assert mine.only == ("er:p=0.2", "ba:m=5")


def test_the_report_tests_nothing_and_says_what_was_chosen(tmp_path: Path) -> None:
    begun(tmp_path)
    mine = lengthened(tmp_path, top=2)
    mine.open()
    finish(mine, {name: value + 5 for name, value in TOP1.items()})
    facts = StudyFacts.load(mine.folder)
    assert facts.groups[0].origin == "longer"
    assert not facts.groups[0].tested
    assert provenance(facts)["design"].startswith("2 settings of parent, trained for longer, 3 graph seeds (0, 1, 2)")
    rows = [(row.name, row.winner.n, row.winner.top1, row.change) for row in longer(facts)]
    assert [(name, n) for name, n, _, _ in rows] == [("WS(4,0)", 3), ("WS(4,0.75)", 3)]
    assert [change for *_, change in rows] == [pytest.approx(5)] * 2
    first, last = longer_sentences(facts)
    assert first == (
        "parent has chosen 2 settings of 4 by top-1 on the validation split after 4 epochs; here the same graphs are "
        "trained again, on the same seeds, for longer."
    )
    assert last in [warning.text for warning in warnings(facts)]
    assert not any("confirmed" in line or "significant" in line for line in answer(facts))
    page = write_report(mine.folder).read_text()
    assert "What was trained for longer" in page
    assert "An earlier study chose these settings and their graphs by their results" in page
    assert "What was confirmed" not in page


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--longer", "nope"], "--longer: .*/nope: there is no such study"),
        (["--longer", "parent"], "--longer: parent trained for 4 epochs, and here it is 4; give more with .*"),
        (["--longer", "mine"], "--longer: is the study itself; name the study of longer training with --name NAME"),
        (["--longer", "parent", "--confirm", "parent"], "--longer: trains the graphs that were chosen, and --conf.*"),
        (["--longer", "parent", "--seeds", "5"], "--seeds: longer training has the seeds that chose, 3; leave .*"),
        (["--longer", "parent", "--graph.seed", "5"], "graph.seed: longer training has the graphs and seeds of .*"),
        (["--longer", "parent", "--base", "digits"], "--base: longer training has the configuration of parent; .*"),
        (["--longer", "parent", "--only", "ba:m=5"], "--only: a study of longer training has the settings that .*"),
        (["--longer", "parent", "--top", "9"], "--top: parent has 4 settings that have finished, not 9"),
        (["--only", "ba:m=5", "--top", "2"], "--top: is how many settings of another study are taken; name it .*"),
    ],
)
def test_what_cannot_be_trained_for_longer_is_told_in_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun(tmp_path)
    assert command("plan", *words, "--name", "mine", "--runtime.output", str(tmp_path)) == 2
    assert re.fullmatch(f"error: {message}\n", capsys.readouterr().err)


def test_a_study_that_goes_on_is_lengthened_with_a_word_about_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parent = begun(tmp_path)
    (parent.record(listing(parent).trials[-1]).folder / "summary.json").unlink()
    words = ("--longer", "parent", "--train.epochs", "8", "--name", "mine", "--runtime.output", str(tmp_path))
    assert command("plan", "--json", *words) == 0
    assert capsys.readouterr().err == "parent has not ended; what is chosen from it now stays chosen\n"
