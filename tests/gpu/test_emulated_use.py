"""Trained networks in use on an emulated CUDA device."""

from collections import Counter

import pytest
from emulated_results import column, results_of

EVALUATIONS = {"damage": 3, "damage, recalibrated": 6}


def test_damage_and_prediction_mix_no_devices() -> None:
    assert {*results_of("use")} == {*EVALUATIONS, "prediction", "exported program"}
    assert column("use", "error") == {}
    assert column("use", "faults") == {}


@pytest.mark.parametrize("name", EVALUATIONS)
def test_a_damage_waits_to_fold_and_for_its_counts_alone(name: str) -> None:
    result = results_of("use")[name]
    assert result["evaluations"] == EVALUATIONS[name]
    waits = Counter(wait.split(": ")[2].split(":")[0] for wait in result["waits"])
    assert waits == {"model/folding.py": EVALUATIONS[name], "training/evaluate.py": EVALUATIONS[name]}


def test_an_exported_program_runs_where_it_is_moved_to() -> None:
    result = results_of("use")["exported program"]
    assert (result["device"], result["shape"], result["waits"]) == ("cuda:0", [5, 10], [])


def test_a_prediction_waits_for_each_batch_of_images_alone() -> None:
    result = results_of("use")["prediction"]
    assert result["predictions"] == 7
    waits = Counter(wait.split(": ")[1].split(",")[0] for wait in result["waits"])
    assert waits == {"a number is read": 3, "a copy from the host that blocks": 3}
