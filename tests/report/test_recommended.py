"""What the report of a search recommends: settings with the mean that was seen and the one to expect."""

import random
from pathlib import Path

from report_helpers import HOSTILE, Page, add_trial, write_design

from benchmarks.search import landscape
from benchmarks.search.simulation import Case
from randwire.report.facts.study import StudyFacts
from randwire.report.page.search import recommendation
from randwire.report.page.study_page import write_report
from randwire.study.winners import Ranked

ONE_SEED = Case("random", 1)
TITLE = "What the search recommends"


def searched(folder: Path, count: int = 40, search: str = "random") -> list[Ranked]:
    """Settings of the landscape of Figure 4, a network each; their ranking."""
    for spec in random.Random(1).sample(landscape.settings(), count):
        add_trial(folder, spec, 0, ONE_SEED.top1(spec, 0, 1))
    write_design(folder, search, seeds=[0])
    return StudyFacts.load(folder).sections[0].ranking


def test_a_search_recommends_ten_settings_by_its_fit(tmp_path: Path) -> None:
    ranked = searched(tmp_path)
    first, highest = ranked[0], max(ranked, key=lambda one: one.mean)
    assert first.smooth
    assert first != highest, "or the page would not have to tell them apart"
    page = Page(write_report(tmp_path))
    table = next(
        table for table in page.tables if table[0] == ["setting, best first", "n", "mean seen (%)", "expected (%)"]
    )
    names = [f"{one.setting}{' (recommended)' * (one is first)}" for one in ranked[:10]]
    assert [row[0] for row in table[1:]] == names
    assert table[1][1:] == ["1", f"{first.mean:.2f}", f"{first.fitted:.2f}"]
    assert f"Of 40 settings that have finished, {first.setting} is recommended by a smooth fit" in page.text
    expected = f"{highest.mean:.2f}% (n = 1), of which {highest.fitted:.2f}% are to be expected"
    assert f"The highest mean was that of {highest.setting}, {expected}." in page.text
    assert "Gaussian process over the parameters" in page.text
    assert "drawn towards" not in page.text


def test_few_settings_are_recommended_by_their_means(tmp_path: Path) -> None:
    ranked = searched(tmp_path, count=7)
    page = Page(write_report(tmp_path))
    assert (
        f"7 settings that have finished, {ranked[0].setting} has the highest mean, {ranked[0].mean:.2f}%" in page.text
    )
    assert "A smooth fit over the parameters needs 8 settings." in page.text
    assert "expected takes that off" not in page.text


def test_what_no_smooth_fit_explains_is_told_with_what_shrinkage_leaves(tmp_path: Path) -> None:
    noise = random.Random(0)
    for spec in random.Random(1).sample(landscape.settings(), 12):
        for seed in (0, 1):
            add_trial(tmp_path, spec, seed, 73 + noise.gauss(0, 0.3))
    write_design(tmp_path, "tpe", seeds=[0, 1])
    page = Page(write_report(tmp_path))
    assert "No smooth fit over the parameters explains these means better than none" in page.text
    assert "are drawn towards that of all settings" in page.text
    (section,) = StudyFacts.load(tmp_path).sections
    first = section.ranking[0]
    assert first.fitted is not None
    assert first.fitted < first.mean
    assert f"{first.mean:.2f}% (n = 2), of which {first.fitted:.2f}% are to be expected" in page.text


def test_single_graphs_have_no_order(tmp_path: Path) -> None:
    for seed in range(9):
        add_trial(tmp_path, "ba:m=5", seed, 70.0 + seed, runtime__variant=f"graph.seed={seed}")
    write_design(tmp_path, "tpe", seeds=[0], space=["graph.seed=0:99"])
    page = Page(write_report(tmp_path))
    assert "Seeds were searched, and these have no order that a smooth fit could follow." in page.text


def test_with_a_holdout_what_was_seen_stands_beside_what_is_told(tmp_path: Path) -> None:
    for spec, top1 in (("ba:m=5", 80.0), ("ba:m=3", 70.0)):
        config = add_trial(tmp_path, spec, 0, top1, data__holdout=360)
        path = tmp_path / config.digest / "summary.json"
        path.write_text(path.read_text().replace("{", '{"test_top1": 75.5, "test_loss": 1.0,', 1))
    write_design(tmp_path, "random", seeds=[0])
    page = Page(write_report(tmp_path))
    table = next(table for table in page.tables if "mean seen (%)" in table[0])
    assert table[0][-1] == "test top-1 (%)"
    assert table[1] == ["BA(5) (recommended)", "1", "80.00", "-", "75.50"]


def test_other_studies_recommend_nothing_here(tmp_path: Path) -> None:
    for search in ("race", "grid"):
        searched(tmp_path / search, count=10, search=search)
        assert TITLE not in Page(write_report(tmp_path / search)).text
    add_trial(tmp_path / "one", "ba:m=5", 0, 70.0)
    write_design(tmp_path / "one", "tpe")
    assert TITLE not in Page(write_report(tmp_path / "one")).text, "the first of one"


def test_texts_of_a_record_are_escaped(tmp_path: Path) -> None:
    for spec, top1 in (("ba:m=5", 80.0), ("ba:m=3", 70.0)):
        add_trial(tmp_path, spec, 0, top1, runtime__variant=HOSTILE.split()[0])
    write_design(tmp_path, "random", seeds=[0], space=["network.op=conv,sepconv"])
    (section,) = StudyFacts.load(tmp_path).sections
    assert "<script" not in recommendation(section)
