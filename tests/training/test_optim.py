"""The learning rate in closed form, and which parameters decay."""

import math
import random
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import nn

from randwire import graphs
from randwire.config import NetworkConfig, TrainConfig
from randwire.model.network import RandWire
from randwire.model.regimes import random_stages
from randwire.training.optim import learning_rate, make_optimizer
from randwire.training.step import train_step


def _train(**values: object) -> TrainConfig:
    return TrainConfig.model_validate(values)


def _network() -> RandWire:
    generator = graphs.parse("ws:k=4,p=0.75")
    stages = {
        name: generator.sample(nodes, random.Random(name)).dag for name, nodes in random_stages("tiny", 8).items()
    }
    return RandWire(NetworkConfig.model_validate({"regime": "tiny", "channels": 4, "head": 8}), stages, 3)


@pytest.mark.parametrize(("epochs", "steps"), [(100, 10), (250, 4), (2, 1)])
def test_cosine_at_its_start_middle_and_end(epochs: int, steps: int) -> None:
    config = _train(epochs=epochs, lr=0.1)
    total = epochs * steps
    assert learning_rate(0, steps, config) == pytest.approx(0.1, abs=1e-15)
    assert learning_rate(total // 2, steps, config) == pytest.approx(0.05, abs=1e-15)
    assert learning_rate(total, steps, config) == pytest.approx(0, abs=1e-15)


def test_cosine_at_every_step() -> None:
    config = _train(epochs=5, lr=0.4)
    rates = [learning_rate(step, 7, config) for step in range(35)]
    assert rates == pytest.approx([0.2 * (1 + math.cos(math.pi * step / 35)) for step in range(35)], abs=1e-15)
    assert all(earlier > later > 0 for earlier, later in pairwise(rates))


@pytest.mark.parametrize(("warmup", "steps", "length"), [(2, 5, 10), (0.5, 8, 4), (1, 1, 1)])
def test_warm_up_is_linear_and_the_cosine_takes_the_rest(warmup: float, steps: int, length: int) -> None:
    config = _train(epochs=6, lr=0.3, warmup_epochs=warmup)
    total = 6 * steps
    rates = [learning_rate(step, steps, config) for step in range(total + 1)]
    assert rates[:length] == pytest.approx([0.3 * (step + 1) / length for step in range(length)])
    assert rates[length] == pytest.approx(0.3)
    rest = total - length
    expected = [0.15 * (1 + math.cos(math.pi * step / rest)) for step in range(rest + 1)]
    assert rates[length:] == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("warmup", [0, 2])
def test_steps_drop_the_rate_at_their_shares_of_the_rest(warmup: int) -> None:
    config = _train(epochs=10 + warmup, lr=0.8, schedule="step", warmup_epochs=warmup)
    rates = [learning_rate(step, 3, config) for step in range(3 * warmup, 3 * (10 + warmup))]
    assert rates == pytest.approx([0.8] * 15 + [0.08] * 8 + [0.008] * 7, rel=1e-12)  # 22.5 of 30 steps is 0.75
    others = _train(epochs=10, lr=0.8, schedule="step", milestones=[0.1], milestone_factor=0.5)
    assert [learning_rate(step, 1, others) for step in range(3)] == [0.8, 0.4, 0.4]


def test_the_exponential_schedule_has_a_factor_an_epoch() -> None:
    config = _train(epochs=6, lr=0.3, schedule="exponential", epoch_factor=0.5, warmup_epochs=1)
    assert [learning_rate(step, 4, config) for step in range(4)] == pytest.approx([0.075, 0.15, 0.225, 0.3])
    for step in range(4, 24):
        assert learning_rate(step, 4, config) == pytest.approx(0.3 * 0.5 ** ((step - 4) / 4), rel=1e-12)


def test_schedules_are_those_of_torch() -> None:
    """At the steps where an epoch begins, against torch's own schedulers."""
    from torch.optim import SGD, lr_scheduler

    for values, kind, options in (
        ({"schedule": "cosine"}, lr_scheduler.CosineAnnealingLR, {"T_max": 20}),
        ({"schedule": "step"}, lr_scheduler.MultiStepLR, {"milestones": [10, 15], "gamma": 0.1}),
        ({"schedule": "exponential"}, lr_scheduler.ExponentialLR, {"gamma": 0.97}),
    ):
        config = _train(epochs=20, lr=0.1, **values)
        dummy = SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
        scheduler = kind(dummy, **options)
        for epoch in range(20):
            assert learning_rate(epoch * 7, 7, config) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-9), epoch
            dummy.step()
            scheduler.step()


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_adam_and_adamw_get_their_settings(name: str, kind: type[torch.optim.Optimizer]) -> None:
    optimizer = make_optimizer(
        _network(), _train(optimizer=name, lr=0.002, betas=[0.8, 0.95], eps=1e-6, weight_decay=0.5)
    )
    assert type(optimizer) is kind
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.5, 0]
    for group in optimizer.param_groups:
        assert (group["lr"], tuple(group["betas"]), group["eps"]) == (0.002, (0.8, 0.95), 1e-6)


