"""How much each parameter of a search decides: planted effects are found, and none is found more often than said."""

import math
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution
from report_helpers import add_trial

from randwire.statistics.describe import group
from randwire.study import space
from randwire.study.importance import Importance, importances
from randwire.study.results import Trial, load
from randwire.study.setting import Setting
from randwire.study.tried import Tried

NAMES = ("er", "ba", "ws")
STUDY = {"generators": list(NAMES)}


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    folder = tmp_path_factory.mktemp("study")
    add_trial(folder)
    ((one,), _) = load(folder)
    return one


def search(trial: Trial, count: int, top1: Callable[[Tried], float], seed: int, variant: str = "") -> list[Tried]:
    """Settings of a random search, each once, with this top-1."""
    stream = random.Random(seed)
    specs: dict[str, None] = {}
    while len(specs) < count:
        name = stream.choice(NAMES)
        values = {key: stream.choice(domain.values()) for key, domain in space.kind(name).domains.items()}
        specs[space.spec(name, values)] = None
    settings = [Tried(Setting(spec, variant.format(channels=stream.choice((16, 32, 64))))) for spec in specs]
    return [replace(one, trials=[replace(trial, top1=top1(one))]) for one in settings]


def by_name(found: list[Importance]) -> dict[str, Importance]:
    return {one.parameter: one for one in found}


def test_what_decides_alone_is_found_and_the_rest_is_not(trial: Trial) -> None:
    def top1(one: Tried) -> float:
        return 70.0 + 10 * float(one.parameters.get("ws.p", 0))

    found = by_name(importances(search(trial, 90, top1, seed=0), STUDY))
    assert next(iter(found)) == "generator"
    assert {"generator", "ws.k", "ws.p"} <= set(found) <= {"generator", "er.p", "ba.m", "ws.k", "ws.p"}
    assert found["ws.p"].told
    assert found["ws.p"].share > 0.4
    assert not found["ws.k"].told
    assert found["ws.k"].share < 0.15
    assert (found["ws.k"].generator, found["generator"].generator) == ("ws", "")
    assert found["generator"].n == 90
    assert found["ws.k"].n == found["ws.p"].n < 90


def test_the_generator_is_judged_among_all_settings_and_further_keys_too(trial: Trial) -> None:
    variant = "network.channels={channels}"
    good = importances(search(trial, 60, lambda one: 70.0 + 5 * (one.generator == "er"), 1, variant), STUDY)
    assert by_name(good)["generator"].told
    assert not by_name(good)["network.channels"].told
    wide = importances(search(trial, 60, lambda one: 70.0 + one.parameters["network.channels"] / 64, 2, variant), STUDY)
    assert by_name(wide)["network.channels"].told
    assert by_name(wide)["network.channels"].generator == ""
    assert not by_name(wide)["generator"].told


def test_a_share_of_numbers_is_optunas_importance_over_the_variance_of_being_among_the_best(trial: Trial) -> None:
    """Optuna's own number is gamma^2 D; the variance of the indicator is gamma (1 - gamma)."""
    noise = random.Random(3)
    tried = [one for one in search(trial, 90, lambda _: noise.gauss(70, 1), seed=3) if one.generator == "ws"][:40]
    study = optuna.create_study(direction="maximize")
    distributions: dict[str, BaseDistribution] = {"ws.p": FloatDistribution(0, 1, step=0.05)}
    for one in tried:
        own = {"ws.p": one.parameters["ws.p"]}
        study.add_trial(optuna.trial.create_trial(params=own, distributions=distributions, value=one.value("top1")))
    raw = optuna.importance.get_param_importances(
        study, evaluator=optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.25), normalize=False
    )
    told = by_name(importances(tried, STUDY))["ws.p"]
    assert (told.n, told.best) == (40, 10)
    assert told.share == pytest.approx(raw["ws.p"] / (0.25 * 0.75))


@pytest.mark.parametrize(("parameter", "generator"), [("generator", None), ("ws.k", "ws")])
def test_a_share_of_few_values_is_that_of_the_variance_between_them(
    parameter: str, generator: str | None, trial: Trial
) -> None:
    noise = random.Random(3)
    tried = search(trial, 80, lambda one: noise.gauss(70 + 2 * (one.generator == "er"), 1), seed=3)
    tried = [one for one in tried if generator in (None, one.generator)][:40]
    best = {id(one) for one in sorted(tried, key=lambda one: -(one.value("top1") or 0))[:10]}
    by_value = group(tried, lambda one: one.parameters[parameter])
    between = sum(len(own) * (fmean(id(one) in best for one in own) - 0.25) ** 2 for own in by_value.values()) / 40
    assert len(by_value) > 2
    assert by_name(importances(tried, STUDY))[parameter].share == pytest.approx(between / (0.25 * 0.75))


def test_what_decides_alone_has_all_of_the_share(trial: Trial) -> None:
    tried = search(trial, 40, lambda one: 70.0 + 5 * (one.generator == "er"), seed=3)
    found = by_name(importances(tried, STUDY))["generator"]
    assert found.best == sum(one.generator == "er" for one in tried), "equal ones are all among the best"
    assert found.share == pytest.approx(1)
    assert found.told


def test_without_an_effect_one_in_twenty_is_told_at_most(trial: Trial) -> None:
    noise = random.Random(4)
    told = [
        one.told
        for seed in range(80)
        for one in importances(search(trial, 14, lambda _: noise.gauss(70, 1), seed), STUDY)
    ]
    assert len(told) >= 80
    assert sum(told) / len(told) <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / len(told))


def test_the_same_settings_give_the_same_numbers(trial: Trial) -> None:
    noise = random.Random(5)
    tried = search(trial, 30, lambda _: noise.gauss(70, 1), seed=5)
    assert importances(tried, STUDY) == importances(tried, STUDY)


def test_too_few_settings_and_equal_ones_have_no_importance(trial: Trial) -> None:
    noise = random.Random(6)
    assert importances(search(trial, 9, lambda _: noise.gauss(70, 1), seed=6), STUDY) == []
    assert importances(search(trial, 30, lambda _: 70.0, seed=6), STUDY) == []
    half = search(trial, 18, lambda _: noise.gauss(70, 1), seed=6)
    unfinished = [replace(one, wanted=2) for one in half[:9]]
    assert importances([*unfinished, *half[9:]], STUDY) == [], "only what has finished counts"


def test_the_seed_of_a_graph_is_no_parameter(trial: Trial) -> None:
    noise = random.Random(7)
    tried = search(trial, 20, lambda _: noise.gauss(70, 1), 7, "graph.seed={channels}")
    assert "graph.seed" in tried[0].parameters
    assert "graph.seed" not in by_name(importances(tried, STUDY))


def test_records_without_times_have_importances(trial: Trial, tmp_path: Path) -> None:
    noise = random.Random(8)
    tried = search(replace(trial, parts=[]), 20, lambda _: noise.gauss(70, 1), seed=8)
    assert importances(tried, STUDY)
