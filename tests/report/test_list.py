"""A list and a confirmation were fixed beforehand: they are tested, and called what they are."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from report_helpers import GRID, Page, add_grid, add_trial, write_design

from randwire.report.facts.checklist import checklist
from randwire.report.facts.confirmed import sentences
from randwire.report.facts.provenance import provenance
from randwire.report.facts.study import StudyFacts
from randwire.report.page.study_page import write_report
from randwire.report.table import write_table

SOME = [*GRID[:1], *GRID[2:]]
WINNERS = [
    {"setting": "ba:m=5", "n": 5, "top1": 75.5, "fitted": 74.75},
    {"setting": "ws:k=4,p=0.75", "n": 5, "top1": 75.25},
    {"setting": "ws:k=4,p=0.5", "n": 5, "top1": 74.0},
]
CONFIRM = {"study": "earlier", "design": "0123456789ab", "search": "tpe", "settings": 9, "holdout": 0}


def test_a_list_is_tested_and_what_it_does_not_name_is_outside(tmp_path: Path) -> None:
    add_grid(tmp_path, search="list", only=SOME)
    page = Page(write_report(tmp_path))
    assert "list of 4 settings, fixed beforehand, 3 graph seeds" in page.text
    assert "Holm's correction and the intervals are for all 3 questions." in page.text
    assert "with Holm's correction for all 6 pairs" in page.text
    assert "5 trials of settings that are not of the study's fixed list" in page.text
    assert "Outside the fixed list" in page.text
    assert "grid" not in page.text
    assert "WS(4,0.5)" not in page.table("setting")
    (first, *_) = checklist(StudyFacts.load(tmp_path), {}, ())
    assert first.holds
    assert "list of 4 settings" in first.text
    write_table(tmp_path, tmp_path / "table.csv")
    table = pd.read_csv(tmp_path / "table.csv")
    assert set(table[table["setting"] == "WS(4,0.5)"]["design"]) == {"outside"}
    assert set(table[table["setting"] != "WS(4,0.5)"]["design"]) == {"list"}


@pytest.mark.parametrize(("holdout", "images"), [(0, "the validation split"), (360, "360 training images that were")])
def test_a_confirmation_shows_what_became_of_its_winners(holdout: int, images: str, tmp_path: Path) -> None:
    study = tmp_path / "mine"
    (tmp_path / "earlier").mkdir()
    (tmp_path / "earlier" / "report.html").write_text("")
    for seed, (ws, ba) in enumerate([(74.0, 70.0), (75.0, 71.0), (76.0, 72.5)]):
        add_trial(study, "ws:k=4,p=0.75", seed, ws)
        add_trial(study, "ba:m=5", seed, ba)
    only = [str(winner["setting"]) for winner in WINNERS]
    write_design(study, "list", only=only, confirm={**CONFIRM, "holdout": holdout, "winners": WINNERS})
    page = Page(write_report(study))
    rows = page.table("setting")
    assert rows["WS(4,0.75)"] == ["5", "75.25", "-", "3", "75.00", "-0.25"]
    assert rows["BA(5)"] == ["5", "75.50", "74.75", "3", "71.17", "-4.33"]
    assert rows["WS(4,0.5)"] == ["5", "74.00", "-", "-", "-", "-"]
    leaders = {name: [row[0], *row[2:4], row[-1]] for name, row in page.table("generator").items()}
    assert leaders == {
        "WS": ["WS(4,0.75)", "3", "75.00", "75.25 (n = 5)"],
        "BA": ["BA(5)", "3", "71.17", "75.50 (n = 5)"],
    }, "by what came out here, with what chose them"
    assert "The settings were chosen by earlier, which had 9 settings, by other graphs than these." in page.text
    assert f"earlier has chosen 3 settings of 9 by top-1 on {images}" in page.text
    best = "Its best, BA(5), had a mean of 75.50% (n = 5) then, of which 74.75% were to be expected, and has 71.17%"
    assert f"{best} (n = 3) on fresh seeds." in page.text
    assert "../earlier/report.html" in [attrs.get("href") for tag, attrs in page.tags if tag == "a"]
    assert "These results chose" not in page.text
    (row,) = next(table[1:] for table in page.tables if table[0][:2] == ["higher mean", "against"])
    assert row[:4] == ["WS(4,0.75)", "BA(5)", "3", "3.83"]
    assert "against all others" not in page.text, "the one pair is that of the generators"
    assert "WS(4,0.75): 1 of 2 tested settings." in page.text
    facts = StudyFacts.load(study)
    assert provenance(facts)["design"].startswith("confirmation of 3 settings of earlier, 3 graph seeds")
    assert len(sentences(facts)) == 2
    assert facts.groups[0].origin == "confirmation"


def test_networks_of_equal_cost_are_one_budget_whatever_their_channels(tmp_path: Path) -> None:
    """And a network of other channels, which something else has chosen, is not of it."""
    for seed, channels in enumerate((15, 16, 17)):
        for spec in ("ws:k=4,p=0.75", "ba:m=5"):
            add_trial(tmp_path, spec, seed, 70.0 + seed, network__channels=channels)
    sizes = sorted(float(trial.complexity["mult_adds"]) for trial in StudyFacts.load(tmp_path).trials)
    middle = (sizes[0] + sizes[-1]) / 2
    assert len(StudyFacts.load(tmp_path).sections) == 3
    write_design(tmp_path, "list", only=["ws:k=4,p=0.75", "ba:m=5"], match_mult_adds=middle)
    facts = StudyFacts.load(tmp_path)
    (section,) = facts.sections
    assert len(section.group.counted) == 6
    assert f"channels of each network for {middle:,.0f} multiply-adds" in provenance(facts)["design"]
    write_design(tmp_path, "list", only=["ws:k=4,p=0.75", "ba:m=5"], match_mult_adds=2 * middle)
    assert len(StudyFacts.load(tmp_path).sections) == 3


def test_settings_with_keys_that_a_search_suggested_are_tested_once(tmp_path: Path) -> None:
    """As settings: they are no variants, though two of them may have the same graphs."""
    only = [f"ws:k=4,p=0.75 network.channels={channels}" for channels in (15, 17)]
    for seed in range(3):
        for channels in (15, 17):
            variant = f"network.channels={channels}"
            keys: dict[str, Any] = {"network__channels": channels, "runtime__variant": variant}
            add_trial(tmp_path, "ws:k=4,p=0.75", seed, 70.0 + seed + channels, **keys)
    winners = [{"setting": spec, "n": 2, "top1": 88.0} for spec in only]
    write_design(tmp_path, "list", only=only, confirm={**CONFIRM, "winners": winners})
    page = Page(write_report(tmp_path))
    assert "with Holm's correction for all 1 pair" in page.text
    assert "The best setting against all others" in page.text
    assert "Appendix" not in page.text[: page.text.index("The best setting against all others")]
    assert "variant" not in page.text


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"search": "random", "space": ["graph.seed=0:99:1"], "seeds": [0]}, "one graph a setting, 1 training of it"),
        ({"search": "list", "only": ["ba:m=5 graph.seed=7"]}, "one graph a setting, 3 trainings of it"),
        ({"search": "random", "space": ["network.channels=8,16"]}, "3 graph seeds (0, 1, 2), 1 training seed (0)"),
    ],
)
def test_the_design_tells_where_graphs_are_part_of_settings(tmp_path: Path, more: dict[str, Any], told: str) -> None:
    add_trial(tmp_path, "ba:m=5", 7)
    write_design(tmp_path, **more)
    design = provenance(StudyFacts.load(tmp_path))["design"]
    assert told in design
    assert ("graph seed" in design) == ("graph seed" in told)
