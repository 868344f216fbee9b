"""The simulated studies of benchmarks.search: a stated truth, planted noise, and regrets that can be foreseen."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from benchmarks.search import cases, choices, landscape, report, simulation
from benchmarks.search.simulation import Case, Tried
from randwire.study import space
from randwire.study.pruner import Pruner

CASE = Case("random", 2)


def spec(curve: tuple[Any, ...], at: float) -> str:
    name, *fixed = curve
    return space.spec(name, dict(zip(space.kind(name).domains, (*fixed, at), strict=True)))


def test_the_landscape_passes_through_figure_4() -> None:
    given = {spec(curve, x): mean for curve, points in landscape.FIGURE_4.items() for x, (mean, _) in points.items()}
    assert set(given) == set(space.paper(landscape.GENERATORS))
    assert {setting: landscape.truth(setting)[0] for setting in given} == pytest.approx(given)
    assert landscape.best() == max(given.values()) == given["ws:k=4,p=0.75"]


def test_the_landscape_covers_the_space_between_its_neighbours() -> None:
    settings = landscape.settings()
    assert len(settings) == len(set(settings)) == 17 + 8 + 4 * 21
    assert set(space.paper(landscape.GENERATORS)) <= set(settings)
    assert 72.62 < landscape.truth("er:p=0.75")[0] + 0.05 < 72.79
    assert landscape.truth("er:p=0.1") == landscape.truth("er:p=0.2")
    assert sorted(map(landscape.mirror, settings)) == sorted(settings)
    assert replace(CASE, start="mirrored").regret("ws:k=6,p=0.25") == 0


@pytest.mark.parametrize(
    ("setting", "std"),
    [
        ("ws:k=2,p=0.25", 0.83),  # of the figure: graphs and trainings together
        ("er:p=0.8", 0.44),
        ("ba:m=5", landscape.RUN_STD),  # the figure's is below that of training alone
        ("ws:k=6,p=0", landscape.RUN_STD),  # one graph
    ],
)
def test_noise_has_the_planted_spread(setting: str, std: float) -> None:
    values = [CASE.top1(setting, number, 0) for number in range(4000)]
    error = std / np.sqrt(len(values))
    assert np.mean(values) == pytest.approx(landscape.truth(setting)[0], abs=4 * error)
    assert np.std(values) == pytest.approx(std, abs=4 * error / np.sqrt(2))


def test_a_setting_of_one_graph_has_no_noise_of_graphs_where_the_landscape_is_mirrored() -> None:
    values = [replace(CASE, start="mirrored").top1("ws:k=8,p=0", number, 0) for number in range(2000)]
    assert np.std(values) == pytest.approx(landscape.RUN_STD, rel=0.1)


def test_an_oracle_has_no_regret_and_noise_brings_it() -> None:
    everything = len(landscape.settings())
    assert simulation.run(Case("random", 1, noise=0), 0, everything).regret[-1] == pytest.approx(0, abs=0.02)
    best = simulation.run(Case("tpe", 1, "paper", noise=0), 0, 5)
    assert best.regret[:2] == pytest.approx([landscape.best() - 73.36] * 2)
    assert best.regret[2:] == [0, 0, 0]
    assert any(simulation.run(Case("random", 5, "paper", noise=20), number, 60).regret[-1] > 0 for number in range(3))


def test_regret_follows_the_highest_mean_and_never_a_stopped_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    settings_tried = [
        Tried(1, 0.1, 99, True),
        Tried(2, 0.5, 70, False),
        Tried(4, 0.3, 71, False),
        Tried(5, 0.9, 60, False),
    ]
    monkeypatch.setattr(simulation, "simulate", lambda *_: settings_tried)
    done = simulation.run(Case("random", 2), 0, 6)
    assert done.regret == [float("inf"), 0.5, 0.5, 0.3, 0.3, 0.3]
    assert (done.finished, done.lost) == (2, True)  # of three settings


def test_without_early_stopping_nothing_is_saved_or_lost() -> None:
    done = simulation.run(CASE, 0, 12)
    assert (done.finished, done.saved, done.lost) == (6, 0, False)
    assert done.tau == pytest.approx(1)


def test_curves_end_at_the_final_value_and_have_the_correlation_asked_for() -> None:
    scale = simulation.deviation(0.7)
    curves = np.array([simulation.deviations(str(number), scale) for number in range(2180)])
    assert curves[:, -1] == pytest.approx(0)
    assert curves[:, 0].std() > 3 * curves[:, 90].std()
    finals = [CASE.top1(setting, number, 7) for setting in landscape.settings() for number in range(20)]
    early = finals + curves[:, simulation.FIRST_LOOK - 1]
    assert spearmanr(finals, early)[0] == pytest.approx(0.7, abs=0.05)


def test_the_pruner_looks_first_where_the_curves_are_calibrated() -> None:
    pruner = Pruner({})
    stops = [pruner.should_stop(name, epoch, top1) for name, top1 in (("a", 2.0), ("b", 1.0)) for epoch in (1, 2)]
    assert stops == [False, False, False, True]


def test_a_small_run_is_deterministic_and_complete() -> None:
    chosen = [CASE, Case("tpe", 2), Case("random", 1, correlation=0.7, deviation=simulation.deviation(0.7))]
    first, again = (cases.measure(chosen, 3, 26, 1, processes) for processes in (1, 2))
    assert first == again
    assert first[0].runs != cases.measure(chosen[:1], 3, 26, 0, 1)[0].runs
    assert np.isfinite(first[0].quartiles()[:, 2:]).all()
    assert 0.3 < first[2].mean("saved") < 1
    assert len(json.loads(json.dumps(report.report(first, 3, 26, 1), allow_nan=False))["cases"]) == 3
    assert {row["case"] for row in cases.differences(first)} == {"blind, tpe, 2 seeds"}


def test_ways_to_choose_cost_what_they_say_and_a_confirmation_takes_the_bias_away() -> None:
    costs = {"random, 1 seed": (92, 5), "grid of 29, 3 seeds": (87, 30), "race": (92, 30)}
    for way, (trainings, repetitions) in costs.items():
        found = choices.Chosen(way, [choices.choose(way, number) for number in range(repetitions)])
        assert set(found.values("trainings")) == {trainings}
        assert set(found.values("confirmed_trainings") - trainings) <= {20, 30}, "BA is small, and may be missed"
        fresh = found.values("confirmed_bias").mean()
        assert abs(fresh) < 0.15
        if way == "random, 1 seed":
            assert found.values("bias").mean() > 0.3 + fresh


def test_a_smooth_fit_ranks_the_settings_that_were_seen_and_shrinkage_leaves_their_order() -> None:
    for way in ("random, 1 seed", "grid of 29, 3 seeds"):
        seen, fitted = (choices.WAYS[name](3) for name in (way, f"{way}, smooth fit"))
        assert sorted(fitted.specs) == sorted(seen.specs)
        assert (fitted.trainings, fitted.specs) != (seen.trainings, seen.specs)
        assert fitted.trainings == seen.trainings
        assert list(fitted.means) == sorted(fitted.means, reverse=True)
    shrunk = choices.WAYS["grid of 29, 3 seeds, shrunken means"](3)
    assert (shrunk.specs, shrunk.trainings) == (seen.specs, seen.trainings)
    assert seen.means[0] - 0.5 < shrunk.means[0] < seen.means[0]


def test_a_race_is_ranked_by_its_rounds() -> None:
    ranked = choices.raced(3)
    assert sorted(ranked.specs) == sorted(space.paper(landscape.GENERATORS))
    assert ranked.means[0] == choices.mean(ranked.specs[0], 0, 16, 3)
    assert ranked.means[-1] == choices.mean(ranked.specs[-1], 0, 1, 3)
    assert choices.mean("er:p=0.2", 0, 4, 3) != choices.mean("er:p=0.2", choices.FRESH, 4, 3)


def test_a_choice_is_what_was_ranked_first_and_a_confirmation_may_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    best, other, lucky = "ws:k=4,p=0.75", "ba:m=5", "er:p=0.8"
    ranked = choices.Ranked([lucky, best, other, "ws:k=2,p=0.0"], [75.0, 74.0, 73.0, 1.0], 4)
    monkeypatch.setitem(choices.WAYS, "planted", lambda _: ranked)
    means = {best: 73.8, other: 73.2, lucky: 72.5}
    monkeypatch.setattr(choices, "mean", lambda spec, *_: means[spec])
    choice = choices.choose("planted", 0)
    assert choice.regret == pytest.approx(landscape.best() - 72.57)
    assert choice.bias == pytest.approx(75.0 - 72.57)
    assert (choice.trainings, choice.confirmed_trainings, choice.confirmed_regret) == (4, 34, 0)
    assert choice.confirmed_bias == pytest.approx(73.8 - 73.76)