def test_decay_is_in_the_gradient_of_adam_and_apart_from_it_in_adamw() -> None:
    """With a zero gradient Adam normalises the decay to a whole step, AdamW shrinks the weight by lr times decay."""
    for name, expected in (("adam", 1 - 0.1), ("adamw", 1 - 0.1 * 0.01)):
        network = nn.Linear(1, 1, bias=False)
        nn.init.ones_(network.weight)
        optimizer = make_optimizer(network, _train(optimizer=name, lr=0.1, weight_decay=0.01))
        network.weight.grad = torch.zeros(1, 1)
        optimizer.step()
        assert network.weight.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("decay_vectors", [False, True])
def test_each_parameter_is_in_one_group(decay_vectors: bool) -> None:
    network = _network()
    groups = make_optimizer(network, _train(weight_decay=0.01, decay_vectors=decay_vectors)).param_groups
    seen = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(seen) == sorted(id(parameter) for parameter in network.parameters())
    decay = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    for name, parameter in network.named_parameters():
        # Filters and the matrix of the classifier decay; BN, its bias and the aggregation only if asked for.
        is_vector = name.endswith("bias") or name.endswith("aggregation") or ".bn." in name or parameter.ndim < 2
        assert is_vector == (parameter.ndim < 2), name
        assert decay[id(parameter)] == (0.01 if decay_vectors or not is_vector else 0), name
    assert any(name.endswith("aggregation") for name, _ in network.named_parameters())


def test_settings_reach_every_group() -> None:
    optimizer = make_optimizer(_network(), _train(lr=0.25, momentum=0.8, nesterov=True, weight_decay=0.5))
    assert isinstance(optimizer, torch.optim.SGD)
    for group in optimizer.param_groups:
        assert (group["lr"], group["momentum"], group["nesterov"], group["dampening"]) == (0.25, 0.8, True, 0)


def test_frozen_parameters_are_left_out() -> None:
    network = nn.Linear(3, 2)
    network.bias.requires_grad_(False)
    groups = make_optimizer(network, _train()).param_groups
    assert [id(parameter) for group in groups for parameter in group["params"]] == [id(network.weight)]


def test_label_smoothing_mixes_in_the_uniform_distribution() -> None:
    """Of 1000 classes at 0.1 the target is 0.9001 and 1e-4: no loss is below its entropy, 1.0148."""
    target = torch.full((1, 1000), 1e-4)
    target[0, 3] = 0.9001
    logits = nn.Parameter(target.log())
    network = _Constant(logits)
    step = partial(train_step, network, torch.optim.SGD([logits], lr=0.0), torch.zeros(1, 3, 2, 2), torch.tensor([3]))
    smallest = step(_train(label_smoothing=0.1)).item()
    assert smallest == pytest.approx(-(target * target.log()).sum().item(), abs=1e-5)
    assert smallest == pytest.approx(1.0148, abs=1e-4)
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.zeros(1, 1000), rtol=0, atol=1e-6)  # softmax equals the target
    assert step(_train(label_smoothing=0.0)).item() == pytest.approx(-math.log(0.9001), abs=1e-4)


class _Constant(nn.Module):
    def __init__(self, logits: nn.Parameter) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits


def test_two_steps_are_those_of_sgd_with_momentum() -> None:
    network = nn.Linear(2, 1)
    weight, bias = network.weight.detach().clone(), network.bias.detach().clone()
    optimizer = make_optimizer(network, _train(lr=0.1, momentum=0.9, weight_decay=0.01))
    x = torch.tensor([[1.0, -2.0]])
    speed = torch.zeros_like(weight)
    bias_speed = torch.zeros_like(bias)
    for _ in range(2):
        optimizer.zero_grad()
        network(x).sum().backward()
        optimizer.step()
        speed = 0.9 * speed + x + 0.01 * weight
        bias_speed = 0.9 * bias_speed + 1
        weight, bias = weight - 0.1 * speed, bias - 0.1 * bias_speed
    torch.testing.assert_close(network.weight.detach(), weight)
    torch.testing.assert_close(network.bias.detach(), bias)
