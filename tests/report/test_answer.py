"""What a report opens with: its answer, in a few sentences, before anything else."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from figure_4 import add_figure_4
from report_helpers import Page, add_grid, add_reference, add_study, add_trial, write_design

from randwire.records import Record
from randwire.report import write_report
from randwire.report.facts.answer import answer
from randwire.report.facts.study import StudyFacts


def told(folder: Path) -> list[str]:
    return answer(StudyFacts.load(folder))


def test_the_page_of_figure_4_opens_with_its_answer(tmp_path: Path) -> None:
    add_figure_4(tmp_path)
    sentences = told(tmp_path)
    assert sentences[0] == "Best setting of each generator (n = 5): WS(4,0.75) 73.76%, ER(0.2) 73.36%, BA(5) 73.24%."
    assert sentences[1].startswith("No two are separated; a difference above 0.98 points between any two is excluded.")
    assert sentences[2].startswith(
        "Rewired at random or not: WS(4,P>0) is 4.39 points above WS(4,0) (corrected p < 0.001)"
    )
    assert len(sentences) == 3
    text = Page(write_report(tmp_path)).text
    places = [text.index(part) for part in (sentences[0], "What was compared", "What came out", "Is anything wrong?")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("points", "second"),
    [
        (0.0, "They are not separated; a difference above 0."),
        (3.0, "WS(4,0.75) is 3."),
    ],
)
def test_two_settings_are_separated_or_a_difference_is_excluded(points: float, second: str, tmp_path: Path) -> None:
    noise = random.Random(0)
    for seed in range(10):
        add_trial(tmp_path, "ws:k=4,p=0.75", seed, 73 + points + noise.gauss(0, 0.3))
        add_trial(tmp_path, "ba:m=5", seed, 73 + noise.gauss(0, 0.3))
    write_design(tmp_path, "list", only=["ws:k=4,p=0.75", "ba:m=5"], seeds=[*range(10)])
    first, tested = told(tmp_path)
    assert first.startswith("Top-1 (n = 10): WS(4,0.75) 7" if points else "Top-1 (n = 10): ")
    assert tested.startswith(second)


def test_a_confirmation_says_what_it_confirms(tmp_path: Path) -> None:
    winners = [{"setting": spec, "n": 2, "top1": 75.0} for spec in ("ws:k=4,p=0.75", "ba:m=5")]
    for seed in range(4):
        add_trial(tmp_path, "ws:k=4,p=0.75", seed, 74.0 + seed / 10)
        add_trial(tmp_path, "ba:m=5", seed, 73.0 + seed / 8)
    confirm = {"study": "earlier", "design": "0", "search": "tpe", "settings": 9, "holdout": 0, "winners": winners}
    write_design(tmp_path, "list", only=[str(one["setting"]) for one in winners], confirm=confirm, seeds=[*range(4)])
    assert told(tmp_path)[0] == (
        "Best setting of each generator in earlier, confirmed on fresh seeds (n = 4): WS(4,0.75) 74.15%, BA(5) 73.19%."
    )


def test_networks_made_by_hand_are_compared_with_the_best_random_setting(tmp_path: Path) -> None:
    noise = random.Random(1)
    for seed in range(6):
        add_trial(tmp_path, "ws:k=4,p=0.75", seed, 73 + noise.gauss(0, 0.2))
        add_trial(tmp_path, "chain", seed, 70 + noise.gauss(0, 0.2), train__seed=seed)
        add_reference(tmp_path, "pytorchcv:resnet20_cifar10", seed, 76 + noise.gauss(0, 0.2))
        add_reference(tmp_path, "pytorchcv:resnet56_cifar10", seed, 73 + noise.gauss(0, 0.2))
    only = ["ws:k=4,p=0.75", "chain", "pytorchcv:resnet20_cifar10", "pytorchcv:resnet56_cifar10"]
    write_design(tmp_path, "list", only=only, seeds=[*range(6)])
    assert told(tmp_path)[-1] == (
        "Of the networks made by hand, against WS(4,0.75): resnet20_cifar10 is above it; CHAIN is below it; "
        "resnet56_cifar10 is not separated from it."
    )


def test_a_search_recommends_and_tests_nothing(tmp_path: Path) -> None:
    sentences = told(add_study(tmp_path))
    assert sentences[0].startswith(
        "Of 3 settings that have finished, WS(4,0.75) has the highest mean: 92.00% over n = 3"
    )
    assert sentences[1] == "Best setting of each generator: WS(4,0.75) 92.00%, BA(5) 88.75%, ER(0.2) 77.50%."
    assert sentences[2].startswith("Nothing is tested")
    assert sentences[3] == "There are 3 warnings: see Is anything wrong?"


def test_variants_are_answered_on_the_same_graphs(tmp_path: Path) -> None:
    noise = random.Random(2)
    for seed in range(6):
        graph = noise.gauss(0, 2)
        for op, points in (("conv", 0.0), ("avgpool", -4.0), ("sepconv", 0.1)):
            add_trial(tmp_path, "ba:m=5", seed, 80 + graph + points + noise.gauss(0, 0.2), network__op=op)
    write_design(
        tmp_path, "grid", variants={op: {"network.op": op} for op in ("conv", "avgpool", "sepconv")}, seeds=[*range(6)]
    )
    first, above, near = told(tmp_path)
    assert first.startswith("On the same graphs (n = 6): ")
    assert first.rindex("avgpool") > max(first.rindex("sepconv"), first.rindex(" conv"))
    assert "points above avgpool (corrected p < 0.001)" in above
    assert "is not separated from" in near
    assert "excluded" not in near, "some are separated, so that the bound for all would be theirs"


@pytest.mark.parametrize(
    ("trial", "said"),
    [
        ({"status": None, "epochs": 2}, "No answer yet: no trial has finished (1 unfinished)."),
        ({"status": "failed", "epochs": 2}, "No answer yet: no trial has finished (1 failed)."),
    ],
)
def test_without_a_finished_trial_there_is_no_answer(trial: dict[str, Any], said: str, tmp_path: Path) -> None:
    add_trial(tmp_path, **trial)
    write_design(tmp_path, "grid")
    assert told(tmp_path)[0] == said
    assert said in Page(write_report(tmp_path)).text


def test_too_few_graphs_are_said_to_be_too_few(tmp_path: Path) -> None:
    add_grid(tmp_path, seeds=2)
    assert told(tmp_path)[1] == "Not tested, with fewer than 3 graphs or no spread: WS(4,0.75), BA(5), ER(0.2)."


def test_networks_made_by_hand_alone_are_tested_all_the_same(tmp_path: Path) -> None:
    noise = random.Random(3)
    for seed in range(5):
        add_trial(tmp_path, "chain", seed, 73 + noise.gauss(0, 0.2), train__seed=seed)
        add_trial(tmp_path, "complete", seed, 70 + noise.gauss(0, 0.2), train__seed=seed)
    write_design(tmp_path, "list", only=["chain", "complete"], seeds=[*range(5)])
    assert len(told(tmp_path)) == 2
    assert told(tmp_path)[1].endswith("points above COMPLETE (corrected p < 0.001).")


def test_settings_without_all_their_trials_are_left_out_of_answer_and_tests(tmp_path: Path) -> None:
    noise = random.Random(4)
    for spec, top1 in (("er:p=0.2", 73), ("er:p=0.4", 70), ("ba:m=5", 72), ("ws:k=4,p=0.75", 74)):
        for seed in range(5):
            add_trial(tmp_path, spec, seed, top1 + noise.gauss(0, 0.2))
    for spec in ("er:p=0.2", "ws:k=4,p=0.75"):
        add_trial(tmp_path, spec, 5, status=None, epochs=2)
    write_design(tmp_path, "list", only=["er:p=0.2", "er:p=0.4", "ba:m=5", "ws:k=4,p=0.75"], seeds=[*range(5)])
    leaders, tested, *rest = told(tmp_path)
    assert leaders.startswith("Top-1 (n = 5): BA(5) 7")
    assert tested.startswith("BA(5) is ")
    assert "points above ER(0.4) (corrected p < 0.001)." in tested
    assert rest[:2] == [
        "No setting of WS has finished.",
        "Left out, since not all of their trials have finished: ER(0.2), WS(4,0.75).",
    ]


def test_what_a_search_expects_is_of_the_images_that_choose(tmp_path: Path) -> None:
    noise = random.Random(5)
    for k in range(12):
        for seed in range(2):
            spec, top1 = f"er:p={0.1 + 0.05 * k:.2f}", 72 + noise.gauss(0, 0.3)
            config = add_trial(tmp_path, spec, seed, top1, data__holdout=100)
            record = Record(tmp_path / config.digest)
            summary = json.loads((record.folder / "summary.json").read_text())
            test = {"test_top1": top1 - 2, "test_top5": 99.0, "test_loss": 1.0, "test_images": 360}
            record.write_json("summary.json", summary | test)
    write_design(tmp_path, "random")
    best, same, *_ = told(tmp_path)
    first = StudyFacts.load(tmp_path).sections[0].ranking[0]
    assert f"{first.mean:.2f}% on the images that choose over n = 2; to be expected" in best
    assert same == f"The same, with test top-1: {first.setting} {first.mean - 2:.2f}%."


def test_early_stopping_is_no_search(tmp_path: Path) -> None:
    for seed in range(3):
        add_trial(tmp_path, "ba:m=5", seed, 73 + seed / 10)
    write_design(tmp_path, "grid", early_stopping=True)
    sentences = told(tmp_path)
    assert any(sentence.startswith("Nothing is tested. Early stopping was on") for sentence in sentences)
    assert not any("search" in sentence for sentence in sentences)


def test_variants_that_are_alike_are_bounded(tmp_path: Path) -> None:
    noise = random.Random(3)
    for seed in range(6):
        graph = noise.gauss(0, 2)
        for op in ("conv", "sepconv"):
            add_trial(tmp_path, "ba:m=5", seed, 80 + graph + noise.gauss(0, 0.2), network__op=op)
    write_design(tmp_path, "grid", variants={op: {"network.op": op} for op in ("conv", "sepconv")}, seeds=[*range(6)])
    assert "; a difference above 0." in told(tmp_path)[1]


def test_a_bound_between_generators_names_them_beside_networks_made_by_hand(tmp_path: Path) -> None:
    noise = random.Random(4)
    for seed in range(4):
        for spec in ("ws:k=4,p=0.75", "ba:m=5", "er:p=0.2"):
            add_trial(tmp_path, spec, seed, 73 + noise.gauss(0, 0.3))
        add_trial(tmp_path, "chain", seed, 60 + noise.gauss(0, 0.2), train__seed=seed)
    write_design(tmp_path, "list", only=["ws:k=4,p=0.75", "ba:m=5", "er:p=0.2", "chain"], seeds=[*range(4)])
    _, between, by_hand = told(tmp_path)
    assert between.startswith("No two of ")
    assert "CHAIN" not in between
    assert " CHAIN is below it" in by_hand
