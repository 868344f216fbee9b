"""What to run next: graphs that would tell the settings it names, by their own spreads, and what confirming costs."""

import json
import math
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from figure_4 import LEADERS, add_figure_4, figure_4
from report_helpers import Page, add_study, add_trial, write_design
from study_helpers import command

from randwire import graphs
from randwire.report import write_report
from randwire.report.facts.next_steps import POINTS, contenders, pairs_of_contenders, proposal, questions, unknown
from randwire.report.facts.study import StudyFacts
from randwire.statistics.pairs import ALPHA, pairs_of, welch_pairs
from randwire.statistics.power import POWER, paired_power, power, sample_size
from randwire.statistics.variance import pooled_variance
from randwire.study.confirmation import DEFAULT_SEEDS

STDS = {"WS(4,0.75)": 0.29, "ER(0.2)": 0.13, "BA(5)": 0.10}


@pytest.fixture(scope="module")
def figure(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        return add_figure_4(tmp_path_factory.mktemp("runs") / "figure-4")


def test_the_settings_that_are_named_have_their_own_spreads_and_not_that_of_a_pool(figure: Path) -> None:
    """Of ER and WS, a difference of 0.25 points in a test alone: 15 graphs, where the pool over a grid asks for 27."""
    (section,) = StudyFacts.load(figure).sections
    asked = {question.names: question for question in questions(section)}
    assert list(asked) == [LEADERS[:2], (LEADERS[0], LEADERS[2]), LEADERS[1:]]
    for (one, two), question in asked.items():
        assert question.stds == pytest.approx((STDS[one], STDS[two]))
        assert question.n == 5
    pools = [
        pooled_variance([values for spec, values in figure_4().items()
                         if spec.startswith(name) and not graphs.parse(spec).deterministic])
        for name in ("er", "ws")
    ]  # fmt: skip
    er, ws = pools
    assert er is not None
    assert ws is not None
    own = asked[LEADERS[:2]].alone[POINTS.index(0.25)]
    assert (sample_size(0.25, (er, ws)).n, own.n) == (27, 15)
    assert (own.low, own.high) == (7, 69), "four degrees of freedom each: less certain than the pool seems to be"
    row = next(table for table in Page(write_report(figure)).tables if table[0][0] == "settings")[1]
    assert row[:3] == ["WS(4,0.75) and ER(0.2)", "0.29 and 0.13", "alone"]
    assert row[4] == "15 (7 to 69)"


def test_the_proposed_confirmation_finds_what_it_says_of_each_pair(figure: Path) -> None:
    facts = StudyFacts.load(figure)
    (section,) = facts.sections
    proposed = proposal(section, facts)
    assert proposed is not None
    assert (proposed.settings, proposed.difference, proposed.trainings) == (3, 0.25, 3 * proposed.seeds)
    assert proposed.seconds == pytest.approx(proposed.trainings * 16.5)
    random, n, count = np.random.default_rng(0), proposed.seeds, 4000
    pairs = list(zip(*pairs_of(3), strict=True))
    for k, (one, two) in enumerate(pairs):
        truth = np.full(3, 0.125)  # the third lies between the two, where Holm's correction helps them least
        truth[one], truth[two] = 0.25, 0.0
        draws = random.normal(truth[:, None], np.array(list(STDS.values()))[:, None], (count, 3, n))
        _, adjusted = welch_pairs(draws.mean(-1), draws.std(-1, ddof=1), np.array(n))
        found = (adjusted[:, k] <= ALPHA) & (draws[:, one].mean(-1) > draws[:, two].mean(-1))
        assert found.mean() >= POWER - 4 * math.sqrt(POWER * (1 - POWER) / count)
    chances = [power(0.25, n - 1, (question.stds[0] ** 2, question.stds[1] ** 2), ALPHA / 3)
               for question in questions(section)]  # fmt: skip
    assert min(chances) < POWER, "with one graph less a pair would be missed more often"


def test_the_proposed_command_plans_what_it_says(figure: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = StudyFacts.load(figure)
    proposed = proposal(facts.sections[0], facts)
    assert proposed is not None
    python, script, verb, *options = shlex.split(proposed.command)
    assert (python, script, verb) == ("python", "studies/generators.py", "sweep")
    assert options[:2] == ["--name", "figure-4-confirmed"]
    assert command("plan", *options, "--runtime.output", str(figure.parent), "--json") == 0
    planned = json.loads(capsys.readouterr().out)["trials"]
    assert len(planned) == proposed.trainings
    assert len({row["setting"] for row in planned}) == proposed.settings
    assert min(row["graph_seed"] for row in planned) == 5
    text = Page(write_report(figure)).text
    assert proposed.command in text
    assert f"{proposed.trainings} trainings of 16 seconds on average" in text
    assert "find a true difference of 0.25 points between any two of them with a chance of at least 80%" in text


def test_what_is_not_known_is_said_and_not_guessed(tmp_path: Path) -> None:
    """WS has three graphs, BA two and ER one."""
    study = add_study(tmp_path / "my-study")
    facts = StudyFacts.load(study)
    (section,) = facts.sections
    assert contenders(section) == ["WS(4,0.75)", "BA(5)", "ER(0.2)"]
    assert unknown(section) == ["BA(5)", "ER(0.2)"]
    assert questions(section) == []
    proposed = proposal(section, facts)
    assert proposed is not None
    assert (proposed.seeds, proposed.difference) == (DEFAULT_SEEDS, None)
    text = Page(write_report(study)).text
    assert "How many graphs would tell" not in text
    assert (
        "What they would find is not known. With fewer than 3 graphs or no spread, nothing tells how these vary: "
        "BA(5) (n=2), ER(0.2) (n=1)."
    ) in text
    add_trial(study, "ba:m=5", 2, 90.5)
    (section,) = StudyFacts.load(study).sections
    assert [question.names for question in questions(section)] == [("WS(4,0.75)", "BA(5)")]
    assert pairs_of_contenders(section) == 3, "also the pair of which nothing is known is one"


def test_of_one_generator_the_best_two_settings_are_asked_about(tmp_path: Path) -> None:
    study = tmp_path / "one"
    for spec, top1 in (("ba:m=5", 80.0), ("ba:m=3", 79.0), ("ba:m=1", 70.0)):
        for seed in range(3):
            add_trial(study, spec, seed, top1 + seed * (1 + (spec == "ba:m=1")))
    write_design(study, "list", only=["ba:m=1", "ba:m=3", "ba:m=5"])
    facts = StudyFacts.load(study)
    (section,) = facts.sections
    (question,) = questions(section)
    assert (question.names, question.stds) == (("BA(5)", "BA(3)"), (1.0, 1.0))
    proposed = proposal(section, facts)
    assert proposed is not None
    assert (proposed.settings, proposed.difference) == (1, None), "the best one, as --confirm has it"


@pytest.mark.parametrize(
    "more",
    [
        {"search": "grid", "generators": ["er"]},  # what is there is outside of it
        {"search": "random", "space": ["train.seed=0:9:1"]},
        {"search": "tpe", "early_stopping": True},
    ],
)
def test_a_study_that_cannot_be_confirmed_has_no_command_and_survivors_no_numbers(
    tmp_path: Path, more: dict[str, Any]
) -> None:
    study = tmp_path / "study"
    for seed in range(3):
        add_trial(study, "ba:m=5", seed, 80.0 + seed)
        add_trial(study, "ws:k=4,p=0.75", seed, 70.0 + seed)
    write_design(study, **more)
    facts = StudyFacts.load(study)
    stopped = bool(more.get("early_stopping"))
    assert (proposal(facts.sections[0], facts) is not None) == stopped
    text = Page(write_report(study)).text
    assert ("--confirm study --seeds 10" in text) == stopped
    assert ("early stopping has left the settings that vary least" in text) == stopped
    assert ("How many graphs would tell" in text) != stopped


def test_several_budgets_and_an_unknown_design_have_no_command(tmp_path: Path) -> None:
    add_trial(tmp_path, "ba:m=5", 0, 80.0)
    facts = StudyFacts.load(tmp_path)
    assert proposal(facts.sections[0], facts) is None, "there is no study.json"
    write_design(tmp_path, "grid")
    add_trial(tmp_path, "ba:m=5", 0, 85.0, train__epochs=16)
    facts = StudyFacts.load(tmp_path)
    assert [proposal(section, facts) for section in facts.sections] == [None, None]


def test_variants_are_asked_about_graph_by_graph(tmp_path: Path) -> None:
    """The spread is that of the difference on one graph, whatever graphs differ by."""
    variants = {op: {"network.op": op} for op in ("conv", "sepconv", "avgpool")}
    deltas = {"conv": (0.0, 0.0, 0.0), "sepconv": (-1.0, -1.5, -2.0), "avgpool": (-3.0, -3.0, -6.0)}
    for op, values in deltas.items():
        for seed, delta in enumerate(values):
            add_trial(tmp_path, "ba:m=5", seed, 60.0 + 10 * seed + delta, network__op=op)
    write_design(tmp_path, "grid", variants=variants, generators=["ba"])
    facts = StudyFacts.load(tmp_path)
    (section,) = facts.sections
    asked = {question.names: question for question in questions(section)}
    assert {names: question.stds for names, question in asked.items()} == {
        ("conv", "sepconv"): pytest.approx((0.5,)), ("conv", "avgpool"): pytest.approx((math.sqrt(3),)),
    }  # fmt: skip
    for question in asked.values():
        variance = question.stds[0] ** 2
        assert paired_power(question.seen, question.n, variance) == pytest.approx(POWER)
        for points, alone, among in zip(POINTS, question.alone, question.among, strict=True):
            for sizes, alpha in ((alone, ALPHA), (among, ALPHA / 3)):
                assert paired_power(points, sizes.n, variance, alpha) >= POWER
                assert sizes.n == 3 or paired_power(points, sizes.n - 1, variance, alpha) < POWER
                assert sizes.low <= sizes.n <= sizes.high
    assert proposal(section, facts) is None
    rows = next(table for table in Page(write_report(tmp_path)).tables if "found so far" in table[0])
    assert [row[:3] for row in rows[1::2]] == [
        ["conv and sepconv", "0.50", "alone"], ["conv and avgpool", "1.73", "alone"]
    ]  # fmt: skip
