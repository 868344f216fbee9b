"""Records and studies that are moved, read where nothing can be written, or reported on together."""

import json
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import commands
import pytest
from report_helpers import Page, add_trial, write_design
from study_helpers import command

from randwire import config as configuration
from randwire.records import find_records
from randwire.report import write_report
from randwire.report.facts.several import facts_of

LINK = re.compile(r'<a href="([^"#:]+)">')


def fixed(folder: Path, specs: tuple[str, ...], seeds: range, search: str = "list", **more: object) -> Path:
    """A study whose settings were fixed beforehand, and have finished."""
    for number, spec in enumerate(specs):
        for seed in seeds:
            add_trial(folder, spec, seed, 70 + number + 0.1 * ((7 * seed + number) % 5))
    write_design(folder, search, only=list(specs), seeds=[*seeds], **more)
    return folder


def links(page: Path) -> list[Path]:
    """Where the relative links of a page go."""
    return [(page.parent / unquote(target)).resolve() for target in LINK.findall(page.read_text())]


@pytest.mark.condition("H", "a study is moved: mv runs/a elsewhere/b", "its records say that they are where they are")
def test_a_moved_record_does_not_point_back(trained: Path, tmp_path: Path) -> None:
    record = Path(shutil.copytree(trained, tmp_path / "else where" / "b" / trained.name))
    for name in (record, record / "config.yaml"):
        moved = configuration.load(str(name)).runtime
        assert (moved.output, moved.study) == (tmp_path / "else where", "b")
    given = configuration.load(str(record), {"runtime.study": "c"}).runtime
    assert (given.output, given.study) == (tmp_path / "else where", "c")
    before = sorted(trained.parent.rglob("*"))
    done = commands.call("train.py", str(record), "--train.epochs", "1")
    assert done.returncode == 0
    assert sorted(trained.parent.rglob("*")) == before
    assert len(find_records(tmp_path / "else where" / "b")) == 2


@pytest.mark.condition("H", "a record is copied out of its study, under a name of its own", "it is in no study")
def test_a_record_under_another_name_is_in_no_study(trained: Path, tmp_path: Path) -> None:
    record = Path(shutil.copytree(trained, tmp_path / "mymodel"))
    there, here = (configuration.load(str(one)) for one in (trained, record))
    assert here.digest == there.digest
    assert commands.call("train.py", str(record), "--evaluate").returncode == 0


@pytest.mark.condition("H", "report --output, of a study that cannot be written", "the page is there, with links")
def test_a_report_is_written_elsewhere(tmp_path: Path) -> None:
    study = fixed(tmp_path / "my runs" / "study", ("ws:k=4,p=0.75", "ba:m=5"), range(2))
    (study / "report.html").mkdir()  # nothing can be written there, whoever asks
    place = ("--name", "study", "--runtime.output", str(study.parent))
    refused = commands.call("studies/generators.py", "report", *place)
    assert refused.returncode == 2
    assert refused.stderr == (
        f"error: {study / 'report.html'}: cannot be written (Is a directory); choose a place with --output\n"
    )
    before = {path: path.stat().st_mtime_ns for path in study.rglob("*")}
    for output, page in (("pages", "pages/report.html"), ("one page.html", "one page.html")):
        done = commands.call("studies/generators.py", "report", *place, "--output", str(tmp_path / output))
        assert (done.returncode, done.stdout) == (0, f"{tmp_path / page}\n")
        assert {record.folder for record in find_records(study)} <= set(links(tmp_path / page))
    assert {path: path.stat().st_mtime_ns for path in study.rglob("*")} == before


@pytest.mark.condition("H", "commands that a report proposes, for a study with spaces in its path", "can be typed")
def test_proposed_commands_find_the_study(tmp_path: Path) -> None:
    study = fixed(tmp_path / "my runs" / "study", ("ws:k=4,p=0.75", "ba:m=5"), range(4), search="random")
    assert f"--runtime.output '{tmp_path}/my runs'" in Page(write_report(study)).text


@pytest.mark.condition("H", "one report over studies that were fixed beforehand", "one list, each training once")
def test_fixed_studies_are_one_list(tmp_path: Path) -> None:
    one = fixed(tmp_path / "one", ("ws:k=4,p=0.75", "ba:m=5"), range(3))
    two = fixed(tmp_path / "two", ("er:p=0.2", "ba:m=5"), range(1, 5))
    facts = facts_of([one, two])
    assert len(facts.trials) == 6 + 8 - 2  # ba:m=5 on the seeds 1 and 2 is in both
    [section] = facts.sections
    assert {name: len(values) for name, values in section.group.values.items()} == {
        "WS(4,0.75)": 3,
        "BA(5)": 5,
        "ER(0.2)": 4,
    }
    assert section.pairs
    done = command("report", "--name", "one", "--runtime.output", str(tmp_path), "--with", "two")
    assert done == 0
    page = tmp_path / "one+two.html"
    text = Page(page).text
    assert "one + two" in text
    assert "one: list of 2 settings, fixed beforehand" in text
    assert "no fixed design together" not in text
    records = {record.folder.resolve() for folder in (one, two) for record in find_records(folder)}
    assert len(records & set(links(page))) == len(facts.trials)
    assert not (one / "looks.jsonl").exists()


