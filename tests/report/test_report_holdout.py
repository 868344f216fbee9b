"""A report of a study in which images held out of training choose, and others tell."""

import csv
import json
import re
from pathlib import Path

import pytest
from report_helpers import Page, add_trial, write_design

from randwire.metrics import TEST_TOP1
from randwire.records import Record
from randwire.report import scores, write_report, write_table
from randwire.report.facts.checklist import checklist
from randwire.report.facts.images import images, same_images
from randwire.report.facts.study import StudyFacts
from randwire.report.publishing import panels, story
from randwire.study import results
from randwire.study.groups import groups

SAME = "The same images chose and tell"


def _add(folder: Path, generator: str, seed: int, top1: float, test: float | None, holdout: int = 300) -> str:
    """A record with a top-1 that chooses and one that tells; returns its name."""
    digest = add_trial(folder, generator, seed, top1, data__holdout=holdout).digest
    record = Record(folder / digest)
    summary = record.summary()
    assert summary is not None
    if test is not None:
        record.write_json("summary.json", {**summary, "test_top1": test, "test_images": 360})
    return digest


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """ER is best by the images that choose, and the images that tell say the contrary."""
    folder = tmp_path / "study"
    for seed in range(3):
        _add(folder, "er:p=0.2", seed, 95 + 0.1 * seed, 80 - 0.3 * seed)
        _add(folder, "ba:m=5", seed, 93 + 0.1 * seed, 85 - 0.2 * seed)
        _add(folder, "ws:k=4,p=0.75", seed, 91 + 0.1 * seed, 90 - 0.1 * seed)
    write_design(folder, "tpe")
    return folder


def test_a_trial_has_a_top1_that_chooses_and_one_that_tells(study: Path) -> None:
    trials, _ = results.load(study)
    (group,) = groups(trials)
    best = group.counted[0]
    assert (best.setting, best.top1, best.test_top1, best.score, best.chosen_by) == ("ER(0.2)", 95.2, 79.4, 79.4, 95.2)
    assert [trial.setting for trial in group.counted] == ["ER(0.2)"] * 3 + ["BA(5)"] * 3 + ["WS(4,0.75)"] * 3
    assert group.values["ER(0.2)"] == [80.0, 79.7, 79.4]
    assert group.choosing["ER(0.2)"] == [95.0, 95.1, 95.2]
    assert group.holdout == 300


def test_a_record_without_what_tells_does_not_count(study: Path) -> None:
    digest = _add(study, "er:p=0.4", 0, 96.0, None)
    facts = StudyFacts.load(study)
    (excluded,) = [trial for trial in facts.trials if trial.top1 is None]
    assert (excluded.folder, excluded.status) == (digest, "unfinished")
    assert excluded.cause == "summary.json lacks test_top1, which a trial with data.holdout ends with, not counted"
    page = Page(write_report(study))
    assert "summary.json lacks test_top1" in page.table("trial")[digest][3] or "lacks test_top1" in page.text
    assert "1 trial excluded from all statistics" in page.text


def test_the_page_tells_by_images_that_chose_nothing_and_says_which_these_are(study: Path) -> None:
    page = Page(write_report(study))
    assert (
        "300 images of the training split, held out of training (seed 0), choose; the 360 images of the validation "
        "split tell: evaluated once for each trial, at its end, they chose nothing here"
    ) in page.text
    assert SAME not in page.text
    assert "79.70%mean test top-1 of ER(0.2), n = 3standard deviation 0.3095.10% by the images that choose" in page.text
    best = "79.40%test top-1, best of 9 networks: ER(0.2)graph seed 295.20% by the images that choose"
    assert best in page.text
    assert "300 images held out" in page.text
    assert "are by the images held out of training, which choose" in page.text
    assert page.table("setting")["ER(0.2)"][1] == "79.70"
    assert page.table("setting")["ER(0.2)"][-1] == "95.10"
    assert {name: [*row[3:5], row[-1]] for name, row in page.table("generator").items()} == {
        "ER": ["79.70", "0.30", "95.10"],
        "BA": ["84.80", "0.20", "93.10"],
        "WS": ["89.90", "0.10", "91.10"],
    }, "best first by the images that choose; the record has no test loss"
    heads = next(table[0] for table in page.tables if table[0][0] == "trial")
    trial = page.table("trial")[groups(results.load(study)[0])[0].counted[0].folder]
    shown = dict(zip(heads[1:], trial, strict=True))
    assert (shown["choosing (%)"], shown["test top-1 (%)"]) == ("95.20", "79.40")
    figure = scores(study).to_dict()
    assert figure["layout"]["xaxis"]["title"]["text"] == "test top-1 after the last epoch (%)"
    (er,) = [trace for trace in figure["data"] if trace.get("name") == "ER"]
    assert sorted(er["x"]) == [79.4, 79.7, 80.0]
    assert any("95.20% by the images that choose" in text for text in er["text"])
    curves = next(figure for name, figure in page.figures.items() if name.startswith("Learning curves"))
    assert "val: the 300 images held out of training." in curves["note"]


