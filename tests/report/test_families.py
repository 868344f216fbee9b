"""The questions of a study as families of tests: which pairs each has, and what its correction is for."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from figure_4 import LEADERS, add_figure_4
from report_helpers import add_grid, add_reference, add_trial, write_design

from randwire.report.facts.families import Family, may_be_best
from randwire.report.facts.study import Section, StudyFacts
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
    assert "chose the best settings: WS(4,0.75) (of 19), ER(0.2) (of 4), BA(5) (of 5)." in family.note


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
