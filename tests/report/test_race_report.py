"""What a report tells of a race: who went on, who has won, and that it is a search."""

import csv
from pathlib import Path

import pytest
from report_helpers import BASE, Page, add_trial

from randwire import config as configuration
from randwire import report
from randwire.errors import RecordError
from randwire.records import Record
from randwire.report import write_report, write_table
from randwire.report.facts.study import StudyFacts
from randwire.study import race
from randwire.study.design import Design

ONLY = ("er:p=0.2", "ws:k=4,p=0.75", "ws:k=4,p=0", "ba:m=5", "ba:m=1")
MEANS = {"er:p=0.2": 73.0, "ws:k=4,p=0.75": 75.0, "ws:k=4,p=0": 60.0, "ba:m=5": 74.0, "ba:m=1": 61.0}
KEYS = ("setting in the race", "round 1, n = 1", "round 2, n = 2", "round 3, n = 4", "end")


@pytest.fixture
def study(tmp_path: Path) -> Design:
    values = {**BASE, "runtime.output": str(tmp_path), "runtime.study": "mine"}
    opened = Design(configuration.load("digits", values), search="race", only=ONLY, seeds=1)
    opened.open()
    return opened


def train(study: Design, rounds: int, failed: str = "") -> None:
    """The records of the first rounds; top-1 falls with the graph seed, by 0.25."""
    for number in range(rounds):
        current = race.of_round(study, race.rounds(study)[number])
        for trial in (trial for setting in current.fixed_settings() for trial in current.trials(setting)):
            spec, seed = trial.graph.generator, trial.graph.seed
            if not study.record(trial).summary():
                top1, status = MEANS[spec] - 0.25 * seed, "failed" if spec == failed else "finished"
                made = add_trial(study.folder, spec, seed, top1, status, train__seed=trial.train.seed)
                assert made.digest == trial.digest


def test_the_rounds_are_told_in_sentences_a_table_and_a_figure(study: Design) -> None:
    train(study, 3)
    page = Page(write_report(study.folder))
    assert (
        "WS(4,0.75) has won the race of 5 settings in 3 rounds, with a mean of 74.62% over 4 graph seeds." in page.text
    )
    assert "biased upwards" in page.text
    assert "race, 1 graph seed (0) in its first round, 1 training seed (0)" in page.text
    assert "No tests between settings." in page.text
    (shown,) = [table for table in page.tables if tuple(table[0]) == KEYS]
    assert shown[1:] == [
        ["WS(4,0.75)", "75.00", "74.88", "74.62", "won"],
        ["BA(5)", "74.00", "73.88", "73.62", "lost the last round"],
        ["ER(0.2)", "73.00", "72.88", "", "out after round 2"],
        ["BA(1)", "61.00", "", "", "out after round 1"],
        ["WS(4,0)", "60.00", "", "", "out after round 1"],
    ]
    figure = page.figures["Means by round figure-1"]
    assert {(trace["text"].split(":")[0], len(trace["y"])) for trace in figure["data"]} == {
        ("WS(4,0.75)", 3),
        ("BA(5)", 3),
        ("ER(0.2)", 2),
        ("BA(1)", 1),
        ("WS(4,0)", 1),
    }
    low, high = figure["layout"]["yaxis"]["range"]
    assert 61 < low < 72.88
    assert high > 75
    assert len(report.rounds(study.folder).data) == 5


def test_a_race_under_way_and_what_failed_in_it_is_told(study: Design) -> None:
    train(study, 1, failed="ba:m=5")
    page = Page(write_report(study.folder))
    assert "Round 2 of 3 is under way: 0 of its 3 settings have ended." in page.text
    rows = page.table("setting in the race")
    assert rows["BA(5)"][-1] == "lost without a result in round 1"
    assert rows["WS(4,0.75)"] == ["75.00", "-", "in round 2"]
    assert list(rows)[:3] == ["ER(0.2)", "WS(4,0.75)", "BA(1)"]


def test_before_the_first_round_has_ended_there_is_no_figure(study: Design) -> None:
    for spec in ONLY[:2]:
        add_trial(study.folder, spec, 0, MEANS[spec])
    page = Page(write_report(study.folder))
    assert "Round 1 of 3 is under way: 2 of its 5 settings have ended." in page.text
    assert not any(label.startswith("Means by round") for label in page.figures)
    with pytest.raises(RecordError, match="needs a race whose first round has ended"):
        report.rounds(study.folder)


def test_the_table_says_race_and_rounds_that_cannot_be_told_are_a_warning(study: Design, tmp_path: Path) -> None:
    train(study, 1)
    write_table(study.folder, tmp_path / "table.csv")
    assert {row["design"] for row in csv.DictReader((tmp_path / "table.csv").open())} == {"race"}
    design = Record(study.folder).read_json("study.json")
    Record(study.folder).write_json("study.json", {**design, "seeds": None})
    assert StudyFacts.load(study.folder).race[0] == []
    assert "The rounds of the race cannot be told:" in Page(write_report(study.folder)).text


def test_the_wandb_report_has_the_same_rounds(study: Design) -> None:
    from randwire.report.publishing.story import report as story

    train(study, 3)
    blocks = [getattr(block, "text", "") for block in story(StudyFacts.load(study.folder), "someone", {}).blocks]
    opening, told = [text for text in blocks if isinstance(text, str) and "has won the race" in text]
    assert opening.endswith(" see Is anything wrong?")
    assert f"| {' | '.join(KEYS)} |" in told
    assert "| BA(5) | 74.00 | 73.88 | 73.62 | lost the last round |" in told