@pytest.mark.parametrize(
    ("search", "more", "why"),
    [
        ("random", {}, "were chosen by its results (random)"),
        ("list", {"early_stopping": True}, "one ended the weak early"),
        ("list", {"require": ["depth>=2"]}, "they differ in require"),
        ("list", {"confirm": {"study": "one"}}, "one has the settings that one chose"),
        ("list", {"longer": {"study": "one"}}, "one has the settings that one chose"),
        ("list", {"longer": 5}, "the design of one is not recorded"),
    ],
)
@pytest.mark.condition("H", "one report over studies that are no fixed design", "a search, which says so; no tests")
def test_other_studies_are_read_as_a_search(tmp_path: Path, search: str, more: dict[str, object], why: str) -> None:
    one = fixed(tmp_path / "one", ("ws:k=4,p=0.75", "ba:m=5"), range(3))
    two = fixed(tmp_path / "two", ("er:p=0.2",), range(3), search=search, **more)
    facts = facts_of([one, two])
    assert not facts.sections[0].group.tested
    text = Page(write_report(one, others=[two])).text
    assert "no fixed design together" in text
    assert why in text


@pytest.mark.condition("H", "one report over studies of the same name in two places", "each design counts, by its path")
def test_studies_of_one_name_keep_their_designs(tmp_path: Path) -> None:
    one = fixed(tmp_path / "a" / "same", ("er:p=0.2",), range(3), search="random")
    two = fixed(tmp_path / "b" / "same", ("ws:k=4,p=0.75", "ba:m=5"), range(3))
    facts = facts_of([one, two])
    assert list(facts.designs) == [str(one), str(two)]
    assert not facts.sections[0].group.tested
    assert "the settings of one were chosen by its results (random)" in Page(write_report(two, others=[one])).text


@pytest.mark.condition("H", "one report over studies of which one has grown after results", "told and warned, by study")
def test_growth_of_any_of_several_studies_is_told(tmp_path: Path) -> None:
    grown = [{"time": "2026-01-02T00:00:00+00:00", "ended": 4, "added": {"seeds": [2]}}]
    one = fixed(tmp_path / "one", ("ws:k=4,p=0.75",), range(3))
    two = fixed(tmp_path / "two", ("er:p=0.2", "ba:m=5"), range(3), grown=grown)
    text = Page(write_report(one, others=[two])).text
    assert "two: graph seed 2 (2026-01-02, when 4 trials had ended)" in text
    assert "two: Graph seed 2 was added when results were known (2026-01-02, when 4 trials had ended)." in text
    assert "those at the tests of the single studies, and at this page before, are not counted." in text
    assert "the reports before" not in text


@pytest.mark.condition("H", "one report over studies of several budgets", "they are never pooled")
def test_budgets_of_several_studies_are_not_pooled(tmp_path: Path) -> None:
    one = fixed(tmp_path / "one", ("ws:k=4,p=0.75",), range(3))
    for seed in range(3):
        add_trial(tmp_path / "two", "ws:k=4,p=0.75", seed, 90.0, train__epochs=9)
    write_design(tmp_path / "two", "list", only=["ws:k=4,p=0.75"])
    assert [len(group.trials) for group in facts_of([one, tmp_path / "two"]).groups] == [3, 3]


@pytest.mark.condition("H", "report --with a study that is not there, the same one, or with --table", "one line each")
def test_mistakes_of_a_report_over_several_studies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fixed(tmp_path / "one", ("ws:k=4,p=0.75",), range(2))
    for options, expected in (
        (["--with", "none"], f"{tmp_path / 'none'}: holds no record"),
        (["--with", "one"], "--with: names one more than once"),
        (["--with", "none", "--table", "t.csv"], "--with: is for the page, and --table is of one study"),
    ):
        assert command("report", "--name", "one", "--runtime.output", str(tmp_path), *options) == 2
        err = capsys.readouterr().err
        assert len(err.splitlines()) == 1
        assert expected in err
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    assert not list((tmp_path / "one").glob("*.html"))
    assert json.loads((tmp_path / "one" / "study.json").read_text())
