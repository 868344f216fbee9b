"""The power that a plan tells, against simulations with planted differences by the tests that reports use."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from study_helpers import command, design, end

from benchmarks.search.landscape import FIGURE_4
from randwire.cli import study
from randwire.records import Record
from randwire.statistics.describe import describe
from randwire.statistics.pairs import Pair, compare, compare_paired
from randwire.statistics.power import POWER
from randwire.statistics.variance import VarianceEstimate, variance_interval
from randwire.study import planning, space
from randwire.study.confirmation import Confirmation, Winner
from randwire.study.design import Design
from randwire.study.detection import FIGURE_4_STD, Detection, detection
from randwire.study.fixed import Family
from randwire.study.setting import Setting

THREE = ("ws:k=4,p=0.75", "er:p=0.2", "ba:m=5")
VARIANTS: dict[str, dict[str, object]] = {str(channels): {"network.channels": channels} for channels in (6, 8, 10)}


def detect(planned: Design, difference: float, std: float | None, family: Family = "all") -> Detection:
    return detection(planned, planning.plan(planned), difference, std, family)


def four_errors(rate: float, count: int) -> float:
    return 4 * math.sqrt(rate * (1 - rate) / count)


def found(pairs: list[Pair], better: str, worse: str) -> bool:
    return any(pair.names == (better, worse) and pair.separated for pair in pairs)


@pytest.mark.parametrize(
    ("only", "seeds", "difference", "others", "more"),
    [
        (THREE[:2], 5, 0.5, 0.0, 0.0),
        (THREE, 10, 0.4, 0.5, 0.03),  # the third lies between the two: Holm gains little
        (THREE, 10, 0.4, 0.0, 0.06),  # it is like the worse one: Holm gains most
        (("paper",), 10, 0.6, 0.0, 0.0),
    ],
)
def test_the_power_of_a_design_is_the_rate_at_which_its_tests_find_a_planted_difference(
    only: tuple[str, ...], seeds: int, difference: float, others: float, more: float, tmp_path: Path
) -> None:
    """`others` is where they lie between the two; `more`: what Holm's correction may find beyond Bonferroni's."""
    settings: tuple[str, ...] = only if only != ("paper",) else tuple(space.paper(("er", "ba", "ws")))
    told = detect(design(tmp_path, search="list", only=settings, seeds=seeds), difference, 0.3)
    assert (told.n, told.compared, told.tests) == (seeds, len(settings), math.comb(len(settings), 2))
    random, count = np.random.default_rng(seeds), 400 if len(settings) > 3 else 2000
    means = np.full(len(settings), others * difference)
    means[:2] = difference, 0
    draws = random.normal(70 + means[:, None], 0.3, (count, len(settings), seeds))
    rate = np.mean([found(compare(dict(zip(map(str, range(len(row))), row.tolist(), strict=True))), "0", "1")
                    for row in draws])  # fmt: skip
    error = four_errors(told.power, count)
    assert told.power - error <= rate <= told.power + more + error


def test_the_needed_graphs_reach_the_power_and_one_fewer_does_not(tmp_path: Path) -> None:
    told = detect(design(tmp_path, search="list", only=THREE[:2], seeds=3), 0.45, 0.3, "pair")
    n = told.needed.n
    assert told.trainings == 2 * n
    assert detect(design(tmp_path, search="list", only=THREE[:2], seeds=n), 0.45, 0.3).power >= POWER
    assert detect(design(tmp_path, search="list", only=THREE[:2], seeds=n - 1), 0.45, 0.3).power < POWER


@pytest.mark.parametrize("generators", [("er",), ("er", "ws")])
def test_the_power_of_variants_is_that_of_tests_graph_by_graph(generators: tuple[str, ...], tmp_path: Path) -> None:
    planned = design(tmp_path, search="grid", generators=generators, seeds=6 // len(generators), variants=VARIANTS)
    told = detect(planned, 0.5, 0.3)
    assert (told.n, told.compared, told.paired) == (6, 3, True)
    assert told.trainings == 3 * len(generators) * math.ceil(told.needed.n / len(generators))
    random, count = np.random.default_rng(0), 600
    hits = 0
    for _ in range(count):
        graphs = random.normal(70, 3, 6)  # what all variants have in common cancels
        top1 = graphs + random.normal(0, 0.3 / math.sqrt(2), (3, 6)) + np.array([0.5, 0.0, 0.25])[:, None]
        values = {str(k): {str(graph): value for graph, value in enumerate(row)} for k, row in enumerate(top1.tolist())}
        hits += found(compare_paired(values), "0", "1")
    error = four_errors(told.power, count)
    assert told.power - error <= hits / count <= told.power + 0.05 + error


def test_families(tmp_path: Path) -> None:
    grid = design(tmp_path, search="grid", seeds=5, train_seeds=2)
    families: tuple[Family, ...] = ("all", "best", "pair")
    told = {family: detect(grid, 0.5, 0.3, family) for family in families}
    assert {family: (one.compared, one.tests) for family, one in told.items()} == {
        "all": (29, 406), "best": (3, 3), "pair": (2, 1),
    }  # fmt: skip
    assert told["all"].power < told["best"].power < told["pair"].power
    assert [one.trainings for one in told.values()] == [one.compared * one.needed.n * 2 for one in told.values()]
    assert [one.chosen_here for one in told.values()] == [False, True, False]
    assert not detect(design(tmp_path, search="list", only=THREE), 0.5, 0.3, "best").chosen_here
    assert detect(design(tmp_path, search="list", only=THREE, seeds=2), 9.0, 0.3).power == 0, "two are not tested"


def records(planned: Design, top1: Mapping[str, list[float]]) -> None:
    for setting, values in top1.items():
        end(planned, setting)
        for trial, value in zip(planned.trials(Setting.parse(setting)), values, strict=True):
            Record(planned.folder / trial.digest).write_json(
                "summary.json", {"status": "finished", "val_top1": value, "cause": None, "epochs": 4}
            )


def test_the_spread_is_given_or_of_the_records_or_of_figure_4(tmp_path: Path) -> None:
    planned = design(tmp_path, search="list", only=THREE[:2], seeds=3)
    told = detect(planned, 0.5, None)
    assert told.spread.std == FIGURE_4_STD
    assert "Figure 4" in told.spread.source
    stds = [std for points in FIGURE_4.values() for _, std in points.values() if std is not None]
    assert pytest.approx(math.sqrt(sum(std**2 for std in stds) / len(stds)), abs=0.005) == FIGURE_4_STD
    planned.open()
    records(planned, {THREE[0]: [70.0, 71.0, 72.0], THREE[1]: [60.0, 60.0, 66.0]})
    told = detect(planned, 0.5, None)
    assert told.spread.std == pytest.approx(math.sqrt((1 + 12) / 2))
    assert told.needed.low < told.needed.n < told.needed.high
    assert told.spread.source == f"of the records of ER(0.2), WS(4,0.75) in {planned.folder}"
    assert detect(planned, 0.5, 0.2).spread == (0.2, "given", None)


def test_the_spread_is_that_of_the_planned_settings_where_they_have_graphs_enough(tmp_path: Path) -> None:
    """Others may vary as they like: a grid holds settings that hardly train."""
    grid = design(tmp_path, search="grid", seeds=3)
    grid.open()
    wild, planned = "er:p=0.8", THREE[:2]
    records(grid, {planned[0]: [70.0, 71.0, 72.0], planned[1]: [60.0, 61.0, 62.0], wild: [0.0, 30.0, 60.0]})
    winners = tuple(Winner(spec, 3, 70.0) for spec in planned)
    confirmation = Confirmation("study", "0" * 12, "grid", 3, 0, winners)
    base = grid.base.override({"runtime.study": "confirmed", "graph.seed": 3})
    confirmed = replace(grid, search="list", only=planned, confirm=confirmation, base=base)
    spread = detect(confirmed, 0.5, None).spread
    assert spread.std == pytest.approx(1)
    assert spread.source == f"of the records of ER(0.2), WS(4,0.75) in {grid.folder}"
    fewer = replace(confirmed, only=("ba:m=5", "ba:m=3"))
    spread = detect(fewer, 0.5, None).spread
    assert spread.std == pytest.approx(math.sqrt((1 + 1 + 900) / 3))
    assert spread.source.startswith("of the records of all settings, since the planned ones have too few, in ")
    assert detect(grid, 0.5, None).spread.std == pytest.approx(math.sqrt((1 + 1 + 900) / 3)), "it names them all"


def test_a_confirmation_takes_the_spread_of_the_study_that_it_confirms(tmp_path: Path) -> None:
    parent = design(tmp_path, search="list", only=THREE[:2], seeds=3)
    parent.open()
    records(parent, {THREE[0]: [70.0, 71.0, 72.0], THREE[1]: [60.0, 61.0, 62.0]})
    winners = tuple(Winner(spec, 3, 70.0) for spec in THREE[:2])
    confirmed = replace(parent, confirm=Confirmation("study", "0" * 12, "list", 2, 0, winners), seeds=5)
    confirmed = replace(confirmed, base=parent.base.override({"runtime.study": "confirmed", "graph.seed": 3}))
    told = detect(confirmed, 0.5, None)
    assert told.spread.std == pytest.approx(1)
    assert str(parent.folder) in told.spread.source
    records(confirmed, {THREE[0]: [70.0, 72.0, 74.0, 76.0, 78.0]})
    assert detect(confirmed, 0.5, None).spread.std == pytest.approx(math.sqrt(10)), "its own come first"


def test_the_spread_of_variants_is_that_of_their_differences(tmp_path: Path) -> None:
    names = list(VARIANTS)
    planned = design(tmp_path, search="grid", generators=("er",), seeds=3, variants=VARIANTS)
    planned.open()
    graphs = [50.0, 60.0, 70.0]
    rows = [[0.0, 1.0, 2.0], [0.0, 0.0, 0.0], [1.0, 1.0, 4.0]]
    records(planned, {f"er:p=0.2 {name}": [g + d for g, d in zip(graphs, row, strict=True)]
                      for name, row in zip(names, rows, strict=True)})  # fmt: skip
    pairs = [(0, 1), (0, 2), (1, 2)]
    variances = [describe([a - b for a, b in zip(rows[i], rows[j], strict=True)]).std for i, j in pairs]
    assert detect(planned, 0.5, None).spread.std ** 2 == pytest.approx(sum(std**2 for std in variances if std) / 3)


def test_the_interval_of_a_variance_covers_at_its_rate() -> None:
    random, count = np.random.default_rng(0), 2000
    variances = 2.0 * random.chisquare(4, count) / 4
    inside = [low <= 2.0 <= high for low, high in (variance_interval(VarianceEstimate(v, 4)) for v in variances)]
    assert np.mean(inside) == pytest.approx(0.95, abs=four_errors(0.95, count))


def test_the_plan_tells_power_and_what_the_needed_graphs_cost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--only", THREE[0], "--only", THREE[1], "--only", THREE[2], "--seeds", "10", "--detect", "0.3")
    costs = ("--runtime.output", str(tmp_path), "--images-per-s", "100", "--price", "2")
    assert command("plan", *options, *costs, "--std", "0.25", "--family", "best") == 0
    text = capsys.readouterr().out
    assert "0.3 points is found with a chance of at least 52% at n = 10 (all 3 pairs of 3 settings, Holm; std" in text
    assert "a chance of 80% takes n = 17 graphs of each: 51 trainings, 1.4 GPU-hours, $2.85" in text
    assert command("plan", *options, *costs, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    told = shown["detection"]
    assert (told["tested"], told["family"], told["std"], told["n"]) == (True, "all", FIGURE_4_STD, 10)
    assert told["needed_trainings"] == 3 * told["needed"]["n"]
    assert told["needed_gpu_hours"] == pytest.approx(shown["gpu_hours"] * told["needed_trainings"] / 30)
    assert told["needed_dollars"] == pytest.approx(2 * told["needed_gpu_hours"])


@pytest.mark.parametrize("options", [[], ["--search", "random"], ["--search", "grid", "--early-stopping"]])
def test_a_search_has_no_test(options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["plan", "--detect", "0.3", "--generators", "er", "--runtime.output", str(tmp_path), *options]
    assert command(*arguments) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("--detect: ")
    assert command(*arguments, "--json") == 0
    assert json.loads(capsys.readouterr().out)["detection"]["tested"] is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--std", "0.2"], "--std: is of --detect, which is missing"),
        (["--family", "all"], "--family: is of --detect"),
        (["--detect", "0"], "--detect"),
        (["--detect", "1", "--family", "some"], "--family"),
        (["--detect", "1", "--search", "grid", "--generators", "er", "--family", "best"], "have one generator"),
        (["--detect", "1", "--only", THREE[0]], "nothing to compare"),
    ],
)
def test_mistakes(arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("plan", *arguments, "--runtime.output", str(tmp_path)) == 2
    shown = capsys.readouterr()
    assert (shown.out, len(shown.err.strip().splitlines())) == ("", 1)
    assert message in shown.err


@pytest.mark.parametrize(("options", "message"), [([], "--std: missing"), (["--family", "best"], "all or pair")])
def test_variants_need_the_spread_of_their_differences(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("plan", "--detect", "0.3", "--runtime.output", str(tmp_path), *options)
    assert study("of_variants", None, given, lambda _: VARIANTS) == 2
    assert message in capsys.readouterr().err
