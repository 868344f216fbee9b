"""Trainings run on an emulated CUDA device without mixing devices, and the host never waits inside an epoch."""

import pytest
from emulated_results import column, results_of

from randwire import registry
from randwire.config.loading import PRESETS

GROUPS = pytest.mark.parametrize("group", ["presets", "features", "ranks"])


def test_every_preset_is_among_the_cases() -> None:
    presets = {path.stem for path in PRESETS.glob("*.yaml")}
    assert presets == {*results_of("presets")} | {"digits", "small", "regular-109", "resnet-50"}


def test_every_operation_is_among_the_cases_in_every_precision() -> None:
    precisions = ("fp32", "tf32", "bf16")
    operations = {f"{op} {precision}" for op in registry.names("randwire.model.ops") for precision in precisions}
    assert operations <= {*results_of("features")}
    assert len(results_of("features")) == 42


@GROUPS
def test_every_case_runs_to_its_end(group: str) -> None:
    assert column(group, "error") == {}
    assert column(group, "faults") == {}


@GROUPS
def test_the_host_waits_nowhere_in_an_epoch(group: str) -> None:
    assert column(group, "waits") == {}
    for name, result in results_of(group).items():
        evaluations = bool(result["batch"])
        assert len(result["waits_before"]) == evaluations, name  # to fold
        frees = "captured" in name or group == "ranks"  # memory of graphs: once after steps, once after an evaluation
        assert len(result["waits_at_the_end"]) == (1 + evaluations) * (1 + frees), name  # the loss, and what is counted


def test_the_host_is_two_steps_ahead_and_the_loss_is_read_when_the_device_has_passed_it() -> None:
    result = results_of("features")["many steps"]
    step = result["launched"]["step"]
    waits = [behind / step for behind in result["event_waits"][:5]]
    assert sorted(waits) == pytest.approx([1, 1, 1, 1, 3], abs=0.05)  # a batch; the loss of three steps ago
