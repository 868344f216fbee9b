"""The questions of a study as families of tests: which pairs each has, and what its correction is for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from figure_4 import LEADERS, LOSS_PER_ERROR, add_figure_4
from report_helpers import Page, add_grid, add_reference, add_trial, write_design

from randwire.pages.text import p_text
from randwire.report.facts.families import Family, may_be_best
from randwire.report.facts.study import Section, StudyFacts
from randwire.report.page.families import all_pairs, families_panel
from randwire.statistics.pairs import Pair, compare


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Section:
    """The paper's Figure 4, five graphs of each setting."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        return section_of(add_figure_4(tmp_path_factory.mktemp("runs") / "figure-4"))


def section_of(study: Path) -> Section:
    return StudyFacts.load(study).sections[0]


def by_key(families: Sequence[Family]) -> Mapping[str, Family]:
    return {family.key: family for family in families}


def named(pairs: Sequence[Pair]) -> list[tuple[str, str]]:
    return [pair.names for pair in pairs]


def test_a_grid_that_chooses_the_best_is_corrected_for_all_that_it_could_have_chosen(grid: Section) -> None:
    family = by_key(grid.families)["generators"]
    ws, er, ba = LEADERS
    assert named(family.pairs) == [(ws, er), (ws, ba), (er, ba)]
    # 20 settings of WS, of which WS(2,0) does not vary, 4 of ER and 5 of BA.
    assert family.tests == 19 * 4 + 19 * 5 + 4 * 5
    three = {pair.names: pair for pair in compare({name: grid.group.values[name] for name in LEADERS})}
    for pair in family.pairs:
        fixed = three[pair.names]
        assert pair.difference == pytest.approx(fixed.difference)
        assert pair.n == fixed.n
        assert pair.p > fixed.p
        assert pair.interval.low < fixed.interval.low < fixed.interval.high < pair.interval.high
    assert not any(pair.separated for pair in family.pairs), "5 graphs are too few where the data choose"
    assert (
        "chose the best settings: WS(4,0.75) (of 19 tested), ER(0.2) (of 4 tested), BA(5) (of 5 tested)." in family.note
    )


def test_a_list_of_one_setting_of_each_generator_is_tested_by_three_tests(tmp_path: Path) -> None:
    values = {"ws:k=4,p=0.75": (73.8, 73.5, 74.0), "er:p=0.2": (73.4, 73.3, 73.5), "ba:m=5": (73.2, 73.3, 73.15)}
    for spec, scores in values.items():
        for seed, top1 in enumerate(scores):
            add_trial(tmp_path, spec, seed, top1)
    write_design(tmp_path, "list", only=list(values))
    section = section_of(tmp_path)
    (family,) = section.families
    assert (family.key, family.tests) == ("generators", 3)
    for pair, plain in zip(family.pairs, section.pairs, strict=True):
        assert pair.names == plain.names
        assert (*pair.interval, pair.p, pair.adjusted) == pytest.approx((*plain.interval, plain.p, plain.adjusted))
    assert family.excluded == max(abs(end) for pair in section.pairs for end in pair.alone)
    assert "fixed before these results. Holm's correction and the intervals are for all 3 questions." in family.note


def test_each_ring_is_tested_against_the_mean_of_what_is_rewired_from_it(grid: Section) -> None:
    family = by_key(grid.families)["randomness"]
    assert named(family.pairs) == [(f"WS({k},P>0)", f"WS({k},0)") for k in (4, 6, 8)]
    assert [pair.n for pair in family.pairs] == [(20, 5)] * 3
    assert [pair.difference for pair in family.pairs] == pytest.approx([4.39, 2.175, 1.0])
    assert family.tests == 3
    assert all(pair.separated for pair in family.pairs)
    assert "WS(4,P>0) is the mean over WS(4,0.25), WS(4,0.5), WS(4,0.75), WS(4,1), of which each" in family.note


def test_networks_made_by_hand_are_tested_against_the_best_random_setting(tmp_path: Path) -> None:
    for seed in range(4):
        add_trial(tmp_path, "ws:k=4,p=0.75", seed, 73.0 + seed / 10)
        add_trial(tmp_path, "er:p=0.2", seed, 72.0 + seed / 20)
        add_trial(tmp_path, "ws:k=4,p=0", seed, 75.0 + seed / 10, train__seed=seed)  # neither by hand nor random
        add_trial(tmp_path, "chain", seed, 60.0 + seed / 10, train__seed=seed)
        add_reference(tmp_path, "pytorchcv:resnet20_cifar10", seed, 74.9 + seed / 10)
    only = ["ws:k=4,p=0.75", "er:p=0.2", "ws:k=4,p=0", "chain", "pytorchcv:resnet20_cifar10"]
    write_design(tmp_path, "list", only=only, generators=["er", "ba", "ws", "chain"])
    section = section_of(tmp_path)
    families = by_key(section.families)
    assert named(families["generators"].pairs) == [("WS(4,0)", "ER(0.2)")], "the best of WS is its ring"
    assert families["generators"].tests == 2
    assert named(families["randomness"].pairs) == [("WS(4,0)", "WS(4,0.75)")]
    family = families["hand_made"]
    assert named(family.pairs) == [("resnet20_cifar10", "WS(4,0.75)"), ("WS(4,0.75)", "CHAIN")]
    assert (family.tests, family.against) == (4, "WS(4,0.75)")
    assert all(pair.separated for pair in family.pairs)
    assert may_be_best(section.group) == ["WS(4,0)", "resnet20_cifar10"]


