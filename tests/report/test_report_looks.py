"""Looking again at the tests of a study while seeds are added: each look is recorded, and its price is said."""

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from report_helpers import Page, add_trial, write_design

from randwire.records import Record
from randwire.report import write_report
from randwire.report.facts import looks as looks_facts
from randwire.report.facts.looks import look, looked_at, looks_text
from randwire.report.facts.study import StudyFacts
from randwire.statistics.looks import level
from randwire.study import looks as recorded
from randwire.study.looks import FILE, Look, add_look, looks_of

SPECS = ("ws:k=4,p=0.75", "ba:m=5", "er:p=0.2")


def grow(study: Path, seeds: int, specs: tuple[str, ...] = SPECS, search: str = "grid", **design: Any) -> StudyFacts:
    """A study with so many graphs of each setting, all of about the same top-1."""
    for k, spec in enumerate(specs):
        for seed in range(seeds):
            add_trial(study, spec, seed, 90 + 0.1 * k + math.sin(7 * seed + k), epochs=8)
    write_design(study, search, **design)
    return StudyFacts.load(study)


def rows(study: Path) -> list[Any]:
    path = study / FILE
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class Clock:
    """What `looks` takes for the time: noon of a day that the test sets."""

    day = 28

    @classmethod
    def now(cls, zone: object) -> datetime:
        return datetime(2026, 11, cls.day, 12, tzinfo=UTC)


def test_each_report_at_other_numbers_is_a_look(tmp_path: Path) -> None:
    for seeds, expected in ((2, []), (3, [3]), (3, [3]), (5, [3, 5])):
        look(grow(tmp_path, seeds))
        assert [row["n"] for row in rows(tmp_path)] == [
            dict.fromkeys(("BA(5)", "ER(0.2)", "WS(4,0.75)"), n) for n in expected
        ]


def test_the_first_look_is_at_its_level_and_later_ones_say_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorded, "datetime", Clock)
    for seeds, day in ((3, 28), (5, 29)):
        monkeypatch.setattr(Clock, "day", day)
        facts = grow(tmp_path, seeds)
        look(facts)
        assert bool(looks_text(StudyFacts.load(tmp_path))) == (seeds > 3)
    monkeypatch.setattr(Clock, "day", 30)
    grow(tmp_path, 10)
    page = Page(write_report(tmp_path))
    chance = math.ceil(100 * level([dict.fromkeys("abc", n) for n in (3, 5, 10)]))
    assert chance == 14
    said = (
        "These tests were looked at 3 times, at n = 3, 5 and 10 (2026-11-28, 2026-11-29, 2026-11-30): the chance of a "
        "false difference over all looks is now at most 14% for each question by itself, not 5%. Confirm on fresh "
        "seeds to have 5% again."
    )
    assert page.text.count(said) == 2, "in the answer, and among what may be wrong"
    assert looks_text(StudyFacts.load(tmp_path)) == said


def test_a_look_counts_before_it_is_recorded(tmp_path: Path) -> None:
    look(grow(tmp_path, 3))
    facts = grow(tmp_path, 5)
    assert "looked at 2 times, at n = 3 and 5 (" in looks_text(facts)
    assert len(rows(tmp_path)) == 1, "what only reads facts records nothing"


def test_settings_that_are_compared_later_are_counted(tmp_path: Path) -> None:
    look(grow(tmp_path, 3, SPECS[:2]))
    facts = grow(tmp_path, 5, SPECS[2:])
    look(facts)
    assert rows(tmp_path)[-1]["n"] == {"BA(5)": 3, "ER(0.2)": 5, "WS(4,0.75)": 3}
    assert "at n = 3 (2 compared) and 3 to 5 (3 compared)" in looks_text(facts)
    assert "at most 9%" in looks_text(facts)


def test_of_many_looks_the_ranges_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks_facts, "MAX_NAMED", 2)
    facts = grow(tmp_path, 9)
    for day, n in ((1, 3), (4, 5), (7, 7)):
        looked = {"time": f"2026-11-0{day}T00:00:00+00:00", "n": {"ER(0.2)": n, "BA(5)": n}}
        Record(tmp_path).append(FILE, looked)
    text = looks_text(StudyFacts.load(tmp_path))
    assert "looked at 4 times, at n = 3 to 9 (2026-11-01 to 20" in text
    assert looks_text(facts) == text


@pytest.mark.parametrize("more", [{"search": "tpe"}, {"search": "grid", "early_stopping": True}])
def test_nothing_is_recorded_where_nothing_is_tested(tmp_path: Path, more: dict[str, Any]) -> None:
    facts = grow(tmp_path, 3, **more)
    look(facts)
    assert not rows(tmp_path)
    assert looks_text(facts) == ""


def test_paired_tests_of_variants_are_looked_at_too(tmp_path: Path) -> None:
    for seeds in (2, 4):
        for spec in SPECS[:2]:
            for seed in range(seeds):
                for op, points in (("conv", 1.0), ("avgpool", -1.0)):
                    add_trial(tmp_path, spec, seed, 80 + points + math.sin(7 * seed + points), network__op=op)
        write_design(tmp_path, "grid", variants={op: {"network.op": op} for op in ("conv", "avgpool")})
        look(StudyFacts.load(tmp_path))
    assert [row["n"] for row in rows(tmp_path)] == [{"conv": n, "avgpool": n} for n in (4, 8)]
    (section,) = StudyFacts.load(tmp_path).sections
    assert "looked at 2 times, at n = 4 and 8" in looked_at(section)


def test_a_folder_that_cannot_be_written_gets_its_report_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grow(tmp_path / "study", 3)
    (tmp_path / "study" / FILE).mkdir()
    page = write_report(tmp_path / "study", tmp_path / "page.html")
    assert page.read_text().startswith("<!DOCTYPE html>")
    expected = f"{tmp_path / 'study'}: cannot be written (Is a directory); the look is not recorded\n"
    assert capsys.readouterr().err == expected


def test_lines_that_are_torn_or_no_looks_are_ignored(tmp_path: Path) -> None:
    add_look(tmp_path, {"A": 3, "B": 3})
    with open(tmp_path / FILE, "a") as file:
        for damaged in ('{"n": {"A": 4}}', '{"time": "x", "n": {"A": 1, "B": 1}}', "7", '{"time": "x", "n": {}}'):
            file.write(damaged + "\n")
        file.write('{"time": "2026-11-28T00:')
    assert [dict(one.n) for one in looks_of(tmp_path)] == [{"A": 3, "B": 3}]
    add_look(tmp_path, {"A": 5, "B": 3})
    assert [dict(one.n) for one in looks_of(tmp_path)] == [{"A": 3, "B": 3}, {"A": 5, "B": 3}]


def test_two_reports_at_once_are_one_look(tmp_path: Path) -> None:
    for time in ("2026-11-28T00:00:00+00:00", "2026-11-28T00:00:01+00:00"):
        Record(tmp_path).append(FILE, {"time": time, "n": {"A": 3, "B": 3}})
    assert looks_of(tmp_path) == [Look("2026-11-28T00:00:00+00:00", {"A": 3, "B": 3})]
    assert looks_of(tmp_path / "none") == []
