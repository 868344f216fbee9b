"""Steps with gradients in one buffer are those of DistributedDataParallel."""

import pytest
import torch
from flat_ranks import CASES, Numbers, Results, both, network_of, normalise

from randwire.config import TrainConfig
from randwire.training.optim import make_optimizer
from randwire.training.step import FlatStep

RANKS = (1, 2, 3)
TOLERANCES = {"fp32": 1e-5, "fp32, adam": 1e-3}
"""Adam divides by the size of gradients, however small they are."""


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return both(list(CASES.values()), RANKS, tmp_path_factory.mktemp("ranks"))


def assert_close(found: Numbers, expected: Numbers, tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("ranks", RANKS)
def test_flat_steps_are_those_of_ddp(name: str, ranks: int, numbers: Results) -> None:
    number = list(CASES).index(name)
    of_ranks = [rank[number] for rank in numbers[ranks]]
    for ddp, flat in of_ranks:
        assert_close(flat, ddp, TOLERANCES.get(name, 1e-12))
    for _, flat in of_ranks[1:]:
        for key, value in of_ranks[0][1].items():
            assert (key == "losses") or torch.equal(flat[key], value), key
    if ranks > 1:
        assert not torch.equal(of_ranks[0][1]["losses"], of_ranks[1][1]["losses"]), "the ranks have images of their own"


def test_a_parameter_that_is_not_used_keeps_no_gradient() -> None:
    case = CASES["a parameter that is not used"]
    network = network_of(case)
    config = TrainConfig.model_validate(case.train)
    flat = FlatStep(network, make_optimizer(network, config), normalise, config)
    flat.gradients(torch.rand(2, 3, 16, 16, dtype=torch.float64), torch.tensor([0, 1]))
    assert [name for name, value in network.named_parameters() if value.grad is None] == ["unused"]
    places = {value.grad.untyped_storage().data_ptr() for value in network.parameters() if value.grad is not None}
    assert len(places) == 1
    for value in network.parameters():
        if value.grad is not None:
            assert value.grad.stride() == value.stride()
            assert value.grad.data_ptr() % 16 == 0