def test_a_search_has_no_families(tmp_path: Path) -> None:
    add_grid(tmp_path, seeds=3)
    for search in ("random", "tpe", "race"):
        write_design(tmp_path, search)
        section = section_of(tmp_path)
        assert (section.families, section.families_by_loss, may_be_best(section.group)) == ([], [], [])
    write_design(tmp_path, "grid", early_stopping=True)
    assert section_of(tmp_path).families == []
    write_design(tmp_path, "grid")
    assert len(section_of(tmp_path).families) == 2


def test_the_settings_that_may_be_the_best_of_figure_4(grid: Section) -> None:
    named = may_be_best(grid.group)
    assert named[0] == LEADERS[0]
    assert {"ER(0.2)", "BA(5)"} <= set(named)
    assert not {"BA(1)", "WS(4,0)", "WS(6,0)", "WS(8,0)", "WS(2,0)"} & set(named)


def test_the_loss_is_tested_by_itself_and_less_of_it_is_better(grid: Section) -> None:
    """Figure 4's made-up losses are the errors times a constant: what is tested of them is what is tested of top-1."""
    assert [family.key for family in grid.families_by_loss] == [family.key for family in grid.families]
    for by_loss, by_top1 in zip(grid.families_by_loss, grid.families, strict=True):
        assert by_loss.tests == by_top1.tests
        for loss, top1 in zip(by_loss.pairs, by_top1.pairs, strict=True):
            assert loss.names == top1.names, "the one with the lower loss is first"
            assert loss.difference == pytest.approx(LOSS_PER_ERROR * top1.difference)
            assert (loss.p, loss.adjusted) == pytest.approx((top1.p, top1.adjusted))


def test_the_page_asks_the_questions_and_keeps_all_pairs_for_the_appendix(grid: Section, tmp_path: Path) -> None:
    (tmp_path / "page").write_text(families_panel(grid))
    page = Page(tmp_path / "page")
    generators, rings = page.tables
    assert generators[0][:4] == ["higher mean", "against", "n", "difference (points)"]
    assert [row[:4] for row in generators[1:]] == [
        ["WS(4,0.75)", "ER(0.2)", "5", "0.40"],
        ["WS(4,0.75)", "BA(5)", "5", "0.52"],
        ["ER(0.2)", "BA(5)", "5", "0.12"],
    ]
    family = by_key(grid.families)["generators"]
    adjusted = [p_text(pair.adjusted) for pair in family.pairs]
    assert [row[6] for row in generators[1:]] == adjusted
    assert [row[-1].split(" ", 1) for row in generators[1:]] == [
        [f"{-LOSS_PER_ERROR * points:+.3f}", f"({p})"] for points, p in zip((0.40, 0.52, 0.12), adjusted, strict=True)
    ]
    assert f"A difference above {family.excluded:.2f} points between any two is excluded" in page.text
    assert [row[:4] for row in rings[1:]] == [
        ["WS(4,P>0)", "WS(4,0)", "20/5", "4.39"],
        ["WS(6,P>0)", "WS(6,0)", "20/5", "2.17"],
        ["WS(8,P>0)", "WS(8,0)", "20/5", "1.00"],
    ]
    assert f"{', '.join(may_be_best(grid.group))}: {len(may_be_best(grid.group))} of 28 tested settings." in page.text
    assert "Not tested, with fewer than 3 graphs or no spread: WS(2,0) (n=5)." in page.text
    appendix = all_pairs(grid)
    assert "with Holm&#x27;s correction for all 378 pairs" in appendix
    assert appendix.count("<tr>") == 1 + 27


def test_pairs_that_families_tell_are_not_repeated(tmp_path: Path) -> None:
    for seed in range(3):
        for spec in ("ws:k=4,p=0.75", "er:p=0.2"):
            add_trial(tmp_path, spec, seed, (73.0 if spec == "er:p=0.2" else 74.0) + seed / 10)
    write_design(tmp_path, "list", only=["ws:k=4,p=0.75", "er:p=0.2"])
    section = section_of(tmp_path)
    assert all_pairs(section) == ""
    assert "points is excluded" in families_panel(section)
    assert "difference of the loss" not in families_panel(section), "all losses are equal"


def test_a_ring_is_held_against_what_has_the_same_further_keys(tmp_path: Path) -> None:
    """In a confirmation of a search over further keys."""
    only = []
    for channels in (15, 17):
        for p in (0, 0.5):
            only.append(f"ws:k=4,p={p} network.channels={channels}")
            for seed in range(3):
                top1 = 70.0 + channels + 2 * p + seed / 10
                keys: dict[str, Any] = {
                    "network__channels": channels,
                    "runtime__variant": f"network.channels={channels}",
                }
                add_trial(tmp_path, f"ws:k=4,p={p}", seed if p else 0, top1, train__seed=0 if p else seed, **keys)
    winners = [{"setting": spec, "n": 2, "top1": 88.0} for spec in only]
    confirm = {"study": "earlier", "design": "0123456789ab", "search": "tpe", "settings": 9, "holdout": 0}
    write_design(tmp_path, "list", only=only, confirm={**confirm, "winners": winners})
    family = by_key(section_of(tmp_path).families)["randomness"]
    assert named(family.pairs) == [
        (f"WS(4,0.5) channels={channels}", f"WS(4,0) channels={channels}") for channels in (17, 15)
    ]
