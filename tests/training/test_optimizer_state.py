"""A training goes on under any kind of step, whatever kind has saved it, and on another device."""

import io
from itertools import product

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from randwire.config import TrainConfig
from randwire.training.optim import load_state, make_optimizer, set_learning_rate, state_of

OPTIMIZERS = {
    "sgd": {"optimizer": "sgd", "nesterov": False},
    "nesterov": {"optimizer": "sgd", "nesterov": True},
    "no momentum": {"optimizer": "sgd", "momentum": 0.0},
    "adam": {"optimizer": "adam"},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.1},
}
KINDS = ("on a CPU", "fused", "captured")
RATES = (0.125, 0.25, 0.0625, 0.5, 0.125, 0.25)
"""Of six steps; in fp32 the same numbers as in fp64."""


def make(network: nn.Module, config: TrainConfig, kind: str) -> Optimizer:
    """The optimizer of a step: `fused` is that of eager steps on a GPU."""
    optimizer = make_optimizer(network, config, captured=kind == "captured")
    if kind == "fused":
        for group in optimizer.param_groups:
            group["fused"] = True
    return optimizer


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(3, 2).double()


def steps(network: nn.Module, optimizer: Optimizer, first: int, last: int) -> None:
    for step in range(first, last):
        torch.manual_seed(step)
        set_learning_rate(optimizer, RATES[step])
        optimizer.zero_grad()
        network(torch.randn(4, 3, dtype=torch.float64)).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(("saved_by", "loaded_by"), list(product(KINDS, KINDS)))
def test_any_kind_goes_on_from_any_other(name: str, saved_by: str, loaded_by: str) -> None:
    config = TrainConfig.model_validate(OPTIMIZERS[name])
    expected, other = network(), network()
    steps(expected, make(expected, config, "on a CPU"), 0, 6)

    first = make(other, config, saved_by)
    steps(other, first, 0, 3)
    file = io.BytesIO()
    torch.save(state_of(first), file)
    file.seek(0)
    state = torch.load(file, map_location="cpu", weights_only=True)
    assert [type(group["lr"]) for group in state["param_groups"]] == [float, float]

    optimizer = make(other, config, loaded_by)
    own = [dict(group) for group in optimizer.param_groups]
    load_state(optimizer, state)
    for group, before in zip(optimizer.param_groups, own, strict=True):
        assert {**group, "params": None} == {**before, "params": None}
        assert group["lr"] is before["lr"]
    steps(other, optimizer, 3, 6)
    for value, wanted in zip(other.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(value, wanted, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_captured_update_reads_the_rate_from_a_tensor(name: str) -> None:
    optimizer = make(network(), TrainConfig.model_validate(OPTIMIZERS[name]), "captured")
    tensors = {id(group["lr"]) for group in optimizer.param_groups}
    assert len(tensors) == 1
    set_learning_rate(optimizer, 0.25)
    assert {id(group["lr"]) for group in optimizer.param_groups} == tensors
    assert [group["lr"].item() for group in optimizer.param_groups] == [0.25, 0.25]
    assert [group["fused"] for group in optimizer.param_groups] == [True, True]


def test_counts_of_adam_are_where_the_update_reads_them() -> None:
    """Those of a fused update lie on the device, in fp32, and others on the host: PyTorch decides by the options."""
    config = TrainConfig.model_validate({"optimizer": "adam"})
    net = network().to("meta")
    saved = network()
    optimizer = make(saved, config, "on a CPU")
    steps(saved, optimizer, 0, 2)
    for kind, place in (("captured", "meta"), ("on a CPU", "cpu")):
        other = make(net, config, kind)
        load_state(other, state_of(optimizer))
        assert {state["step"].device.type for state in other.state.values()} == {place}
        assert {state["exp_avg"].device.type for state in other.state.values()} == {"meta"}