def test_best_is_what_the_images_that_choose_say_whatever_the_others_tell(study: Path) -> None:
    """Gallery, cards and sentences: as test_top1 is turned round, nothing that is called best changes."""

    def chosen() -> list[str]:
        facts = StudyFacts.load(study)
        text = Page(write_report(study)).text
        tiles = re.findall(r"\(([\d.]+)% by the images that choose\)rank (\d)", text)
        (card,) = re.findall(r"test top-1, best of 9 networks: (\S+?)graph", text)
        (lead,) = re.findall(r"mean test top-1 of (\S+?), n = 3", text)
        return [*(trial.folder for trial in facts.groups[0].counted), *map(" ".join, tiles), card, lead]

    before = chosen()
    assert before[9:] == [
        "95.20 1",
        "95.10 2",
        "95.00 3",
        "93.20 4",
        "91.00 9",
        "91.10 8",
        "91.20 7",
        "93.00 6",
        "ER(0.2)",
        "ER(0.2)",
    ]
    for path in study.glob("*/summary.json"):
        summary = json.loads(path.read_text())
        path.write_text(json.dumps({**summary, TEST_TOP1.key: 170 - summary[TEST_TOP1.key]}))
    assert chosen() == before


def test_a_fixed_design_names_the_best_by_the_images_that_choose(study: Path) -> None:
    write_design(study, "list", only=["er:p=0.2", "ba:m=5", "ws:k=4,p=0.75"])
    page = Page(write_report(study))
    assert "Test top-1 (n = 3): ER(0.2) 79.70%, " in page.text, "WS(4,0.75) has 89.90% here"
    assert next(iter(page.table("generator"))) == "ER"


def test_a_search_without_a_holdout_says_that_the_same_images_chose_and_tell(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    for seed in range(2):
        add_trial(folder, "er:p=0.2", seed)
    for search, says in (("tpe", True), ("random", True), ("race", True), ("grid", False), ("list", False)):
        write_design(folder, search, only=["er:p=0.2"])
        text = Page(write_report(folder)).text
        assert (f"{SAME}: the search chose settings" in text) == says, search
        assert "test top-1" not in text
    (folder / "study.json").unlink()
    assert SAME not in Page(write_report(folder)).text, "it is not known"


@pytest.mark.parametrize("holdout", [0, 300])
@pytest.mark.parametrize(("parent_holdout", "says"), [(0, True), (300, False)])
def test_a_confirmation_on_the_images_of_the_search_says_so(
    tmp_path: Path, parent_holdout: int, says: bool, holdout: int
) -> None:
    """One that tells by images that the search has not seen need not hold out any; to do so now undoes nothing."""
    winner = {"setting": "ws:k=4,p=0.75", "n": 2, "top1": 95.0}
    confirm = {"study": "searched", "design": "0" * 12, "search": "tpe", "settings": 6, "winners": [winner]}
    folder = tmp_path / "confirmed"
    add_trial(folder, data__holdout=holdout)
    write_design(folder, "list", only=["ws:k=4,p=0.75"], confirm={**confirm, "holdout": parent_holdout})
    assert (f"{SAME}: the study searched chose settings" in same_images(StudyFacts.load(folder))) == says


def test_the_checklist_and_the_wandb_report_tell_it(study: Path) -> None:
    facts = StudyFacts.load(study)
    (check,) = [check for check in checklist(facts, {}, ()) if check.text.startswith("The images that chose")]
    assert check.holds
    assert images(facts.trials) in check.text
    tables = story._tables(facts.sections[0]).splitlines()
    assert "| ER | ER(0.2) | 1 setting | 3 | 79.70 | 0.30 | 78.94 to 80.44 | 95.10 | - |" in tables
    assert "| setting | n | mean test top-1 (%) | std | range | mean by the images that choose (%) |" in tables
    assert "| BA(5) | 3 | 84.80 | 0.20 | 84.60 to 85.00 | 93.10 |" in tables
    bars = panels._by_setting(facts.groups[0])[0]
    assert "test/top1" in str(bars.metrics)
    plain = study.parent / "plain"
    add_trial(plain)
    write_design(plain, "tpe")
    (check,) = [c for c in checklist(StudyFacts.load(plain), {}, ()) if c.text.startswith("The images that chose")]
    assert not check.holds


def test_the_table_has_both(study: Path, tmp_path: Path) -> None:
    write_table(study, tmp_path / "table.csv")
    with open(tmp_path / "table.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["final"] == "True"]
    assert {(row["final_top1"], row["test_top1"]) for row in rows if row["setting"] == "ER(0.2)"} == {
        ("95.0", "80.0"), ("95.1", "79.7"), ("95.2", "79.4"),
    }  # fmt: skip
    plain = tmp_path / "plain"
    add_trial(plain)
    write_table(plain, tmp_path / "plain.csv")
    assert "test_top1" not in (tmp_path / "plain.csv").read_text()
